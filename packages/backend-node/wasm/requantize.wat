;; Matrices become panels of bytes with one scale for each row; unpacker.ts drives it.
;;
;; Of blocks of 4 bits: of 8 rows at a time, 16 bytes of each: every 4-bit number is looked up among the 16 values that its block can have, and the
;; rows are turned into columns, since a panel has its rows side by side.
(module
  (memory (import "requantize" "memory") 1)

  ;; 8 rows of 16 bytes, $stride bytes apart in $from, become every other one of 32 columns of 8, $width bytes apart: the values that
  ;; their low or, with a $shift of 4, their high halves stand for.
  (func $turn (param $from i32) (param $stride i32) (param $shift i32) (param $values i32) (param $to i32) (param $width i32)
    (local $a v128) (local $b v128) (local $c v128) (local $d v128)
    (local $e v128) (local $f v128) (local $g v128) (local $h v128)
    (local $i v128) (local $j v128) (local $k v128) (local $l v128)
    (local $m v128) (local $n v128) (local $o v128) (local $p v128)
    (local.set $width (i32.shl (local.get $width) (i32.const 1)))
    (local.set $a
      (i8x16.swizzle (v128.load offset=0 (local.get $values))
        (v128.and (i16x8.shr_u (v128.load (local.get $from)) (local.get $shift)) (v128.const i32x4 0x0f0f0f0f 0x0f0f0f0f 0x0f0f0f0f 0x0f0f0f0f))))
    (local.set $b
      (i8x16.swizzle (v128.load offset=16 (local.get $values))
        (v128.and (i16x8.shr_u (v128.load (local.tee $from (i32.add (local.get $from) (local.get $stride)))) (local.get $shift)) (v128.const i32x4 0x0f0f0f0f 0x0f0f0f0f 0x0f0f0f0f 0x0f0f0f0f))))
    (local.set $c
      (i8x16.swizzle (v128.load offset=32 (local.get $values))
        (v128.and (i16x8.shr_u (v128.load (local.tee $from (i32.add (local.get $from) (local.get $stride)))) (local.get $shift)) (v128.const i32x4 0x0f0f0f0f 0x0f0f0f0f 0x0f0f0f0f 0x0f0f0f0f))))
    (local.set $d
      (i8x16.swizzle (v128.load offset=48 (local.get $values))
        (v128.and (i16x8.shr_u (v128.load (local.tee $from (i32.add (local.get $from) (local.get $stride)))) (local.get $shift)) (v128.const i32x4 0x0f0f0f0f 0x0f0f0f0f 0x0f0f0f0f 0x0f0f0f0f))))
    (local.set $e
      (i8x16.swizzle (v128.load offset=64 (local.get $values))
        (v128.and (i16x8.shr_u (v128.load (local.tee $from (i32.add (local.get $from) (local.get $stride)))) (local.get $shift)) (v128.const i32x4 0x0f0f0f0f 0x0f0f0f0f 0x0f0f0f0f 0x0f0f0f0f))))
    (local.set $f
      (i8x16.swizzle (v128.load offset=80 (local.get $values))
        (v128.and (i16x8.shr_u (v128.load (local.tee $from (i32.add (local.get $from) (local.get $stride)))) (local.get $shift)) (v128.const i32x4 0x0f0f0f0f 0x0f0f0f0f 0x0f0f0f0f 0x0f0f0f0f))))
    (local.set $g
      (i8x16.swizzle (v128.load offset=96 (local.get $values))
        (v128.and (i16x8.shr_u (v128.load (local.tee $from (i32.add (local.get $from) (local.get $stride)))) (local.get $shift)) (v128.const i32x4 0x0f0f0f0f 0x0f0f0f0f 0x0f0f0f0f 0x0f0f0f0f))))
    (local.set $h
      (i8x16.swizzle (v128.load offset=112 (local.get $values))
        (v128.and (i16x8.shr_u (v128.load (local.tee $from (i32.add (local.get $from) (local.get $stride)))) (local.get $shift)) (v128.const i32x4 0x0f0f0f0f 0x0f0f0f0f 0x0f0f0f0f 0x0f0f0f0f))))
    ;; pairs of rows, then fours, then eights: a column of 8 rows is 8 bytes
    (local.set $i (i8x16.shuffle 0 16 1 17 2 18 3 19 4 20 5 21 6 22 7 23 (local.get $a) (local.get $b)))
    (local.set $j (i8x16.shuffle 8 24 9 25 10 26 11 27 12 28 13 29 14 30 15 31 (local.get $a) (local.get $b)))
    (local.set $k (i8x16.shuffle 0 16 1 17 2 18 3 19 4 20 5 21 6 22 7 23 (local.get $c) (local.get $d)))
    (local.set $l (i8x16.shuffle 8 24 9 25 10 26 11 27 12 28 13 29 14 30 15 31 (local.get $c) (local.get $d)))
    (local.set $m (i8x16.shuffle 0 16 1 17 2 18 3 19 4 20 5 21 6 22 7 23 (local.get $e) (local.get $f)))
    (local.set $n (i8x16.shuffle 8 24 9 25 10 26 11 27 12 28 13 29 14 30 15 31 (local.get $e) (local.get $f)))
    (local.set $o (i8x16.shuffle 0 16 1 17 2 18 3 19 4 20 5 21 6 22 7 23 (local.get $g) (local.get $h)))
    (local.set $p (i8x16.shuffle 8 24 9 25 10 26 11 27 12 28 13 29 14 30 15 31 (local.get $g) (local.get $h)))
    (local.set $a (i8x16.shuffle 0 1 16 17 2 3 18 19 4 5 20 21 6 7 22 23 (local.get $i) (local.get $k)))
    (local.set $b (i8x16.shuffle 8 9 24 25 10 11 26 27 12 13 28 29 14 15 30 31 (local.get $i) (local.get $k)))
    (local.set $c (i8x16.shuffle 0 1 16 17 2 3 18 19 4 5 20 21 6 7 22 23 (local.get $j) (local.get $l)))
    (local.set $d (i8x16.shuffle 8 9 24 25 10 11 26 27 12 13 28 29 14 15 30 31 (local.get $j) (local.get $l)))
    (local.set $e (i8x16.shuffle 0 1 16 17 2 3 18 19 4 5 20 21 6 7 22 23 (local.get $m) (local.get $o)))
    (local.set $f (i8x16.shuffle 8 9 24 25 10 11 26 27 12 13 28 29 14 15 30 31 (local.get $m) (local.get $o)))
    (local.set $g (i8x16.shuffle 0 1 16 17 2 3 18 19 4 5 20 21 6 7 22 23 (local.get $n) (local.get $p)))
    (local.set $h (i8x16.shuffle 8 9 24 25 10 11 26 27 12 13 28 29 14 15 30 31 (local.get $n) (local.get $p)))
    (local.set $i (i8x16.shuffle 0 1 2 3 16 17 18 19 4 5 6 7 20 21 22 23 (local.get $a) (local.get $e)))
    (local.set $j (i8x16.shuffle 8 9 10 11 24 25 26 27 12 13 14 15 28 29 30 31 (local.get $a) (local.get $e)))
    (local.set $k (i8x16.shuffle 0 1 2 3 16 17 18 19 4 5 6 7 20 21 22 23 (local.get $b) (local.get $f)))
    (local.set $l (i8x16.shuffle 8 9 10 11 24 25 26 27 12 13 14 15 28 29 30 31 (local.get $b) (local.get $f)))
    (local.set $m (i8x16.shuffle 0 1 2 3 16 17 18 19 4 5 6 7 20 21 22 23 (local.get $c) (local.get $g)))
    (local.set $n (i8x16.shuffle 8 9 10 11 24 25 26 27 12 13 14 15 28 29 30 31 (local.get $c) (local.get $g)))
    (local.set $o (i8x16.shuffle 0 1 2 3 16 17 18 19 4 5 6 7 20 21 22 23 (local.get $d) (local.get $h)))
    (local.set $p (i8x16.shuffle 8 9 10 11 24 25 26 27 12 13 14 15 28 29 30 31 (local.get $d) (local.get $h)))
    (v128.store64_lane 0 (local.get $to) (local.get $i))
    (v128.store64_lane 1 (local.tee $to (i32.add (local.get $to) (local.get $width))) (local.get $i))
    (v128.store64_lane 0 (local.tee $to (i32.add (local.get $to) (local.get $width))) (local.get $j))
    (v128.store64_lane 1 (local.tee $to (i32.add (local.get $to) (local.get $width))) (local.get $j))
    (v128.store64_lane 0 (local.tee $to (i32.add (local.get $to) (local.get $width))) (local.get $k))
    (v128.store64_lane 1 (local.tee $to (i32.add (local.get $to) (local.get $width))) (local.get $k))
    (v128.store64_lane 0 (local.tee $to (i32.add (local.get $to) (local.get $width))) (local.get $l))
    (v128.store64_lane 1 (local.tee $to (i32.add (local.get $to) (local.get $width))) (local.get $l))
    (v128.store64_lane 0 (local.tee $to (i32.add (local.get $to) (local.get $width))) (local.get $m))
    (v128.store64_lane 1 (local.tee $to (i32.add (local.get $to) (local.get $width))) (local.get $m))
    (v128.store64_lane 0 (local.tee $to (i32.add (local.get $to) (local.get $width))) (local.get $n))
    (v128.store64_lane 1 (local.tee $to (i32.add (local.get $to) (local.get $width))) (local.get $n))
    (v128.store64_lane 0 (local.tee $to (i32.add (local.get $to) (local.get $width))) (local.get $o))
    (v128.store64_lane 1 (local.tee $to (i32.add (local.get $to) (local.get $width))) (local.get $o))
    (v128.store64_lane 0 (local.tee $to (i32.add (local.get $to) (local.get $width))) (local.get $p))
    (v128.store64_lane 1 (local.tee $to (i32.add (local.get $to) (local.get $width))) (local.get $p)))

  ;; One panel. $data: rows of $blocks blocks of $blockBytes bytes; $scales: float32 of each block. Writes the scale of each row to
  ;; $rowScales and, to $to, for each place of a row a byte of each row. $rows is a multiple of 8; $scratch has room for 128 bytes and
  ;; a float32 of each row.
  (func (export "panel")
    (param $data i32) (param $scales i32) (param $rows i32) (param $blocks i32) (param $blockBytes i32)
    (param $rowScales i32) (param $to i32) (param $scratch i32)
    (local $row i32) (local $block i32) (local $i i32) (local $stride i32) (local $factors i32) (local $largest f32)
    (local $from i32) (local $target i32) (local $factor v128) (local $magic v128)
    (local.set $magic (v128.const f32x4 12582912 12582912 12582912 12582912))
    (local.set $stride (i32.mul (local.get $blocks) (local.get $blockBytes)))
    (local.set $factors (i32.add (local.get $scratch) (i32.const 128)))
    ;; A row's largest possible number, 8 times its largest scale, becomes 127.
    (local.set $from (local.get $scales))
    (loop $each
      (local.set $largest (f32.const 0))
      (local.set $block (i32.const 0))
      (loop $scale
        (local.set $largest (f32.max (local.get $largest) (f32.abs (f32.load (local.get $from)))))
        (local.set $from (i32.add (local.get $from) (i32.const 4)))
        (br_if $scale (i32.lt_u (local.tee $block (i32.add (local.get $block) (i32.const 1))) (local.get $blocks))))
      (f32.store
        (i32.add (local.get $rowScales) (i32.shl (local.get $row) (i32.const 2)))
        (f32.div (f32.mul (local.get $largest) (f32.const 8)) (f32.const 127)))
      (f32.store
        (i32.add (local.get $factors) (i32.shl (local.get $row) (i32.const 2)))
        (select
          (f32.div (f32.const 127) (f32.mul (local.get $largest) (f32.const 8)))
          (f32.const 0)
          (f32.gt (local.get $largest) (f32.const 0))))
      (br_if $each (i32.lt_u (local.tee $row (i32.add (local.get $row) (i32.const 1))) (local.get $rows))))
    (local.set $block (i32.const 0))
    (loop $each
      (local.set $row (i32.const 0))
      (loop $eight
        (local.set $i (i32.const 0))
        (loop $row
          (local.set $factor
            (f32x4.splat
              (f32.mul
                (f32.load
                  (i32.add (local.get $scales)
                    (i32.shl
                      (i32.add
                        (i32.mul (i32.add (local.get $row) (local.get $i)) (local.get $blocks))
                        (local.get $block))
                      (i32.const 2))))
                (f32.load
                  (i32.add (local.get $factors) (i32.shl (i32.add (local.get $row) (local.get $i)) (i32.const 2)))))))
          (v128.store (i32.add (local.get $scratch) (i32.shl (local.get $i) (i32.const 4)))
            (i8x16.narrow_i16x8_s
              (i16x8.narrow_i32x4_s
                (i32x4.sub
                  (f32x4.add (f32x4.mul (local.get $factor) (v128.const f32x4 -8 -7 -6 -5)) (local.get $magic))
                  (local.get $magic))
                (i32x4.sub
                  (f32x4.add (f32x4.mul (local.get $factor) (v128.const f32x4 -4 -3 -2 -1)) (local.get $magic))
                  (local.get $magic)))
              (i16x8.narrow_i32x4_s
                (i32x4.sub
                  (f32x4.add (f32x4.mul (local.get $factor) (v128.const f32x4 0 1 2 3)) (local.get $magic))
                  (local.get $magic))
                (i32x4.sub
                  (f32x4.add (f32x4.mul (local.get $factor) (v128.const f32x4 4 5 6 7)) (local.get $magic))
                  (local.get $magic)))))
          (br_if $row (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 8))))
        (local.set $i (i32.const 0))
        (local.set $from
          (i32.add (local.get $data)
            (i32.add (i32.mul (local.get $row) (local.get $stride)) (i32.mul (local.get $block) (local.get $blockBytes)))))
        (local.set $target
          (i32.add
            (i32.add (local.get $to) (local.get $row))
            (i32.mul (i32.shl (i32.mul (local.get $block) (local.get $blockBytes)) (i32.const 1)) (local.get $rows))))
        (loop $part
          (call $turn (local.get $from) (local.get $stride) (i32.const 0) (local.get $scratch) (local.get $target) (local.get $rows))
          (call $turn (local.get $from) (local.get $stride) (i32.const 4) (local.get $scratch) (i32.add (local.get $target) (local.get $rows)) (local.get $rows))
          (local.set $from (i32.add (local.get $from) (i32.const 16)))
          (local.set $target (i32.add (local.get $target) (i32.shl (local.get $rows) (i32.const 5))))
          (br_if $part (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 16))) (local.get $blockBytes))))
        (br_if $eight (i32.lt_u (local.tee $row (i32.add (local.get $row) (i32.const 8))) (local.get $rows))))
      (br_if $each (i32.lt_u (local.tee $block (i32.add (local.get $block) (i32.const 1))) (local.get $blocks)))))

  ;; One panel of numbers: $rows rows of $width numbers at $from, float32 or, where they are $half, bfloat16. Writes, of each row, the scale
  ;; to $scales, the sum of its bytes to $sums and the length of what they are off by (a ten-thousandth more, for what is rounded while it is
  ;; added up) to $errors, and the bytes to $to, those of a column side by side. $width is a multiple of 16; $scratch has room for a row.
  (func (export "bytes")
    (param $from i32) (param $half i32) (param $rows i32) (param $width i32)
    (param $scales i32) (param $sums i32) (param $errors i32) (param $to i32) (param $scratch i32)
    (local $row i32) (local $i i32) (local $at i32) (local $target i32)
    (local $largest v128) (local $scale f32) (local $sum v128) (local $error v128)
    (local $factor v128) (local $back v128) (local $magic v128)
    (local $a v128) (local $b v128) (local $c v128) (local $d v128)
    (local $p v128) (local $q v128) (local $r v128) (local $s v128)
    (local.set $magic (v128.const f32x4 12582912 12582912 12582912 12582912))
    (loop $each
      (local.set $largest (v128.const i32x4 0 0 0 0))
      (local.set $i (i32.const 0))
      (if (local.get $half)
        (then
          (local.set $at (local.get $scratch))
          (loop $widen
            (local.set $p (v128.load (local.get $from)))
            (local.set $a (i32x4.shl (i32x4.extend_low_i16x8_u (local.get $p)) (i32.const 16)))
            (local.set $b (i32x4.shl (i32x4.extend_high_i16x8_u (local.get $p)) (i32.const 16)))
            (v128.store (local.get $at) (local.get $a))
            (v128.store offset=16 (local.get $at) (local.get $b))
            (local.set $largest
              (f32x4.pmax (f32x4.pmax (local.get $largest) (f32x4.abs (local.get $a))) (f32x4.abs (local.get $b))))
            (local.set $from (i32.add (local.get $from) (i32.const 16)))
            (local.set $at (i32.add (local.get $at) (i32.const 32)))
            (br_if $widen (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 8))) (local.get $width))))
          (local.set $at (local.get $scratch)))
        (else
          (local.set $at (local.get $from))
          (loop $look
            (local.set $largest (f32x4.pmax (local.get $largest) (f32x4.abs (v128.load (local.get $from)))))
            (local.set $from (i32.add (local.get $from) (i32.const 16)))
            (br_if $look (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 4))) (local.get $width))))))
      (local.set $scale
        (f32.div
          (f32.max
            (f32.max (f32x4.extract_lane 0 (local.get $largest)) (f32x4.extract_lane 1 (local.get $largest)))
            (f32.max (f32x4.extract_lane 2 (local.get $largest)) (f32x4.extract_lane 3 (local.get $largest))))
          (f32.const 127)))
      (local.set $back (f32x4.splat (local.get $scale)))
      (local.set $factor
        (f32x4.splat
          (select (f32.div (f32.const 1) (local.get $scale)) (f32.const 0) (f32.gt (local.get $scale) (f32.const 0)))))
      (local.set $sum (v128.const i32x4 0 0 0 0))
      (local.set $error (v128.const i32x4 0 0 0 0))
      (local.set $target (i32.add (local.get $to) (local.get $row)))
      (local.set $i (i32.const 0))
      (loop $round
        (local.set $a (v128.load (local.get $at)))
        (local.set $b (v128.load offset=16 (local.get $at)))
        (local.set $c (v128.load offset=32 (local.get $at)))
        (local.set $d (v128.load offset=48 (local.get $at)))
        (local.set $at (i32.add (local.get $at) (i32.const 64)))
        (local.set $p (f32x4.add (f32x4.mul (local.get $a) (local.get $factor)) (local.get $magic)))
        (local.set $q (f32x4.add (f32x4.mul (local.get $b) (local.get $factor)) (local.get $magic)))
        (local.set $r (f32x4.add (f32x4.mul (local.get $c) (local.get $factor)) (local.get $magic)))
        (local.set $s (f32x4.add (f32x4.mul (local.get $d) (local.get $factor)) (local.get $magic)))
        (local.set $a (f32x4.sub (local.get $a) (f32x4.mul (f32x4.sub (local.get $p) (local.get $magic)) (local.get $back))))
        (local.set $b (f32x4.sub (local.get $b) (f32x4.mul (f32x4.sub (local.get $q) (local.get $magic)) (local.get $back))))
        (local.set $c (f32x4.sub (local.get $c) (f32x4.mul (f32x4.sub (local.get $r) (local.get $magic)) (local.get $back))))
        (local.set $d (f32x4.sub (local.get $d) (f32x4.mul (f32x4.sub (local.get $s) (local.get $magic)) (local.get $back))))
        (local.set $error
          (f32x4.add (local.get $error)
            (f32x4.add
              (f32x4.add (f32x4.mul (local.get $a) (local.get $a)) (f32x4.mul (local.get $b) (local.get $b)))
              (f32x4.add (f32x4.mul (local.get $c) (local.get $c)) (f32x4.mul (local.get $d) (local.get $d))))))
        (local.set $p (i32x4.sub (local.get $p) (local.get $magic)))
        (local.set $q (i32x4.sub (local.get $q) (local.get $magic)))
        (local.set $r (i32x4.sub (local.get $r) (local.get $magic)))
        (local.set $s (i32x4.sub (local.get $s) (local.get $magic)))
        (local.set $sum
          (i32x4.add (local.get $sum)
            (i32x4.add (i32x4.add (local.get $p) (local.get $q)) (i32x4.add (local.get $r) (local.get $s)))))
        (local.set $p
          (i8x16.narrow_i16x8_s
            (i16x8.narrow_i32x4_s (local.get $p) (local.get $q))
            (i16x8.narrow_i32x4_s (local.get $r) (local.get $s))))
        (v128.store8_lane 0 (local.get $target) (local.get $p))
        (v128.store8_lane 1 (local.tee $target (i32.add (local.get $target) (local.get $rows))) (local.get $p))
        (v128.store8_lane 2 (local.tee $target (i32.add (local.get $target) (local.get $rows))) (local.get $p))
        (v128.store8_lane 3 (local.tee $target (i32.add (local.get $target) (local.get $rows))) (local.get $p))
        (v128.store8_lane 4 (local.tee $target (i32.add (local.get $target) (local.get $rows))) (local.get $p))
        (v128.store8_lane 5 (local.tee $target (i32.add (local.get $target) (local.get $rows))) (local.get $p))
        (v128.store8_lane 6 (local.tee $target (i32.add (local.get $target) (local.get $rows))) (local.get $p))
        (v128.store8_lane 7 (local.tee $target (i32.add (local.get $target) (local.get $rows))) (local.get $p))
        (v128.store8_lane 8 (local.tee $target (i32.add (local.get $target) (local.get $rows))) (local.get $p))
        (v128.store8_lane 9 (local.tee $target (i32.add (local.get $target) (local.get $rows))) (local.get $p))
        (v128.store8_lane 10 (local.tee $target (i32.add (local.get $target) (local.get $rows))) (local.get $p))
        (v128.store8_lane 11 (local.tee $target (i32.add (local.get $target) (local.get $rows))) (local.get $p))
        (v128.store8_lane 12 (local.tee $target (i32.add (local.get $target) (local.get $rows))) (local.get $p))
        (v128.store8_lane 13 (local.tee $target (i32.add (local.get $target) (local.get $rows))) (local.get $p))
        (v128.store8_lane 14 (local.tee $target (i32.add (local.get $target) (local.get $rows))) (local.get $p))
        (v128.store8_lane 15 (local.tee $target (i32.add (local.get $target) (local.get $rows))) (local.get $p))
        (local.set $target (i32.add (local.get $target) (local.get $rows)))
        (br_if $round (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 16))) (local.get $width))))
      (f32.store (i32.add (local.get $scales) (i32.shl (local.get $row) (i32.const 2))) (local.get $scale))
      (i32.store (i32.add (local.get $sums) (i32.shl (local.get $row) (i32.const 2)))
        (i32.add
          (i32.add (i32x4.extract_lane 0 (local.get $sum)) (i32x4.extract_lane 1 (local.get $sum)))
          (i32.add (i32x4.extract_lane 2 (local.get $sum)) (i32x4.extract_lane 3 (local.get $sum)))))
      (f32.store (i32.add (local.get $errors) (i32.shl (local.get $row) (i32.const 2)))
        (f32.mul (f32.const 1.0001) (f32.sqrt
          (f32.add
            (f32.add (f32x4.extract_lane 0 (local.get $error)) (f32x4.extract_lane 1 (local.get $error)))
            (f32.add (f32x4.extract_lane 2 (local.get $error)) (f32x4.extract_lane 3 (local.get $error)))))))
      (br_if $each (i32.lt_u (local.tee $row (i32.add (local.get $row) (i32.const 1))) (local.get $rows))))))
