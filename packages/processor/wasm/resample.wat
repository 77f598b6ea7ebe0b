;; The two passes of the resampler on 128-bit vectors; resize-wasm.ts drives them, resize-plain.ts is their oracle.
;;
;; A sum of weight × byte is exact in 32 bits. i32x4.dot_i16x8_s multiplies 16-bit numbers, so a weight of 22 fraction
;; bits is split into high = weight >> 12 and low = weight & 4095. The sums of both parts may wrap; (high << 12) + low
;; is right modulo 2³², and the true sum fits.
(module
  (memory (export "memory") 1)

  ;; (high << 12) + low, rounded, without its 22 fraction bits
  (func $finish (param $high v128) (param $low v128) (result v128)
    (i32x4.shr_s
      (i32x4.add
        (i32x4.add (i32x4.shl (local.get $high) (i32.const 12)) (local.get $low))
        (v128.const i32x4 0x200000 0x200000 0x200000 0x200000))
      (i32.const 22)))

  ;; Rows of RGB at another width.
  ;; $spans holds two numbers per output pixel: the byte offset of its first input pixel in a row, and the bytes of its
  ;; weights. $weights holds, $weightStride bytes per output pixel, 16 bytes for each four taps, as 16-bit numbers: the
  ;; high parts of the taps, then their low parts. Reads up to 15 bytes beyond a row, writes one byte beyond.
  (func (export "horizontal")
    (param $source i32) (param $sourceStride i32) (param $target i32) (param $targetStride i32)
    (param $rows i32) (param $width i32) (param $spans i32) (param $weights i32) (param $weightStride i32)
    (local $span i32) (local $spansEnd i32) (local $weight i32) (local $w i32) (local $end i32)
    (local $from i32) (local $to i32)
    (local $pixels v128) (local $first v128) (local $second v128) (local $high v128) (local $low v128)
    (local.set $spansEnd (i32.add (local.get $spans) (i32.shl (local.get $width) (i32.const 3))))
    (loop $row
      (local.set $span (local.get $spans))
      (local.set $weight (local.get $weights))
      (local.set $to (local.get $target))
      (loop $pixel
        (local.set $from (i32.add (local.get $source) (i32.load (local.get $span))))
        (local.set $end (i32.add (local.get $weight) (i32.load offset=4 (local.get $span))))
        (local.set $w (local.get $weight))
        (local.set $high (v128.const i32x4 0 0 0 0))
        (local.set $low (v128.const i32x4 0 0 0 0))
        (loop $taps
          ;; four pixels r g b r g b …; pairs of neighbours as 16-bit numbers: r0 r1 g0 g1 b0 b1, r2 r3 g2 g3 b2 b3
          (local.set $pixels (v128.load (local.get $from)))
          (local.set $first
            (i8x16.swizzle (local.get $pixels)
              (v128.const i8x16 0 -1 3 -1 1 -1 4 -1 2 -1 5 -1 -1 -1 -1 -1)))
          (local.set $second
            (i8x16.swizzle (local.get $pixels)
              (v128.const i8x16 6 -1 9 -1 7 -1 10 -1 8 -1 11 -1 -1 -1 -1 -1)))
          (local.set $high
            (i32x4.add (local.get $high)
              (i32x4.add
                (i32x4.dot_i16x8_s (local.get $first) (v128.load32_splat (local.get $w)))
                (i32x4.dot_i16x8_s (local.get $second) (v128.load32_splat offset=4 (local.get $w))))))
          (local.set $low
            (i32x4.add (local.get $low)
              (i32x4.add
                (i32x4.dot_i16x8_s (local.get $first) (v128.load32_splat offset=8 (local.get $w)))
                (i32x4.dot_i16x8_s (local.get $second) (v128.load32_splat offset=12 (local.get $w))))))
          (local.set $from (i32.add (local.get $from) (i32.const 12)))
          (local.set $w (i32.add (local.get $w) (i32.const 16)))
          (br_if $taps (i32.lt_u (local.get $w) (local.get $end))))
        ;; to bytes, clamped; the fourth is overwritten by the next pixel
        (local.set $high (call $finish (local.get $high) (local.get $low)))
        (local.set $high (i16x8.narrow_i32x4_s (local.get $high) (local.get $high)))
        (v128.store32_lane 0 (local.get $to) (i8x16.narrow_i16x8_u (local.get $high) (local.get $high)))
        (local.set $to (i32.add (local.get $to) (i32.const 3)))
        (local.set $weight (i32.add (local.get $weight) (local.get $weightStride)))
        (local.set $span (i32.add (local.get $span) (i32.const 8)))
        (br_if $pixel (i32.lt_u (local.get $span) (local.get $spansEnd))))
      (local.set $source (i32.add (local.get $source) (local.get $sourceStride)))
      (local.set $target (i32.add (local.get $target) (local.get $targetStride)))
      (local.set $rows (i32.sub (local.get $rows) (i32.const 1)))
      (br_if $row (local.get $rows))))

  ;; One output row from input rows $stride bytes apart, 16 bytes at a time. $weights holds 8 bytes for each two rows, as
  ;; 16-bit numbers: the high parts of both weights, then their low parts.
  (func (export "vertical")
    (param $source i32) (param $stride i32) (param $target i32) (param $bytes i32) (param $weights i32) (param $weightsEnd i32)
    (local $at i32) (local $row i32) (local $w i32)
    (local $a v128) (local $b v128) (local $pairs v128) (local $high v128) (local $low v128)
    (local $high0 v128) (local $high1 v128) (local $high2 v128) (local $high3 v128)
    (local $low0 v128) (local $low1 v128) (local $low2 v128) (local $low3 v128)
    (loop $block
      (local.set $row (i32.add (local.get $source) (local.get $at)))
      (local.set $w (local.get $weights))
      (local.set $high0 (v128.const i32x4 0 0 0 0)) (local.set $low0 (v128.const i32x4 0 0 0 0))
      (local.set $high1 (v128.const i32x4 0 0 0 0)) (local.set $low1 (v128.const i32x4 0 0 0 0))
      (local.set $high2 (v128.const i32x4 0 0 0 0)) (local.set $low2 (v128.const i32x4 0 0 0 0))
      (local.set $high3 (v128.const i32x4 0 0 0 0)) (local.set $low3 (v128.const i32x4 0 0 0 0))
      (loop $taps
        (local.set $a (v128.load (local.get $row)))
        (local.set $b (v128.load (i32.add (local.get $row) (local.get $stride))))
        (local.set $high (v128.load32_splat (local.get $w)))
        (local.set $low (v128.load32_splat offset=4 (local.get $w)))
        ;; bytes of both rows side by side, widened to 16 bits: four columns at a time
        (local.set $pairs
          (i16x8.extend_low_i8x16_u
            (i8x16.shuffle 0 16 1 17 2 18 3 19 4 20 5 21 6 22 7 23 (local.get $a) (local.get $b))))
        (local.set $high0 (i32x4.add (local.get $high0) (i32x4.dot_i16x8_s (local.get $pairs) (local.get $high))))
        (local.set $low0 (i32x4.add (local.get $low0) (i32x4.dot_i16x8_s (local.get $pairs) (local.get $low))))
        (local.set $pairs
          (i16x8.extend_high_i8x16_u
            (i8x16.shuffle 0 16 1 17 2 18 3 19 4 20 5 21 6 22 7 23 (local.get $a) (local.get $b))))
        (local.set $high1 (i32x4.add (local.get $high1) (i32x4.dot_i16x8_s (local.get $pairs) (local.get $high))))
        (local.set $low1 (i32x4.add (local.get $low1) (i32x4.dot_i16x8_s (local.get $pairs) (local.get $low))))
        (local.set $pairs
          (i16x8.extend_low_i8x16_u
            (i8x16.shuffle 8 24 9 25 10 26 11 27 12 28 13 29 14 30 15 31 (local.get $a) (local.get $b))))
        (local.set $high2 (i32x4.add (local.get $high2) (i32x4.dot_i16x8_s (local.get $pairs) (local.get $high))))
        (local.set $low2 (i32x4.add (local.get $low2) (i32x4.dot_i16x8_s (local.get $pairs) (local.get $low))))
        (local.set $pairs
          (i16x8.extend_high_i8x16_u
            (i8x16.shuffle 8 24 9 25 10 26 11 27 12 28 13 29 14 30 15 31 (local.get $a) (local.get $b))))
        (local.set $high3 (i32x4.add (local.get $high3) (i32x4.dot_i16x8_s (local.get $pairs) (local.get $high))))
        (local.set $low3 (i32x4.add (local.get $low3) (i32x4.dot_i16x8_s (local.get $pairs) (local.get $low))))
        (local.set $row (i32.add (local.get $row) (i32.shl (local.get $stride) (i32.const 1))))
        (local.set $w (i32.add (local.get $w) (i32.const 8)))
        (br_if $taps (i32.lt_u (local.get $w) (local.get $weightsEnd))))
      (v128.store (i32.add (local.get $target) (local.get $at))
        (i8x16.narrow_i16x8_u
          (i16x8.narrow_i32x4_s
            (call $finish (local.get $high0) (local.get $low0))
            (call $finish (local.get $high1) (local.get $low1)))
          (i16x8.narrow_i32x4_s
            (call $finish (local.get $high2) (local.get $low2))
            (call $finish (local.get $high3) (local.get $low3)))))
      (local.set $at (i32.add (local.get $at) (i32.const 16)))
      (br_if $block (i32.lt_u (local.get $at) (local.get $bytes))))))
