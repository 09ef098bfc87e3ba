;; An exception that is caught, thrown again and caught. The loop's region has one instruction: position 1.
(module
  (tag $t (param i32))
  (func (export "_start")
    (try
      (do (try
        (do (throw $t (i32.const 5)))
        (catch_all (loop (nop)) (rethrow 0))))
      (catch $t (drop)))))
