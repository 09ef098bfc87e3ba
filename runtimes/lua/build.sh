#!/bin/sh
# Builds Lua for the machine: spec/runtime.md, section 1.2, has the rules for this script.
#
# As Lua's own makefile compiles it for a system that has no more than standard C, with what WASI has
# besides. Errors leave by setjmp.c, which is why ldo.c alone is compiled with another option.
set -eu

source=$WORK/lua/src
flags='-O3 -g0 -DNDEBUG -DLUA_COMPAT_5_3 -DLUA_USE_JUMPTABLE=0 -mbulk-memory -msign-ext -mnontrapping-fptoint
  -D_WASI_EMULATED_SIGNAL -D_WASI_EMULATED_PROCESS_CLOCKS'

# compile OBJECT FILE FLAGS…: a build that was cut off has objects that are whole, or none
compile() {
  object=$WORK/$1.o
  file=$2
  shift 2
  [ -f "$object" ] && return
  # shellcheck disable=SC2086
  clang-19 --target=wasm32-wasi $flags -ffile-prefix-map="$WORK=/build" -I"$PATCHES/include" -include "$PATCHES/machine.h" \
    "$@" -c "$file" -o "$object.new"
  mv "$object.new" "$object"
}

echo 'step: unpacking'
if [ ! -f "$WORK/unpacked" ]; then
  rm -rf "$WORK/lua"
  mkdir -p "$WORK/lua"
  tar -xf "$SOURCES/lua5.4_5.4.7.orig.tar.gz" -C "$WORK/lua" --strip-components=1 --no-same-owner
  : >"$WORK/unpacked"
fi

echo 'step: compiling'
for part in lapi lcode lctype ldebug ldump lfunc lgc llex lmem lobject lopcodes lparser lstate lstring ltable ltm lundump lvm \
  lzio lauxlib lbaselib lcorolib ldblib liolib lmathlib loadlib loslib lstrlib ltablib lutf8lib linit lua; do
  compile "$part" "$source/$part.c"
done
compile ldo "$source/ldo.c" -mllvm -wasm-enable-sjlj
compile setjmp "$PATCHES/setjmp.c" -mexception-handling
compile machine "$PATCHES/machine.c"

echo 'step: linking'
clang-19 --target=wasm32-wasi -Wl,--strip-all -Wl,-z,stack-size=1048576 -o "$OUT/runtime.wasm" "$WORK"/*.o \
  -lwasi-emulated-signal -lwasi-emulated-process-clocks -lm
mkdir -p "$OUT/licences"
# The notice stands at the end of Lua's main header.
sed -n '/^\* Copyright (C)/,$p' "$source/lua.h" >"$OUT/licences/Lua"
cp /usr/share/doc/wasi-libc/copyright "$OUT/licences/wasi-libc"
