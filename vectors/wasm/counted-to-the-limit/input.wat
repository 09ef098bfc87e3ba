;; Two loops by steps of 24: 2^20 turns are counted, 2^20 + 1 are not and stop inside.
(module
  (func (export "_start") (local $i i32)
    (local.set $i (i32.const 0))
    (loop $counted (br_if $counted (i32.ne (local.tee $i (i32.add (local.get $i) (i32.const 24))) (i32.const 25165824))))
    (local.set $i (i32.const 0))
    (loop $ordinary (br_if $ordinary (i32.ne (local.tee $i (i32.add (local.get $i) (i32.const 24))) (i32.const 25165848))))))
