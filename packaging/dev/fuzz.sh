#!/usr/bin/env bash
# fuzz.sh TIME [PACKAGE...]: runs each fuzz target for TIME, one after the other. go test keeps an input that fails in the
# package's testdata/fuzz, and runs it as a test from then on.
set -euo pipefail
cd "$(dirname "$0")/../.."
time=${1:?usage: fuzz.sh TIME [PACKAGE...], such as fuzz.sh 10m ./userspace/...}
shift
status=0 package=''
while read -r target package; do
  echo "$package $target"
  go test -run '^$' -fuzz "^$target\$" -fuzztime "$time" "$package" </dev/null || status=1
done < <(go test -list '^Fuzz' "${@:-./...}" | awk '/^Fuzz/ { names[++n] = $1 } /^ok/ { for (i = 1; i <= n; i++) print names[i], $2; n = 0 }')
[[ -n $package ]] || { echo "fuzz.sh: no fuzz target found" >&2; exit 1; }
exit "$status"
