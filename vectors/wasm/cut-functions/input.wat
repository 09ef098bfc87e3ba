;; Two cycles, each cut at one function: $a, which $b calls while the walk that began with $a is in $b (6 instructions), and $d,
;; which calls indirectly what leads back to it (3 instructions). $b and $c have no site: a(2) and a(1) and a(0) take 18,
;; d(1) and d(0) take 6.
(module
  (type $t (func (param i32)))
  (table funcref (elem $c))
  (func $a (param i32)
    (if (local.get 0) (then (call $b (i32.sub (local.get 0) (i32.const 1))))))
  (func $b (param i32)
    (call $a (local.get 0)))
  (func $c (param i32)
    (if (local.get 0) (then (call $d (i32.sub (local.get 0) (i32.const 1))))))
  (func $d (param i32)
    (call_indirect (type $t) (local.get 0) (i32.const 0)))
  (func (export "_start")
    (call $a (i32.const 2))
    (call $c (i32.const 2))))
