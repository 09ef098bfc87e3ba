#!/bin/sh
# A machine of its own on this one: process, mount and network namespaces, the files of this system with what was changed
# since laid over them, and a TPM at /dev/tpmrm0. Its power goes when its first process is killed.
#
#   unshare --fork --pid --mount --net --uts --kill-child sh machine.sh FOLDER NAME
#
# FOLDER (in memory) has upper/, its disk; tools/terminal, which makes a terminal of swtpm. The machine says with /run/plug when its network is wanted, and with /run/on when it is on.
set -eu
folder=$1
hostname "$2"
mount --make-rprivate /
mkdir -p "$folder/upper" "$folder/work" "$folder/root"
root=$folder/root
mount -t overlay -o "lowerdir=/,upperdir=$folder/upper,workdir=$folder/work" overlay "$root"
mount -t proc proc "$root/proc"
mount --rbind /sys "$root/sys"
mount -t tmpfs -o mode=0755 dev "$root/dev"
mount -t tmpfs -o mode=0755 run "$root/run"
mkdir "$root/dev/pts" "$root/dev/shm"
mount -t devpts -o newinstance,ptmxmode=0666 devpts "$root/dev/pts"
mount -t tmpfs -o mode=1777 shm "$root/dev/shm"
ln -s pts/ptmx "$root/dev/ptmx"
ln -s /proc/self/fd "$root/dev/fd"
ln -s /proc/self/fd/1 "$root/dev/stdout"
node() { mknod -m 666 "$root/dev/$1" "$2" "$3" "$4"; }
node null c 1 3
node zero c 1 5
node full c 1 7
node random c 1 8
node urandom c 1 9
node tty c 5 0
node loop-control c 10 237
number=0
while [ $number -lt 64 ]; do
  node "loop$number" b 7 $number
  number=$((number + 1))
done
cp "$folder/tools/terminal" "$root/run/terminal"
mkdir -p "$root/run/before"
cd "$root"
pivot_root . run/before
umount -l /run/before
ip link set lo up
# The TPM gets its power with the machine.
rm -f /tpm/s
swtpm socket --tpm2 --tpmstate dir=/tpm,mode=0600 --server type=unixio,path=/tpm/s,mode=0600 --flags not-need-init,startup-clear &
while [ ! -S /tpm/s ]; do sleep 0.05; done
/run/terminal /tpm/s /dev/tpmrm0 &
while [ ! -e /dev/tpmrm0 ]; do sleep 0.05; done
# Whoever made the network namespace plugs it in now.
touch /run/plug
while [ ! -e /run/plugged ]; do sleep 0.05; done
for unit in /etc/enabled/*; do
  [ ! -e "$unit" ] || systemctl start "${unit##*/}"
done
touch /run/on
while :; do sleep 1000; done
