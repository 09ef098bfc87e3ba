;; One page of two: growing by two is refused, by one allowed, by none tells the size.
(module (memory 1)
  (global $a (mut i32) (i32.const 0)) (global $b (mut i32) (i32.const 0)) (global $c (mut i32) (i32.const 0))
  (func (export "_start")
    (global.set $a (memory.grow (i32.const 2)))
    (global.set $b (memory.grow (i32.const 1)))
    (global.set $c (memory.grow (i32.const 0)))))
