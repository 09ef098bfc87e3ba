#!/bin/sh
# Debian's clang-19, lld-19, wasi-libc and libclang-rt-19-dev-wasm32; wasm-opt of npm's binaryen 132.0.0 for the second module,
# as clang 19 makes legacy exceptions only.
set -eu
objects=$(mktemp -d)
flags="--target=wasm32-wasi -O2 -c -fwasm-exceptions"
for source in unwinding runtime; do clang++-19 $flags -fno-rtti -o "$objects/$source.o" $source.cc; done
clang-19 --target=wasm32-wasi -Wl,--strip-all -o legacy.wasm "$objects"/*.o
wasm-opt --mvp-features --enable-mutable-globals --enable-sign-ext --enable-multivalue --enable-bulk-memory \
  --enable-reference-types --enable-exception-handling --translate-to-exnref -O2 legacy.wasm -o exnref.wasm
rm -r "$objects"
