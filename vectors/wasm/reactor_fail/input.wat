;; A library: it has no program to run.
(module (func (export "_initialize")))
