;; Activations of 16 + 1 parameter + 2 locals + 2 operands = 21 slots: 47 of them fit 1,000.
(module
  (func $f (param i32) (local i64 f64)
    (call $f (i32.add (local.get 0) (i32.const 1))))
  (func (export "_start") (call $f (i32.const 0))))
