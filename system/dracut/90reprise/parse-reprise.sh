#!/bin/sh
# There is no root file system to wait for: the host goes no further than its image.
if grep -q 'reprise\.state=' /proc/cmdline; then
  # shellcheck disable=SC2034 # dracut reads these
  root=reprise rootok=1
fi
