#!/bin/sh
# What the guide wants of systemctl where no systemd runs: `enable --now UNIT…` and `start UNIT…`, by the installed units.
set -eu
verb=$1
shift
mkdir -p /etc/enabled
for unit in "$@"; do
  [ "$unit" != --now ] || continue
  file=/usr/lib/systemd/system/$unit.service
  [ -f "$file" ] || { echo "Unit $unit.service could not be found." >&2; exit 5; }
  [ "$verb" != enable ] || touch "/etc/enabled/$unit"
  value() { sed -n "s/^$1=-\{0,1\}//p" "$file"; }
  settings=$(value EnvironmentFile)
  for folder in $(value StateDirectory); do mkdir -p -m 0700 "/var/lib/$folder"; done
  [ -z "$settings" ] || REPRISE_RECOVERY_OPTIONS=$(sed -n 's/^REPRISE_RECOVERY_OPTIONS=//p' "$settings")
  export REPRISE_RECOVERY_OPTIONS
  # Restart=always and Restart=on-failure: as long as it does not succeed.
  setsid sh -c "while ! $(value ExecStart); do sleep 1; done" < /dev/null >> "/var/log/$unit.log" 2>&1 &
done
