#!/usr/bin/env bash
# go.sh ARGUMENT...: runs Go's go command.
# go.sh --with COMMAND...: runs COMMAND with the folder of Go first in its PATH.
#
# It takes the first Go that is new enough for go.mod: $GO if it is set, otherwise from PATH or from one of the folders
# where people install it, because the PATH of sudo contains none of those.
set -euo pipefail
top=$(cd "$(dirname "$0")/../.." && pwd)
page=docs/installing.md

# home USER: the user's home folder.
home() { { getent passwd "$1" 2>/dev/null || grep "^$1:" /etc/passwd; } | cut -d: -f6; }

# As root, Go must not leave files of root in a user's home.
caller=${SUDO_USER:-${DOAS_USER:-}}
if [[ $EUID == 0 && ! -O ${HOME:-/nonexistent} ]]; then
  HOME=$(home root) && export HOME
fi

wanted=$(sed -n 's/^go \([0-9.]*\)$/\1/p' "$top/go.mod")

candidates() {
  if [[ -n ${GO:-} ]]; then
    local named
    named=$(type -P -- "$GO") || named=$GO
    # It is called in other folders.
    if [[ $named == */* && $named != /* ]]; then named=$PWD/$named; fi
    echo "$named"
    return
  fi
  type -aP go || true
  local h mine=${HOME:-/root} theirs=${HOME:-/root}
  if [[ -n $caller ]]; then theirs=$(home "$caller"); fi
  for h in ${GOROOT:+"$GOROOT"} /usr/local/go "$mine"/{go,sdk/go*,.local/go} "$theirs"/{go,sdk/go*,.local/go} \
    /usr/local/go-* /usr/local/go1* /usr/lib/go-* /usr/lib/go /usr/lib/golang /opt/go; do
    [[ ! -x $h/bin/go ]] || echo "$h/bin/go"
  done
  [[ ! -x /snap/bin/go ]] || echo /snap/bin/go
}

# atLeast VERSION WANTED compares numbers separated by dots.
atLeast() {
  local -a has wants
  local i
  IFS=. read -ra has <<<"$1"
  IFS=. read -ra wants <<<"$2"
  for i in 0 1 2; do
    ((${has[i]:-0} == ${wants[i]:-0})) || { ((${has[i]:-0} > ${wants[i]:-0})); return; }
  done
}

go='' old='' switching=''
while read -r c; do
  [[ $old != *" in $c,"* ]] || continue
  # Without GOTOOLCHAIN=local, a Go from 1.21 on would download the wanted one now.
  v=$(cd / && GOTOOLCHAIN=local "$c" version 2>/dev/null) || v=''
  [[ $v =~ go([0-9]+(\.[0-9]+)+) ]] || continue
  v=${BASH_REMATCH[1]}
  if atLeast "$v" "$wanted"; then
    go=$c
    break
  fi
  if [[ -z $switching ]] && atLeast "$v" 1.21 && [[ $(cd / && "$c" env GOTOOLCHAIN) != local* ]]; then
    switching=$c
  fi
  old+=" $v in $c,"
done < <(candidates)
if [[ -z $go && -n $switching ]]; then
  go=$switching
  echo "found Go${old%,}; it downloads Go $wanted" >&2
fi
if [[ -z $go && -n $old ]]; then
  echo "Go ${wanted%.0} or newer is needed; found${old%,}. Get it from https://go.dev/dl/ ($page)" >&2
  exit 1
elif [[ -z $go ]]; then
  where="PATH, /usr/local/go, ~/go, ~/sdk, /usr/lib/go-* and /snap/bin"
  [[ -z ${GO:-} ]] || where="GO=$GO"
  echo "Go ${wanted%.0} or newer is needed; found none in $where. Get it from https://go.dev/dl/ ($page)" >&2
  exit 1
fi

case $go in
  */go) export PATH=${go%/go}:$PATH ;;
esac
# What the user's Go has downloaded, that of root need not download again.
if [[ $EUID == 0 && -n $caller ]]; then
  cache=$(home "$caller")/go/pkg/mod/cache/download
  if [[ $cache =~ ^[A-Za-z0-9/._-]+$ && -d $cache ]]; then
    proxy=$("$go" env GOPROXY)
    export GOPROXY=file://$cache,${proxy:-direct}
  fi
fi
# Root may build in the checkout of another user, where git refuses to tell Go the state.
GOFLAGS=$(cd / && "$go" env GOFLAGS)
export GOFLAGS="${GOFLAGS:+$GOFLAGS }-buildvcs=false"
if [[ ${1:-} == --with ]]; then
  shift
  exec "$@"
fi
exec "$go" "$@"
