#!/bin/sh
# In an initial RAM disk: mounts the volume with the host's state, and is the host from then on. The volume needs no
# unlocking; on it are recovery/ (the agent's state) and, unless the options say otherwise, image.
#
#   reprise.state=/dev/…|LABEL=…|UUID=…   reprise.options="--listen …"
set -eu
PATH=/usr/lib/reprise/bin:/usr/bin:/usr/sbin:/bin:/sbin
export PATH
word() {
  sed -n "s/.*\b$1=\"\([^\"]*\)\".*/\1/p; t; s/.*\b$1=\([^ ]*\).*/\1/p" /proc/cmdline
}
device=$(word 'reprise\.state')
options=$(word 'reprise\.options')
state=/run/reprise/state
mkdir -p "$state"
# A disk may be slow to come; without it there is nothing else to do.
until mount -o nosuid,nodev "$device" "$state"; do
  echo "reprise: waiting for $device" >/dev/console
  sleep 2
done
# What is decrypted stands in memory of its own.
memory=/run/reprise/memory
mkdir -p "$memory"
mount -t tmpfs -o mode=0700,nosuid,nodev,size=80% reprise "$memory"
case $options in *--image*) ;; *) [ ! -f "$state/image" ] || options="--image $state/image $options" ;; esac
ulimit -c 0
while :; do
  # shellcheck disable=SC2086 # the options are words
  reprise recovery witness --state "$state/recovery" --memory "$memory" $options >/dev/console 2>&1 || true
  echo 'reprise: the agent ended; it is started again' >/dev/console
  sleep 5
done
