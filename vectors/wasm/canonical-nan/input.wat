;; A constant NaN keeps its bits; what a call returned and arithmetic made is canonical.
(module
  (global $a (mut i64) (i64.const 0)) (global $b (mut i64) (i64.const 0)) (global $c (mut f64) (f64.const 0))
  (func $same (param f64) (result f64) (local.get 0))
  (func (export "_start")
    (global.set $a (i64.reinterpret_f64 (f64.const -nan:0x4000000000001)))
    (global.set $b (i64.reinterpret_f64 (call $same (f64.const -nan:0x4000000000001))))
    (global.set $c (f64.sub (f64.const inf) (f64.const inf)))))
