#!/usr/bin/env bash
# grafana-types.sh: links build/tools/grafana-types, which has the types of Grafana's dashboards and TypeScript's compiler, for the
# tests; install-tools.sh calls it as the user who builds. They stay in this user's cache, one for all checkouts, and are fetched
# with npm where they are missing. There is no Debian package of the types.
set -euo pipefail
top=$(cd "$(dirname "$0")/../.." && pwd)
# Package, version, and what npm calls integrity.
packages='
@grafana/schema 13.2.3 sha512-rk8FEO7yuFfRTK/JD39747SZFQ+iCTQbpm6Mh2OjnqGx/g/uQQFx56t64eCLXWEyoR68ru4cigcGKrXk+ozrLg==
typescript 5.9.3 sha512-jl1vZzPDinLr9eUt3J/t7V6FgNEw9QjvBPdysz9KfQDD41fQrC2Y4vKQdiaUpFT4bXlb1RHhLpp8wtm6M5TgSw==
'
cache=${XDG_CACHE_HOME:-${HOME:?}/.cache}/dnsmonster-sensor
folder=$cache/grafana-types-13.2.3-5.9.3
link=$top/build/tools/grafana-types

fetch() {
  local tmp name version integrity packed got
  tmp=$(mktemp -d "$cache/fetch.XXXXXX")
  # shellcheck disable=SC2064
  trap "rm -rf '$tmp'" EXIT
  while read -r name version integrity; do
    [[ -n $name ]] || continue
    echo "fetching $name $version into $cache"
    packed=$tmp/$(cd "$tmp" && npm pack --silent --cache "$tmp/npm" "$name@$version")
    got=sha512-$(sha512sum "$packed" | cut -c1-128 | tr a-f A-F | basenc -d --base16 | base64 -w0)
    if [[ $got != "$integrity" ]]; then
      echo "grafana-types.sh: $name $version has the integrity $got, want $integrity" >&2
      exit 1
    fi
    mkdir -p "$tmp/new/$name"
    tar -xzf "$packed" -C "$tmp/new/$name" --strip-components=1 --no-same-owner
  done <<<"$packages"
  mv "$tmp/new" "$folder"
}

[[ ! -e $folder || ! $link -ef $folder ]] || exit 0
mkdir -p "$cache" "$top/build/tools"
exec 9>"$cache/lock"
flock 9 # two checkouts would fetch twice
[[ -e $folder ]] || fetch
ln -sfn "$folder" "$link"
