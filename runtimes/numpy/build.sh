#!/bin/sh
# Builds CPython with NumPy inside, on top of the recipe `python`: spec/runtime.md, section 1.2, has the rules for this script.
#
# The sources are unpacked, patched and completed by NumPy's own generators (generate.py), compiled against the headers of
# the base, and linked with its libraries into one static module. Everything compiled is kept in WORK.
#
# WITH=tests, which no component of the recipe stands for, adds NumPy's own tests and the modules that they need:
# tools/numpy-tests.ts.
set -eu

python=3.11
numpy=1.19.5
bin=$WORK/bin
tree=$WORK/src
objects=$WORK/obj
# The interpreter of the system: Cython is a package of it.
host=/usr/bin/python3

# Loops over numbers with SIMD: the same operations in the same order, several at a time, and so the same results.
# Nothing may be contracted or reordered.
flags='-O3 -g0 -DNDEBUG -w -msimd128 -mbulk-memory -msign-ext -mnontrapping-fptoint -fno-strict-aliasing -ffp-contract=off
  -D_WASI_EMULATED_SIGNAL -D_WASI_EMULATED_GETPID -D_WASI_EMULATED_PROCESS_CLOCKS -DHAVE_NPY_CONFIG_H=1 -DNPY_INTERNAL_BUILD=1
  -D_FILE_OFFSET_BITS=64 -D_LARGEFILE_SOURCE=1'

step() {
  echo "step: $*"
}

with() {
  case " $WITH " in
    *" $1 "*) return 0 ;;
    *) return 1 ;;
  esac
}

is_done() {
  [ -f "$WORK/done/$1" ]
}

done_() {
  : >"$WORK/done/$1"
}

prepare() {
  step 'unpacking and patching NumPy'
  rm -rf "$tree"
  mkdir -p "$tree"
  tar -xf "$SOURCES/numpy_$numpy.orig.tar.xz" -C "$tree" --strip-components=1 --no-same-owner
  for patch in "$PATCHES"/*.patch; do
    patch -s -d "$tree" -p1 <"$patch"
  done
  cp "$PATCHES"/include/*.h "$tree/numpy/core/include/numpy/"
  done_ prepared
}

generate() {
  step 'generating loops, tables and numpy.random'
  "$host" "$PATCHES/generate.py" "$tree"
  done_ generated
}

# sources: the C files of NumPy that its own setup.py would compile, and what each needs besides the common flags
sources() {
  cd "$tree/numpy"
  core=core/src
  ls $core/multiarray/*.c $core/umath/*.c $core/common/*.c $core/npymath/*.c $core/npysort/*.c |
    grep -v -e _tests.c -e cblasfuncs.c -e python_xerbla.c -e _signbit.c -e cpuid
  ls linalg/*.c linalg/lapack_lite/*.c fft/*.c
  ls random/*.c random/src/distributions/*.c random/src/legacy/*.c random/src/mt19937/mt19937.c random/src/mt19937/mt19937-jump.c random/src/pcg64/pcg64.c \
    random/src/philox/philox.c random/src/sfc64/sfc64.c
  if with tests; then ls $core/multiarray/_multiarray_tests.c $core/umath/*_tests.c; fi
}

compile() {
  step 'compiling NumPy'
  mkdir -p "$objects"
  cd "$tree/numpy"
  core=core/src
  # Paths of this machine must not come into the module.
  include="-I$BASE/sdk/include/python$python -I$BASE/sdk/include/python$python/internal -Icore/include -Icore/include/numpy -I$core
    -I$core/common -I$core/multiarray -I$core/umath -I$core/npymath -I$core/npysort -Ilinalg -Ilinalg/lapack_lite -Irandom -Irandom/src
    -Irandom/src/legacy -DNPY_NO_DEPRECATED_API=0"
  cat >"$bin/compile.new" <<END
#!/bin/sh
set -eu
object=$objects/\$(echo "\$1" | tr / _ | sed 's/c\$/o/')
legacy=
case \$1 in random/mtrand.c | random/src/legacy/*) legacy=-DNP_RANDOM_LEGACY=1 ;; esac
[ -f "\$object" ] || { clang-19 --target=wasm32-wasi -ffile-prefix-map=$WORK=/build $(echo $flags) $(echo $include) \$legacy -c "\$1" -o "\$object.new"; mv "\$object.new" "\$object"; }
END
  chmod +x "$bin/compile.new"
  mv "$bin/compile.new" "$bin/compile"
  sources | xargs -P "$JOBS" -I '{}' "$bin/compile" '{}'
}

# The list of objects is in a fixed order, which the module's layout follows. Without -O: with it clang would run wasm-opt over
# the module where that is installed, and it is no tool of this recipe. The linker is told the same either way.
link() {
  step 'linking CPython and NumPy'
  defines=
  if with tests; then defines=-DNUMPY_TESTS; fi
  # shellcheck disable=SC2086
  clang-19 --target=wasm32-wasi $(cat "$BASE/sdk/compile-flags") $defines -I"$BASE/sdk/include/python$python" -c "$PATCHES/main.c" -o "$WORK/main.o"
  # shellcheck disable=SC2046
  clang-19 --target=wasm32-wasi -z stack-size=8388608 -Wl,--stack-first -Wl,--initial-memory=33554432 -o "$WORK/python.wasm" \
    "$WORK/main.o" $(cd "$tree" && sources | sed "s|/|_|g; s|c\$|o|; s|^|$objects/|" | LC_ALL=C sort) -L"$BASE/sdk/lib" $(cat "$BASE/sdk/lib/link-flags")
}

# What is not in the library: what compiles extensions, which has no place here, and the tests unless asked for.
install_library() {
  step 'compiling the library'
  rm -rf "$OUT"
  mkdir -p "$OUT"
  cp -R "$BASE/lib" "$OUT/lib"
  site=$OUT/lib/lib/python$python/site-packages
  mkdir -p "$site"
  tests='--exclude=tests --exclude=conftest.py'
  if with tests; then tests=; fi
  # shellcheck disable=SC2086
  (cd "$tree" && tar -cf - $tests --exclude=distutils --exclude=f2py --exclude=include --exclude=src --exclude=code_generators \
    --exclude='*.c' --exclude='*.h' --exclude='*.src' --exclude='*.pyx' --exclude='*.pxd' --exclude='*.in' --exclude=setup.py \
    --exclude='setup_common.py' --exclude=_examples --exclude=lapack_lite --exclude=_build_utils --exclude=__pycache__ numpy) | tar -xf - -C "$site"
  cp "$PATCHES/library/__config__.py" "$site/numpy/__config__.py"
  "python$python" -I -S -m compileall -q -j 1 --invalidation-mode unchecked-hash -s "$OUT/lib" -p /python "$site" ||
    { echo 'the library could not be compiled'; exit 1; }
  cp -R "$BASE/licences" "$OUT/licences"
  cp "$tree/LICENSE.txt" "$OUT/licences/NumPy"
  cp "$tree/numpy/random/LICENSE.md" "$OUT/licences/NumPy-random"
}

mkdir -p "$WORK/done" "$bin"
is_done prepared || prepare
is_done generated || generate
(compile)
(link)
(install_library)
step 'putting the module in its place'
llvm-strip-19 --strip-debug -o "$OUT/runtime.wasm" "$WORK/python.wasm"
