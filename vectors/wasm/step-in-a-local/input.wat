;; A step that the function keeps in a local: counted. The second loop's step is set twice: not counted.
(module
  (func (export "_start") (local $i i32) (local $four i32) (local $other i32)
    (local.set $four (i32.const 4))
    (loop $counted (br_if $counted (i32.ne (local.tee $i (i32.add (local.get $i) (local.get $four))) (i32.const 400))))
    (local.set $other (i32.const 1))
    (local.set $other (i32.const 100))
    (loop $ordinary (br_if $ordinary (i32.ne (local.tee $i (i32.add (local.get $i) (local.get $other))) (i32.const 800))))))
