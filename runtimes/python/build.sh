#!/bin/sh
# Builds CPython for the machine: spec/runtime.md, section 1.2, has the rules for this script.
#
# One static module with all that the standard library has and WASI can do. Everything compiled is
# kept in WORK, and each step leaves a stamp, so that a build that was cut off goes on where it was.
#
# WITH=counted, which no component of the recipe stands for, makes the module that counts what it does:
# tools/python-profile.ts makes profile.xz with it, by which the other is optimised.
set -eu

version=3.11
target=wasm32-wasi
prefix=$WORK/deps
bin=$WORK/bin
flags='-O3 -g0 -DNDEBUG -mbulk-memory -msign-ext -mnontrapping-fptoint'
emulated='-D_WASI_EMULATED_SIGNAL -D_WASI_EMULATED_GETPID -D_WASI_EMULATED_PROCESS_CLOCKS'
libraries='-lwasi-emulated-signal -lwasi-emulated-getpid -lwasi-emulated-process-clocks'

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

# unpack NAME ARCHIVE: into WORK/src/NAME, once
unpack() {
  is_done "unpack-$1" && return
  rm -rf "$WORK/src/$1"
  mkdir -p "$WORK/src/$1"
  tar -xf "$SOURCES/$2" -C "$WORK/src/$1" --strip-components=1 --no-same-owner
  done_ "unpack-$1"
}

# compile OBJECTS FLAGS FILE…: C files of the current folder into OBJECTS, JOBS at a time
compile() {
  objects=$1
  options=$2
  shift 2
  mkdir -p "$objects"
  # shellcheck disable=SC2016
  printf '%s\n' "$@" | xargs -P "$JOBS" -I '{}' sh -eu -c '
    object=$1/$(echo "$2" | tr / _ | sed "s/c$/o/")
    [ -f "$object" ] || { "$4" $3 -c "$2" -o "$object.new"; mv "$object.new" "$object"; }
  ' sh "$objects" '{}' "$options" "$bin/cc"
}

