#!/bin/sh
# Installs the command, the units and the hooks for initial RAM disks; docs/recovery-hosts.md says what to do with them.
#
#   sh system/install.sh [--root FOLDER]     FOLDER: the root of the system, / unless given
#
# Writes below /usr/lib/reprise, /usr/lib/systemd/system, /usr/share/initramfs-tools, /usr/lib/dracut/modules.d, the link
# /usr/bin/reprise, and /etc/reprise/recovery.conf unless it is there. Starts and enables nothing. Said again, it replaces
# what it wrote. What Reprise keeps (/var/lib/reprise) is never touched.
set -eu
root=
case ${1-} in
  '') ;;
  --root) root=${2%/} ;;
  *)
    echo 'usage: sh system/install.sh [--root FOLDER]' >&2
    exit 2
    ;;
esac
here=$(cd "$(dirname "$0")" && pwd)
source=${here%/*}

# Brings the pinned Node and the bundled command, where they are not there yet.
"$source/reprise" --version >/dev/null
[ -x "$source/dist/recovery/holder" ] || {
  echo "reprise: images cannot be loaded: $(cat "$source/dist/recovery/absent")" >&2
  exit 1
}

lib=$root/usr/lib/reprise
build=$(sed -n "s|^require('./\(build-[0-9a-f]*\)/main.js')$|\1|p" "$source/dist/reprise.cjs")
mkdir -p "$lib.new/bin" "$lib.new/dist" "$root/usr/bin" "$root/etc/reprise"
cp -L "$source/node_modules/.bin/node" "$lib.new/bin/node"
cp "$here/reprise" "$here/initrd.sh" "$lib.new/"
chmod 755 "$lib.new/reprise"
cp -R "$source/dist/reprise.cjs" "$source/dist/$build" "$source/dist/recovery" "$lib.new/dist/"
[ ! -d "$source/dist/dirty-pages" ] || cp -R "$source/dist/dirty-pages" "$lib.new/dist/"
rm -rf "$lib.new/dist/$build/compiled"
rm -rf "$lib.old"
[ ! -d "$lib" ] || mv "$lib" "$lib.old"
mv "$lib.new" "$lib"
rm -rf "$lib.old"
ln -sfn ../lib/reprise/reprise "$root/usr/bin/reprise"

# files MODE FOLDER FILE…
files() {
  mode=$1
  folder=$root$2
  shift 2
  mkdir -p "$folder"
  for file in "$@"; do
    cp "$file" "$folder/"
    chmod "$mode" "$folder/${file##*/}"
  done
}
files 644 /usr/lib/systemd/system "$here"/systemd/*
files 755 /usr/share/initramfs-tools/hooks "$here/initramfs-tools/hooks/reprise"
files 755 /usr/share/initramfs-tools/scripts/init-premount "$here/initramfs-tools/scripts/init-premount/reprise"
files 755 /usr/lib/dracut/modules.d/90reprise "$here"/dracut/90reprise/*
[ -e "$root/etc/reprise/recovery.conf" ] || files 644 /etc/reprise "$here/recovery.conf"
echo "reprise: installed in ${root:-/}; docs/recovery-hosts.md goes on" >&2
