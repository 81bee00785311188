#!/usr/bin/env bash
# install.sh install|uninstall: copies the built program and its pages below PREFIX (/usr/local), or removes them again. With
# DESTDIR all of that happens in this folder, for those who make packages. It starts nothing, and never touches configuration
# or data. A manifest says what was installed and which folders were made for it: uninstall removes exactly these.
set -euo pipefail
umask 022
die() {
  echo "$*" >&2
  exit 1
}
[[ $# == 1 && $1 =~ ^(install|uninstall)$ ]] || die "usage: install.sh install|uninstall"
top=$(cd "$(dirname "$0")/.." && pwd)
prefix=${PREFIX:-/usr/local} destdir=${DESTDIR:-}
while [[ $prefix == */ ]]; do prefix=${prefix%/}; done
while [[ $destdir == */ ]]; do destdir=${destdir%/}; done
[[ $prefix =~ ^(/[A-Za-z0-9._+-]+)+$ && ! $prefix/ =~ /\.\.?/ ]] || die "PREFIX=$PREFIX: want an absolute path of letters, digits and . _ + -, without . and .. as folders: it stands in the unit"
[[ -z $destdir || $destdir == /* ]] || die "DESTDIR=$destdir: want an absolute path"

name=dnsmonster-sensor
binary=$prefix/bin/$name
share=$prefix/share
doc=$share/doc/$name
unit=$prefix/lib/systemd/system/$name.service
manifest=$destdir$share/$name/manifest
fish=$share/fish/vendor_completions.d zsh=$share/zsh/site-functions
# fish looks into /usr/local/share only if XDG_DATA_DIRS names it; Debian's zsh does not look into /usr/share/zsh/site-functions.
if [[ $prefix == /usr/local ]]; then fish=/etc/fish/completions; fi
if [[ $prefix == /usr && -e /etc/debian_version ]]; then zsh=/usr/share/zsh/vendor-completions; fi

# live: this is the machine that will run the program, and systemd manages it.
live() { [[ -z $destdir && -d /run/systemd/system && $EUID == 0 ]]; }
# ours: the unit that systemd knows is the one below this PREFIX.
ours() { [[ $(systemctl show --property FragmentPath --value "$name.service" 2>/dev/null) == "$unit" ]]; }

files=() folders=() oldFiles=() oldFolders=() new=''
readManifest() {
  [[ -e $manifest ]] || return 0
  local kind path
  while read -r kind path; do
    case $kind in
      file) oldFiles+=("$path") ;;
      folder) oldFolders+=("$path") ;;
    esac
  done <"$manifest"
}

# folder PATH makes a folder and those above it, and remembers which were missing.
folder() {
  [[ ! -d $destdir$1 ]] || return 0
  # Above DESTDIR nothing is remembered: that folder belongs to whoever named it.
  if [[ $1 == */?*/* || $1 == /?*/* ]]; then folder "${1%/*}"; else mkdir -p "$destdir"; fi
  mkdir "$destdir$1" 2>/dev/null || [[ -d $destdir$1 ]] || die "cannot make $destdir$1: run sudo make install, or choose another PREFIX"
  folders+=("$1")
}

# put MODE PATH writes its standard input to a file, by rename: a program that is running keeps its own file.
put() {
  local to=$destdir$2
  folder "${2%/*}"
  [[ -w ${to%/*} ]] || die "cannot write into ${to%/*}: run sudo make install, or choose another PREFIX"
  [[ ! -d $to ]] || die "$to is a folder, and a file of this name is to be installed: move it away"
  new=$to.new
  rm -f "$new"
  cat >"$new"
  chmod "$1" "$new"
  mv -fT "$new" "$to"
  files+=("$2")
}

# removeOld removes what an older version had installed and this one has not.
removeOld() {
  local old new
  for old in "${oldFiles[@]}"; do
    for new in "${files[@]}" "${manifest#"$destdir"}"; do [[ $old != "$new" ]] || continue 2; done
    rm -f "$destdir$old"
  done
}

removeFolders() { # deepest first
  local f
  while read -r f; do
    [[ -z $f ]] || rmdir "$destdir$f" 2>/dev/null || true
  done < <(printf '%s\n' "$@" | LC_ALL=C sort -r)
}

# finish writes the manifest, also of an install that failed halfway.
finish() {
  local status=$?
  rm -rf "$pages"
  rm -f "$new"
  if [[ $status != 0 ]]; then files+=("${oldFiles[@]}"); fi
  if [[ -d ${manifest%/*} && -w ${manifest%/*} ]]; then
    {
      printf 'file %s\n' "${files[@]}" "${manifest#"$destdir"}"
      printf 'folder %s\n' "${oldFolders[@]}" "${folders[@]}"
    } | grep -v '^folder $' | LC_ALL=C sort -u >"$manifest.new"
    mv -f "$manifest.new" "$manifest"
  fi
}

page() { (cd "$pages" && env -i "$top/$name" "$1") >"$pages/page"; }

install() {
  [[ -x $top/$name ]] || die "there is no $name: run make build first"
  "$top/$name" --version >/dev/null 2>&1 ||
    die "this machine cannot run $top/$name, and its pages come from it: run make install on a machine of its kind, or copy the program alone"
  pages=$(mktemp -d)
  trap finish EXIT
  folder "$share/$name"
  put 755 "$binary" <"$top/$name"
  page --manpage
  put 644 "$share/man/man8/$name.8" <"$pages/page"
  page --bashcompletion
  put 644 "$share/bash-completion/completions/$name" <"$pages/page"
  page --zshcompletion
  put 644 "$zsh/_$name" <"$pages/page"
  page --fishcompletion
  put 644 "$fish/$name.fish" <"$pages/page"
  page --systemdservice
  sed -i "s|/usr/bin/$name|$binary|" "$pages/page"
  put 644 "$unit" <"$pages/page"
  put 644 "$doc/dnsmonster.ini.sample" <"$top/packaging/config-sample.ini"
  put 644 "$doc/skipdomains.csv.sample" <"$top/packaging/skipdomains.csv.sample"
  local f
  cd "$top"
  for f in LICENSE README.md MIGRATING.md; do put 644 "$doc/$f" <"$top/$f"; done
  for f in "$top"/docs/*.md; do put 644 "$doc/docs/${f##*/}" <"$f"; done
  # Under the names that the pages have for them.
  for f in packaging/clickhouse/tables.sql packaging/grafana/README.md packaging/grafana/{dashboards/*.json,provisioning/*/*.yaml}; do
    put 644 "$doc/$f" <"$f"
  done
  removeOld

  echo "installed: $destdir$binary, $("$top/$name" --version 2>/dev/null | head -n 1)"
  [[ -z $destdir ]] || return 0
  case $prefix in
    /usr | /usr/local) ;;
    /home/* | /root/*)
      echo "a service cannot be started from there: its unit has no access to home folders"
      return
      ;;
    *)
      echo "systemd does not look into $prefix: sudo systemctl link $unit"
      return
      ;;
  esac
  if [[ -e /etc/systemd/system/$name.service ]]; then
    echo "/etc/systemd/system/$name.service overrides the unit that was installed, $unit"
  fi
  if live; then
    systemctl daemon-reload
    if systemctl -q is-active "$name.service"; then
      echo "the service still runs the program it was started with: sudo systemctl restart $name"
      return
    fi
  fi
  if [[ ! -e /etc/dnsmonster.ini ]]; then
    echo "for a service: write /etc/dnsmonster.ini ($doc/docs/installing.md), then sudo systemctl enable --now $name"
  fi
}

uninstall() {
  [[ ${#oldFiles[@]} != 0 ]] || die "nothing is installed below $destdir$prefix: there is no $manifest"
  [[ -w ${manifest%/*} ]] || die "cannot write into ${manifest%/*}: run sudo make uninstall"
  if live && ours; then
    systemctl disable --now "$name.service" || true
  fi
  local f
  for f in "${oldFiles[@]}"; do rm -f "$destdir$f"; done
  removeFolders "${oldFolders[@]}"
  if live; then systemctl daemon-reload; fi
  echo "uninstalled from $destdir$prefix; configuration (/etc/dnsmonster.ini, /etc/$name), records and spool stay"
}

readManifest
"$1"
