;; An import that only a JavaScript host has.
(module (import "env" "now" (func (result f64))) (func (export "_start")))
