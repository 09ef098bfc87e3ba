;; f(n) calls itself in tail position: cyclic, 6 instructions, a site at each entry. Its 16 + 1 + 2 slots are given back
;; before each call, so that a limit of 19 is enough for any n.
(module
  (func $f (param i32)
    (if (local.get 0) (then (return_call $f (i32.sub (local.get 0) (i32.const 1))))))
  (func (export "_start") (call $f (i32.const 3))))
