;; $a has 16 + 1 parameter + 2 operands = 19 slots and $b behind it 18, which ends before the next $a. 37 slots are taken at
;; each entry of $a: two of them fit 110, and the third is refused before its site.
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
    (call $a (i32.const 5))
    (call $c (i32.const 5))))
