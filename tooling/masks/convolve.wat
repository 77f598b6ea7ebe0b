;; The inner loop of the mask codec: a convolution over channel-last rows that are reached through pointers, so that
;; strides, padding and the phases of a transposed convolution are only tables.
;;
;;   for every pixel p and output channel n:
;;     sum = bias[n] + Σ over taps t and channels c of row(rows[p][t])[c] · weights[n / 8][t][c][n % 8]
;;     if mode & 2: sum += out[p][n]        (residual)
;;     if mode & 1: sum = max(sum, 0)       (ReLU)
;;     out[p][n] = sum
;;
;; All addresses are bytes. Pixels come in fours, output channels in eights. float32 throughout.
(module
  (memory (import "env" "memory") 1)
  (func (export "convolve")
    (param $pixels i32) (param $taps i32) (param $channels i32) (param $outputs i32)
    (param $rows i32) (param $outs i32) (param $weights i32) (param $bias i32) (param $mode i32)
    (local $n i32) (local $p i32) (local $t i32) (local $w i32) (local $row i32) (local $end i32) (local $o i32) (local $step i32)
    (local $a0 i32) (local $a1 i32) (local $a2 i32) (local $a3 i32)
    (local $b0 v128) (local $b1 v128) (local $a v128)
    (local $s00 v128) (local $s01 v128) (local $s10 v128) (local $s11 v128)
    (local $s20 v128) (local $s21 v128) (local $s30 v128) (local $s31 v128)
    ;; bytes from the pointers of one pixel to those of the next
    (local.set $step (i32.shl (local.get $taps) (i32.const 2)))
    (loop $outputBlocks
      (local.set $p (i32.const 0))
      (loop $pixelBlocks
        (local.set $s00 (v128.load (i32.add (local.get $bias) (i32.shl (local.get $n) (i32.const 2)))))
        (local.set $s01 (v128.load offset=16 (i32.add (local.get $bias) (i32.shl (local.get $n) (i32.const 2)))))
        (local.set $s10 (local.get $s00)) (local.set $s11 (local.get $s01))
        (local.set $s20 (local.get $s00)) (local.set $s21 (local.get $s01))
        (local.set $s30 (local.get $s00)) (local.set $s31 (local.get $s01))
        (local.set $w (i32.add (local.get $weights)
          (i32.mul (i32.shl (local.get $n) (i32.const 2)) (i32.mul (local.get $taps) (local.get $channels)))))
        (local.set $row (i32.add (local.get $rows) (i32.mul (local.get $p) (local.get $step))))
        (local.set $t (i32.const 0))
        (loop $tapLoop
          (local.set $o (local.get $row))
          (local.set $a0 (i32.load (local.get $o)))
          (local.set $a1 (i32.load (local.tee $o (i32.add (local.get $o) (local.get $step)))))
          (local.set $a2 (i32.load (local.tee $o (i32.add (local.get $o) (local.get $step)))))
          (local.set $a3 (i32.load (i32.add (local.get $o) (local.get $step))))
          (local.set $row (i32.add (local.get $row) (i32.const 4)))
          (local.set $end (i32.add (local.get $a0) (i32.shl (local.get $channels) (i32.const 2))))
          (loop $channelLoop
            (local.set $b0 (v128.load (local.get $w)))
            (local.set $b1 (v128.load offset=16 (local.get $w)))
            (local.set $a (v128.load32_splat (local.get $a0)))
            (local.set $s00 (f32x4.add (local.get $s00) (f32x4.mul (local.get $a) (local.get $b0))))
            (local.set $s01 (f32x4.add (local.get $s01) (f32x4.mul (local.get $a) (local.get $b1))))
            (local.set $a (v128.load32_splat (local.get $a1)))
            (local.set $s10 (f32x4.add (local.get $s10) (f32x4.mul (local.get $a) (local.get $b0))))
            (local.set $s11 (f32x4.add (local.get $s11) (f32x4.mul (local.get $a) (local.get $b1))))
            (local.set $a (v128.load32_splat (local.get $a2)))
            (local.set $s20 (f32x4.add (local.get $s20) (f32x4.mul (local.get $a) (local.get $b0))))
            (local.set $s21 (f32x4.add (local.get $s21) (f32x4.mul (local.get $a) (local.get $b1))))
            (local.set $a (v128.load32_splat (local.get $a3)))
            (local.set $s30 (f32x4.add (local.get $s30) (f32x4.mul (local.get $a) (local.get $b0))))
            (local.set $s31 (f32x4.add (local.get $s31) (f32x4.mul (local.get $a) (local.get $b1))))
            (local.set $w (i32.add (local.get $w) (i32.const 32)))
            (local.set $a1 (i32.add (local.get $a1) (i32.const 4)))
            (local.set $a2 (i32.add (local.get $a2) (i32.const 4)))
            (local.set $a3 (i32.add (local.get $a3) (i32.const 4)))
            (br_if $channelLoop (i32.lt_u (local.tee $a0 (i32.add (local.get $a0) (i32.const 4))) (local.get $end))))
          (br_if $tapLoop (i32.lt_u (local.tee $t (i32.add (local.get $t) (i32.const 1))) (local.get $taps))))
        ;; store the four pixels
        (local.set $o (i32.add (local.get $outs) (i32.shl (local.get $p) (i32.const 2))))
        (local.set $t (i32.shl (local.get $n) (i32.const 2)))
        (call $store (i32.add (i32.load (local.get $o)) (local.get $t)) (local.get $mode) (local.get $s00) (local.get $s01))
        (call $store (i32.add (i32.load offset=4 (local.get $o)) (local.get $t)) (local.get $mode) (local.get $s10) (local.get $s11))
        (call $store (i32.add (i32.load offset=8 (local.get $o)) (local.get $t)) (local.get $mode) (local.get $s20) (local.get $s21))
        (call $store (i32.add (i32.load offset=12 (local.get $o)) (local.get $t)) (local.get $mode) (local.get $s30) (local.get $s31))
        (br_if $pixelBlocks (i32.lt_u (local.tee $p (i32.add (local.get $p) (i32.const 4))) (local.get $pixels))))
      (br_if $outputBlocks (i32.lt_u (local.tee $n (i32.add (local.get $n) (i32.const 8))) (local.get $outputs)))))

  (func $store (param $to i32) (param $mode i32) (param $low v128) (param $high v128)
    (if (i32.and (local.get $mode) (i32.const 2)) (then
      (local.set $low (f32x4.add (local.get $low) (v128.load (local.get $to))))
      (local.set $high (f32x4.add (local.get $high) (v128.load offset=16 (local.get $to))))))
    (if (i32.and (local.get $mode) (i32.const 1)) (then
      (local.set $low (f32x4.max (local.get $low) (v128.const f32x4 0 0 0 0)))
      (local.set $high (f32x4.max (local.get $high) (v128.const f32x4 0 0 0 0)))))
    (v128.store (local.get $to) (local.get $low))
    (v128.store offset=16 (local.get $to) (local.get $high))))
