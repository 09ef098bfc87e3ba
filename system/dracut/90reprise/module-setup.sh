#!/bin/bash
# dracut: what a host needs that is released before any disk of it is mounted. About 200 MB.

check() {
  # Only where it is asked for: add_dracutmodules+=" reprise "
  return 255
}

depends() {
  echo base
}

installkernel() {
  hostonly='' instmods tpm_tis tpm_crb loop erofs squashfs overlay ext4 virtio_blk virtio_net
}

install() {
  local root=/usr/lib/reprise file
  find "$root" -type f | while IFS= read -r file; do inst_simple "$file"; done
  inst_multiple "$root/bin/node" "$root/dist/recovery/holder" mount umount losetup flock modprobe sed grep sleep cat mkdir
  inst_multiple -o kexec fsck.erofs unsquashfs
  ln -sfn ../lib/reprise/reprise "$initdir/usr/bin/reprise"
  inst_hook cmdline 95 "$moddir/parse-reprise.sh"
  inst_hook pre-mount 05 "$moddir/reprise-premount.sh"
}
