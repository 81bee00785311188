#!/usr/bin/env bash
# chdb.sh: links build/tools/libchdb.so, which is ClickHouse as a library, for the tests; install-tools.sh calls it as the user
# who builds. The library itself stays in this user's cache, one for all checkouts. It is fetched with npm where it is missing:
# for ClickHouse newer than Debian's there is no Debian package.
set -euo pipefail
top=$(cd "$(dirname "$0")/../.." && pwd)
package=@chdb/lib-linux-x64-gnu
version=26.7.3-stable.1
# What npm calls integrity.
integrity=sha512-XP97mMqnc5tZpKQywR8N7cLTsHNiTmHr30pC5mzo3jWmukjKn2IBa60c2B/gWUNcuFjOMjWoorQICCqBVj5wpw==

[[ $(uname -m) == x86_64 ]] || exit 0 # the tests that need it are skipped
cache=${XDG_CACHE_HOME:-${HOME:?}/.cache}/dnsmonster-sensor
library=$cache/libchdb-$version.so
link=$top/build/tools/libchdb.so

fetch() {
  local tmp packed got
  tmp=$(mktemp -d "$cache/fetch.XXXXXX")
  # shellcheck disable=SC2064
  trap "rm -rf '$tmp'" EXIT
  echo "fetching $package $version into $cache (178 MB to download, 570 MB on the disk)"
  packed=$(cd "$tmp" && npm pack --loglevel=error --cache "$tmp/npm" "$package@$version") || {
    echo "chdb.sh: npm could not fetch $package $version; it uses npm's own settings for proxies and certificates" >&2
    exit 1
  }
  packed=$tmp/${packed##*$'\n'}
  got=sha512-$(sha512sum "$packed" | cut -c1-128 | tr a-f A-F | basenc -d --base16 | base64 -w0)
  if [[ $got != "$integrity" ]]; then
    echo "chdb.sh: $package $version has the integrity $got, want $integrity" >&2
    exit 1
  fi
  rm -rf "$tmp/npm"
  tar -xzf "$packed" -C "$tmp" --no-same-owner package/libchdb.so
  mv "$tmp/package/libchdb.so" "$library"
}

[[ ! -e $library || ! $link -ef $library ]] || exit 0
mkdir -p "$cache" "$top/build/tools"
exec 9>"$cache/lock"
flock 9 # two checkouts would fetch twice
[[ -e $library ]] || fetch
ln -sfn "$library" "$link"