# archive NAME: its objects, sorted, into lib/libNAME.a
archive() {
  mkdir -p "$prefix/lib" "$prefix/include"
  rm -f "$prefix/lib/lib$1.a"
  LC_ALL=C llvm-ar-19 rcsD "$prefix/lib/lib$1.a" "$WORK/obj/$1"/*.o
}

compiler() {
  mkdir -p "$bin" "$WORK/done"
  # Paths of this machine must not come into the module.
  cat >"$bin/cc.new" <<END
#!/bin/sh
exec clang-19 --target=$target -Wno-error=int-conversion -ffile-prefix-map=$WORK=/build "\$@"
END
  chmod +x "$bin/cc.new"
  mv "$bin/cc.new" "$bin/cc"
}

zlib() {
  step 'zlib'
  unpack zlib zlib_1.3.dfsg+really1.3.1.orig.tar.gz
  cd "$WORK/src/zlib"
  compile "$WORK/obj/z" "$flags -DHAVE_UNISTD_H -DHAVE_STDARG_H" adler32.c compress.c crc32.c deflate.c gzclose.c gzlib.c \
    gzread.c gzwrite.c infback.c inffast.c inflate.c inftrees.c trees.c uncompr.c zutil.c
  archive z
  cp zlib.h zconf.h "$prefix/include/"
  done_ zlib
}

bz2() {
  step 'bzip2'
  unpack bzip2 bzip2_1.0.8.orig.tar.gz
  cd "$WORK/src/bzip2"
  compile "$WORK/obj/bz2" "$flags" blocksort.c bzlib.c compress.c crctable.c decompress.c huffman.c randtable.c
  archive bz2
  cp bzlib.h "$prefix/include/"
  done_ bz2
}

# Without its configure: what that would find out of WASI is known.
lzma() {
  step 'liblzma'
  unpack xz xz-utils_5.8.1.orig.tar.xz
  cd "$WORK/src/xz/src/liblzma"
  have='-DHAVE_STDBOOL_H -DHAVE_STDINT_H -DHAVE_INTTYPES_H -DHAVE_LIMITS_H -DHAVE_STRING_H -DHAVE__BOOL -DHAVE___BUILTIN_BSWAPXX
    -DHAVE___BUILTIN_ASSUME_ALIGNED -DHAVE_FUNC_ATTRIBUTE_CONSTRUCTOR -DHAVE_VISIBILITY=0 -DSIZEOF_SIZE_T=4 -DASSUME_RAM=128
    -DTUKLIB_FAST_UNALIGNED_ACCESS -DTUKLIB_SYMBOL_PREFIX=lzma_ -DPACKAGE_NAME="XZ" -DPACKAGE_URL="https://tukaani.org/xz/"
    -DHAVE_CHECK_CRC32 -DHAVE_CHECK_CRC64 -DHAVE_CHECK_SHA256 -DHAVE_ENCODERS -DHAVE_DECODERS -DHAVE_LZIP_DECODER
    -DHAVE_MF_HC3 -DHAVE_MF_HC4 -DHAVE_MF_BT2 -DHAVE_MF_BT3 -DHAVE_MF_BT4'
  for filter in LZMA1 LZMA2 DELTA X86 ARM ARMTHUMB ARM64 IA64 POWERPC RISCV SPARC; do
    have="$have -DHAVE_ENCODER_$filter -DHAVE_DECODER_$filter"
  done
  have="$have -Iapi -Icommon -Icheck -Ilz -Irangecoder -Ilzma -Idelta -Isimple -I../common"
  files=$(ls check/*.c common/*.c delta/*.c lz/*.c lzma/*.c rangecoder/*.c simple/*.c |
    grep -v -e tablegen -e small -e clmul -e _mt.c -e outqueue -e hardware)
  # shellcheck disable=SC2086
  compile "$WORK/obj/lzma" "$flags $(echo $have)" $files
  archive lzma
  cp -R api/lzma.h api/lzma "$prefix/include/"
  done_ lzma
}

# WASI has no locks on files. There is one process, so each is granted.
sqlite() {
  step 'SQLite'
  unpack sqlite sqlite3_3.46.1.orig.tar.xz
  cd "$WORK/src/sqlite"
  if ! is_done sqlite-source; then
    # What its configure would have made of its makefile; the programs that make the one large file run here.
    make -s -f main.mk TOP=. BCC='clang-19 -O1' TCC='clang-19 -O1' OPTS= sqlite3.c
    done_ sqlite-source
  fi
  compile "$WORK/obj/sqlite3" "$flags $emulated -include $PATCHES/sqlite-wasi.h -DSQLITE_THREADSAFE=0 -DSQLITE_OMIT_WAL
    -DSQLITE_OMIT_LOAD_EXTENSION -DSQLITE_ENABLE_FTS5 -DSQLITE_ENABLE_RTREE -DSQLITE_ENABLE_MATH_FUNCTIONS
    -DSQLITE_ENABLE_COLUMN_METADATA -DSQLITE_TEMP_STORE=2 -DSQLITE_DEFAULT_MEMSTATUS=0 -DHAVE_UTIME" sqlite3.c
  archive sqlite3
  cp sqlite3.h sqlite3ext.h "$prefix/include/"
  done_ sqlite
}

# profiled: how CPython itself is compiled. Functions of a file are named by the file alone, whose folder is this machine's.
profiled() {
  if with counted; then
    set -- -fprofile-generate -mllvm -enable-name-compression=false
  else
    set -- "-fprofile-use=$WORK/profile"
  fi
  echo "$flags -mllvm -static-func-full-module-prefix=false $*"
}

profile() {
  if with counted; then
    "$bin/cc" -O2 -c "$PATCHES/counted.c" -o "$WORK/counted.o"
  else
    xz -dc "$PATCHES/profile.xz" >"$WORK/profile.text"
    llvm-profdata-19 merge -o "$WORK/profile" "$WORK/profile.text"
  fi
  done_ profile
}

configure_python() {
  step 'configuring CPython'
  unpack python python3.11_3.11.2.orig.tar.gz
  is_done patched || (
    cd "$WORK/src/python"
    # Also after a kill in the middle of it.
    for file in "$PATCHES"/*.patch; do
      patch -p1 --forward --batch --reject-file=- <"$file" || patch -p1 --reverse --dry-run --batch <"$file"
    done
    done_ patched
  )
  mkdir -p "$WORK/python"
  cd "$WORK/python"
  export CC="$bin/cc" CXX=false AR=llvm-ar-19 RANLIB=llvm-ranlib-19 READELF=true LDSHARED=false
  OPT=$(profiled)
  export OPT CONFIG_SITE="$WORK/src/python/Tools/wasm/config.site-wasm32-wasi"
  export PKG_CONFIG_PATH='' PKG_CONFIG_LIBDIR=/nonexistent
  # A component that is left out must not be found on this machine either.
  with zlib && export ZLIB_CFLAGS="-I$prefix/include" ZLIB_LIBS="-L$prefix/lib -lz"
  with bz2 && export BZIP2_CFLAGS="-I$prefix/include" BZIP2_LIBS="-L$prefix/lib -lbz2"
  with lzma && export LIBLZMA_CFLAGS="-I$prefix/include" LIBLZMA_LIBS="-L$prefix/lib -llzma"
  with sqlite && export LIBSQLITE3_CFLAGS="-I$prefix/include" LIBSQLITE3_LIBS="-L$prefix/lib -lsqlite3"
  # CPython's own allocator, which its configure leaves out of WASI to save room: what malloc takes longer for is every object.
  # The same prefix for everybody: it is in sys.config and in the module. PYTHONHOME says where the library is.
  "$WORK/src/python/configure" --cache-file="$WORK/python/config.cache" --host=wasm32-unknown-wasi --build=x86_64-linux-gnu \
    --with-build-python="$(command -v python3.11)" --prefix=/usr/local --with-platlibdir=lib \
    --disable-test-modules --without-ensurepip --without-computed-gotos --disable-ipv6 --enable-big-digits=30 --with-pymalloc
  done_ configured
}

python() {
  is_done profile || profile
  is_done configured || configure_python
  step 'compiling CPython'
  cd "$WORK/python"
  # Where the sources are would come into the module: getpath looks for a build folder by it.
  sed -i "s|-DVPATH='\"\$(VPATH)\"'|-DVPATH='\"/build/src/python\"'|" Makefile
  # A stack of 8 MiB instead of 512 KiB, as later versions have it: deep recursion ends in Python's own exception.
  link='-z stack-size=8388608 -Wl,--stack-first -Wl,--initial-memory=20971520'
  if with counted; then link="$WORK/counted.o $link -Wl,--initial-memory=67108864"; fi
  make -j "$JOBS" LDFLAGS_NODIST="$link" python.wasm
  # What sysconfig tells.
  make pybuilddir.txt
}

# install_library: what the guest reads, without what cannot work there
install_library() {
  step 'compiling the library'
  rm -rf "$OUT"
  library=$OUT/lib/lib/python$version
  mkdir -p "$library"
  (cd "$WORK/src/python/Lib" && tar -cf - --exclude=test --exclude=tests --exclude=idlelib --exclude=tkinter --exclude=turtledemo \
    --exclude=ensurepip --exclude=lib2to3 --exclude=distutils --exclude=__pycache__ --exclude=site-packages --exclude='*.bat' .) |
    tar -xf - -C "$library"
  rm -f "$library/turtle.py"
  # What the configuration was, with /build for the paths of this machine; one value a line, because lines were broken by their length.
  build=$(cat "$WORK/python/pybuilddir.txt")
  python$version -I -S -c '
import sys

names = {}
with open(sys.argv[1]) as file:
    exec(file.read(), names)
print("build_time_vars = {")
for name, value in sorted(names["build_time_vars"].items()):
    if isinstance(value, str):
        value = value.replace(sys.argv[2], "/build").replace(sys.argv[3], "python3.11")
    print(f"    {name!r}: {value!r},")
print("}")
' "$WORK/python/$build"/_sysconfigdata_*.py "$WORK" "$(command -v python3.11)" >"$library/_sysconfigdata__wasi_wasm32-wasi.py"
  cp "$PATCHES"/absent/*.py "$library/"
  # By content, and never looked at again: times of files are not those of this machine in the guest.
  python$version -I -S -m compileall -q -j 1 --invalidation-mode unchecked-hash -s "$OUT/lib" -p /python "$library" ||
    { echo 'the library could not be compiled'; exit 1; }
}

install_licences() {
  mkdir -p "$OUT/licences"
  cp "$WORK/src/python/LICENSE" "$OUT/licences/CPython"
  with zlib && cp "$WORK/src/zlib/README" "$OUT/licences/zlib"
  with bz2 && cp "$WORK/src/bzip2/LICENSE" "$OUT/licences/bzip2"
  with lzma && cp "$WORK/src/xz/COPYING.0BSD" "$OUT/licences/liblzma"
  with sqlite && cp "$WORK/src/sqlite/LICENSE.md" "$OUT/licences/SQLite"
  cp "$WORK/src/python/Modules/expat/COPYING" "$OUT/licences/expat"
  cp /usr/share/doc/wasi-libc/copyright "$OUT/licences/wasi-libc"
}

# install_sdk: to compile extension modules and link them in, for recipes that build on this one
install_sdk() {
  sdk=$OUT/sdk
  mkdir -p "$sdk/include/python$version" "$sdk/lib"
  cp -R "$WORK/src/python/Include/." "$sdk/include/python$version/"
  cp "$WORK/python/pyconfig.h" "$sdk/include/python$version/"
  cp "$WORK/python/libpython$version.a" "$sdk/lib/"
  for extra in "$WORK/python"/Modules/_decimal/libmpdec/libmpdec.a "$WORK/python"/Modules/expat/libexpat.a "$prefix"/lib/*.a; do
    [ ! -f "$extra" ] || cp "$extra" "$sdk/lib/"
  done
  # What python.wasm is linked with, for a main program of somebody else.
  set --
  for extra in "$sdk"/lib/*.a; do
    name=$(basename "$extra" .a)
    [ "$name" = "libpython$version" ] || set -- "$@" "-l${name#lib}"
  done
  echo "-lpython$version $* $libraries -lm" >"$sdk/lib/link-flags"
  echo "$flags $emulated" >"$sdk/compile-flags"
}

compiler
if with zlib; then is_done zlib || (zlib); fi
if with bz2; then is_done bz2 || (bz2); fi
if with lzma; then is_done lzma || (lzma); fi
if with sqlite; then is_done sqlite || (sqlite); fi
(python)
(install_library)
install_licences
install_sdk
step 'putting the module in its place'
llvm-strip-19 --strip-debug -o "$OUT/runtime.wasm" "$WORK/python/python.wasm"
