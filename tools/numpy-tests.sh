#!/bin/sh
# Runs NumPy's own tests in the module that runtimes/numpy builds, under Node's WASI: what fails, and why, is in
# runtimes/numpy/tests.md. The tests stand in for NumPy itself here, so neither rewriting nor signing is of interest.
#
#   sh tools/numpy-tests.sh BASE WORK [FILE…]
#
# BASE: OUT of the built recipe `python` (below $REPRISE_HOME/cache/runtimes/builds). WORK: a folder of this script's own, kept.
# FILE: such as core/tests/test_multiarray.py; all of them without one. Each runs in a process of its own, for a trap ends that.
# pytest and hypothesis are Debian's packages, unpacked into WORK. The answer is one line for each file, then what failed.
set -eu
base=$(realpath "$1")
mkdir -p "$2"
work=$(realpath "$2")
shift 2
root=$(cd "$(dirname "$0")/.." && pwd)
node=$root/node_modules/.bin/node
packages='python3-pytest python3-hypothesis python3-pluggy python3-iniconfig python3-attr python3-packaging python3-py python3-sortedcontainers'

mkdir -p "$work/debian" "$work/sources" "$work/build" "$work/logs" "$work/guest"
if [ ! -f "$work/debian/done" ]; then
  # shellcheck disable=SC2086
  (cd "$work/debian" && apt-get -q download $packages && for each in *.deb; do dpkg -x "$each" tree; done && : >done)
fi
(cd "$work/sources" && [ -f numpy_1.19.5.orig.tar.xz ] || {
  echo "numpy_1.19.5.orig.tar.xz is not in $work/sources: take it from \$REPRISE_HOME/cache/runtimes/sources" >&2
  exit 3
})
env -i PATH="$PATH" HOME="$work" LC_ALL=C.UTF-8 TZ=UTC SOURCES="$work/sources" PATCHES="$root/runtimes/numpy" WORK="$work/build" \
  OUT="$work/out" BASE="$base" JOBS=2 WITH=tests sh "$root/runtimes/numpy/build.sh" >&2

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

numpy=$work/out/lib/lib/python3.11/site-packages/numpy
[ $# -gt 0 ] || set -- $(cd "$numpy" && ls */tests/test_*.py)
for file in "$@"; do
  log=$work/logs/$(echo "$file" | tr / _).log
  (cd "$work/guest" && "$node" --no-warnings "$root/tools/numpy-tests.mjs" "$work" "/python/lib/python3.11/site-packages/numpy/$file") >"$log" 2>&1 || :
  printf '%s   %s\n' "$file" "$(tail -n 1 "$log")"
done
grep -h '^FAILED\|^ERROR' "$work"/logs/*.log || :
