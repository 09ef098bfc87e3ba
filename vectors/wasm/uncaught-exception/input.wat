;; Nothing catches it: a trap of its own, at the position of the last stop. The loop's region has 4 instructions, one turn.
(module
  (tag $t)
  (func (export "_start")
    (loop $l (br_if $l (i32.and (i32.const 0) (i32.const 1))))
    (throw $t)))
