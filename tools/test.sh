#!/bin/sh
# npm test and npm run nightly: sets this machine up, then runs every check and every test.
#
#   sh tools/test.sh [all|nightly]
#
# The machine's own npm starts this, perhaps on an old Node and without node_modules: hence plain sh.
set -eu
cd "$(dirname "$0")/.."
started=$(date +%s)
tier=${1:-all}

sh tools/setup.sh packages
sh tools/setup.sh tests
[ "$tier" != nightly ] || sh tools/setup.sh guest
sh tools/check.sh static
[ -t 1 ] || export NO_COLOR=1
PATH=$PWD/node_modules/.bin:$PATH
REPRISE_TESTS=$tier vitest run
[ "$tier" != nightly ] || node tools/mutation/mutation.ts
echo "passed: every check and every test ($tier), $(($(date +%s) - started)) s in all"
