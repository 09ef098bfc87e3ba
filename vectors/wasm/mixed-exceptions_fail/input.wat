;; Engines take one kind of exception handling in a module, not both.
(module
  (func (export "_start") (try (do)) (try_table)))
