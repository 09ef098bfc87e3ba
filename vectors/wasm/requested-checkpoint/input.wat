;; Two labels around a loop of ten turns, one unknown WASI function, and a trap.
(module
  (import "reprise" "checkpoint" (func $checkpoint (param i32 i32)))
  (import "wasi_snapshot_preview1" "sock_open" (func $open (result i32)))
  (memory (export "memory") 1) (data (i32.const 0) "onetwo")
  (global $error (mut i32) (i32.const 0))
  (func (export "_start") (local $i i32)
    (call $checkpoint (i32.const 0) (i32.const 3))
    (loop $loop (br_if $loop (i32.ne (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 10))))
    (call $checkpoint (i32.const 3) (i32.const 3))
    (global.set $error (call $open))
    (unreachable)))
