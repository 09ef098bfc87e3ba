;; A table that code changes follows the globals: its number of entries, then each. Function 1 is in both entries first.
(module
  (table 2 funcref)
  (elem (i32.const 0) $g $g)
  (func (export "_start") (table.set (i32.const 0) (ref.null func)))
  (func $g))
