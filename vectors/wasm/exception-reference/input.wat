;; The same with references. try_table, call, throw_ref, loop and nop count; clauses do not.
;; The loop's region has one instruction: position 1.
(module
  (tag $t (param i32))
  (func (export "_start") (local $e exnref)
    (block $out
      (block $caught (result exnref)
        (try_table (catch_all_ref $caught) (throw $t (i32.const 5)))
        (br $out))
      (local.set $e)
      (loop (nop))
      (drop (block $value (result i32)
        (try_table (catch $t $value) (throw_ref (local.get $e)))
        (i32.const 0))))))
