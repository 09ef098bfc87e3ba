;; Global 0 does not exist here; in a rewritten module it would be the fuel.
(module (func (export "_start") (global.set 0 (i32.const 1000000))))
