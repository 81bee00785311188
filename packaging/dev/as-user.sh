#!/usr/bin/env bash
# as-user.sh COMMAND...: under sudo, runs COMMAND as the user who called sudo, with this user's home, so that no file of root
# is left in the checkout or in Go's caches. Without sudo, or if this user cannot write the checkout, it runs COMMAND as is.
set -euo pipefail
top=$(cd "$(dirname "$0")/../.." && pwd)
user=${SUDO_USER:-${DOAS_USER:-root}}
if [[ $EUID == 0 && $user != root ]] && uid=$(id -u "$user" 2>/dev/null) && [[ $uid != 0 ]]; then
  home=$({ getent passwd "$user" 2>/dev/null || grep "^$user:" /etc/passwd; } | cut -d: -f6)
  as=(setpriv --reuid="$uid" --regid="$(id -g "$user")" --init-groups
    env -u SUDO_USER -u SUDO_UID -u SUDO_GID -u SUDO_COMMAND -u DOAS_USER HOME="$home" USER="$user" LOGNAME="$user")
  if "${as[@]}" test -w "$top" 2>/dev/null; then
    # What an earlier build as root has left.
    [[ ! -d $top/build ]] || chown -R --no-dereference "$uid:$(id -g "$user")" "$top/build"
    exec "${as[@]}" "$@"
  fi
fi
exec "$@"
