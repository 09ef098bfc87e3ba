;; The example of spec/wasm-machine.md §5: a stop is wanted at every site.
(module
  (func $f (param i32) (result i32)
    (if (result i32) (i32.lt_u (local.get 0) (i32.const 2))
      (then (local.get 0))
      (else (i32.add (call $f (i32.sub (local.get 0) (i32.const 1)))
                     (call $f (i32.sub (local.get 0) (i32.const 2)))))))
  (func (export "_start") (local $i i32) (local $j i32)
    (loop $outer
      (drop (call $f (i32.const 3)))
      (local.set $j (i32.const 0))
      (loop $inner
        (br_if $inner (i32.ne (local.tee $j (i32.add (local.get $j) (i32.const 1))) (i32.const 10))))
      (br_if $outer (i32.ne (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 2))))))
