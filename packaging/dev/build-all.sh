#!/usr/bin/env bash
# build-all.sh: compiles the sensor for every system and architecture that docs/other-systems.md lists, and checks the
# code of the tests, too. It needs no C compiler, and leaves nothing but Go's cache. make lint checks the code for this machine.
set -euo pipefail
cd "$(dirname "$0")/../.."
export CGO_ENABLED=0
tags=${TAGS:-urfave_cli_no_docs}
failed=()
# try SYSTEM/ARCHITECTURE COMMAND...: runs go for it.
try() {
  local target=$1 from=$SECONDS
  shift
  GOOS=${target%/*} GOARCH=${target#*/} packaging/dev/go.sh "$@" || failed+=("$target: go $*")
  printf '%4d s %s: go %s\n' $((SECONDS - from)) "$target" "$*"
}
try linux/amd64 build -tags "$tags" -o /dev/null .
for target in linux/arm64 linux/arm linux/386 linux/riscv64 darwin/arm64 freebsd/amd64 openbsd/amd64 windows/amd64; do
  try "$target" vet -tags "$tags" ./...
  try "$target" build -tags "$tags" -o /dev/null .
done
# These tags are accepted, and mean the default.
try linux/amd64 build -tags "$tags,nolibpcap" -o /dev/null .
try windows/amd64 build -tags "$tags,libpcap" -o /dev/null .
if [[ ${#failed[@]} != 0 ]]; then
  printf 'failed: %s\n' "${failed[@]}" >&2
  exit 1
fi
