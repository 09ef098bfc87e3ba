#!/bin/sh
# Builds NumPy with its own tests inside, for tools/numpy-tests.ts, which runs them.
#
#   sh tools/numpy-tests.sh BASE WORK SOURCES
#
# BASE: OUT of the built recipe `python`. WORK: a folder of this script's own, kept. SOURCES: where builds keep their
# sources, by digest; what is not there is fetched. pytest and hypothesis are Debian's packages, unpacked into WORK.
set -eu
base=$(realpath "$1")
mkdir -p "$2"
work=$(realpath "$2")
sources=$3
root=$(cd "$(dirname "$0")/.." && pwd)
name=numpy_1.19.5.orig.tar.xz
sha256=8b474321e5eda27119f3f916ec9078b772fd3b011b9a91f86a65a0984e731285
packages='python3-pytest python3-hypothesis python3-pluggy python3-iniconfig python3-attr python3-packaging python3-py python3-sortedcontainers'

mkdir -p "$work/debian" "$work/sources" "$work/build" "$work/guest"
if [ ! -f "$work/debian/done" ]; then
  # shellcheck disable=SC2086
  (cd "$work/debian" && apt-get -q download $packages && for each in *.deb; do dpkg -x "$each" tree; done && : >done)
fi
if [ ! -f "$work/sources/$name" ]; then
  [ -f "$sources/$sha256-$name" ] || {
    echo "$name is not in $sources: reprise runtime build numpy" >&2
    exit 3
  }
  cp "$sources/$sha256-$name" "$work/sources/$name.new"
  mv "$work/sources/$name.new" "$work/sources/$name"
fi
# Objects of another recipe must not be gone on with.
recipe=$(cd "$root/runtimes/numpy" && find . -type f ! -name '*.md' ! -name '*.json' -exec sha256sum {} + | LC_ALL=C sort | sha256sum)
if [ "$(cat "$work/recipe" 2>/dev/null || :)" != "$recipe" ]; then
  rm -rf "$work/build" "$work/out"
  mkdir -p "$work/build"
  echo "$recipe" >"$work/recipe"
fi
env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME="$work" LC_ALL=C.UTF-8 TZ=UTC SOURCES="$work/sources" \
  PATCHES="$root/runtimes/numpy" WORK="$work/build" OUT="$work/out" BASE="$base" JOBS=2 WITH=tests sh "$root/runtimes/numpy/build.sh"

# Some files of tests import ctypes and use it in one or two tests. NumPy itself is told that there is none.
mkdir -p "$work/absent"
cat >"$work/absent/ctypes.py" <<'END'
import sys

caller = sys._getframe()
while "importlib" in caller.f_code.co_filename or caller.f_code.co_filename == __file__:
    caller = caller.f_back
if "/tests/" not in caller.f_code.co_filename:
    raise ImportError("ctypes is absent")


def __getattr__(name):
    if name.startswith("__"):
        raise AttributeError(name)
    return type(name, (), {})
END
