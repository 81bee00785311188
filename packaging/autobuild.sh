#!/usr/bin/env bash
# autobuild.sh: asks for what packaging/compose needs to know, and writes it to packaging/compose/.env, with new passwords. It
# starts nothing, and needs no docker. autobuild.sh --help lists the options.
set -euo pipefail
export LC_ALL=C
top=$(cd "$(dirname "$0")/.." && pwd)
file=$top/packaging/compose/.env

usage() {
  cat <<'T'
autobuild.sh [OPTIONS]: write packaging/compose/.env for ClickHouse, Grafana, Prometheus and the sensor in containers

      --interfaces NAMES   interfaces to capture from, such as 'eth0;eth1', or any
      --data-dir DIR       folder for ClickHouse's data and the sensor's spool
      --log-dir DIR        folder for ClickHouse's log
      --retention-days N   days to keep records; it counts for new tables
      --server-name NAME   the sensor's name in the records
      --output FILE        write FILE instead of packaging/compose/.env
      --force              replace the file if it exists. Its passwords stay, and so does what is not given. The old file is
                           kept as FILE.old
  -y, --yes                ask nothing; use the default of what is not given
  -h, --help               this text

The script asks for what is not given, if standard input is a terminal. The environment can give it, too: INTERFACES, DATA_DIR,
LOG_DIR, RETENTION_DAYS, SERVER_NAME.
T
}

die() {
  echo "autobuild.sh: $*" >&2
  exit 1
}

# The interface of the default route: the mirror port is often another one, but this one exists.
default_interface() {
  local name destination
  while read -r name destination _; do
    if [[ $destination == 00000000 ]]; then
      echo "$name"
      return
    fi
  done </proc/net/route
  echo any
}

declare -A value=([interfaces]=${INTERFACES:-} [data_dir]=${DATA_DIR:-} [log_dir]=${LOG_DIR:-} [retention_days]=${RETENTION_DAYS:-} [server_name]=${SERVER_NAME:-})
declare -A default=([interfaces]=$(default_interface) [data_dir]=/data/ch/data [log_dir]=/data/ch/logs [retention_days]=30 [server_name]=$(uname -n))
declare -A question=(
  [interfaces]="Interfaces to capture from, separated by ; or: any"
  [data_dir]="Folder for ClickHouse's data and the sensor's spool"
  [log_dir]="Folder for ClickHouse's log"
  [retention_days]="Days to keep records"
  [server_name]="Name of this sensor in the records"
)

# The checks print what is wrong, or set value to what is written. They accept only what needs no quotes in a file of compose.
check_interfaces() {
  local name names=() kept=()
  [[ $1 != *$'\n'* ]] || { echo "the names have more than one line"; return 1; }
  IFS='; ' read -r -a names <<<"$1"
  for name in "${names[@]}"; do
    [[ -n $name ]] || continue
    [[ $name =~ ^[A-Za-z0-9_][A-Za-z0-9_.-]{0,14}$ ]] || { printf '%q cannot be the name of an interface\n' "$name"; return 1; }
    [[ $name == any || -e /sys/class/net/$name ]] || { echo "there is no interface $name, but: $(ls -m /sys/class/net)"; return 1; }
    kept+=("$name")
  done
  [[ ${#kept[@]} != 0 ]] || { echo "no interface is named"; return 1; }
  [[ ${#kept[@]} == 1 || " ${kept[*]} " != *" any "* ]] || { echo "any stands for all interfaces: do not name others"; return 1; }
  value[interfaces]=${kept[*]}
}

check_folder() {
  local folder=$2
  [[ $folder == /* ]] || { printf '%q does not begin with /\n' "$folder"; return 1; }
  [[ $folder =~ ^[A-Za-z0-9_./+-]+$ ]] || { printf '%q: use letters, digits and _ . / + -\n' "$folder"; return 1; }
  [[ /$folder/ != */../* && /$folder/ != */./* ]] || { printf '%q has . or .. in it\n' "$folder"; return 1; }
  while [[ $folder == *//* ]]; do folder=${folder//\/\//\/}; done
  folder=${folder%/}
  [[ -n $folder ]] || { echo "/ itself cannot be used"; return 1; }
  [[ ! -e $folder || -d $folder ]] || { echo "$folder exists and is not a folder"; return 1; }
  value[$1]=$folder
}

check_data_dir() { check_folder data_dir "$1"; }

check_log_dir() {
  check_folder log_dir "$1" || return 1
  [[ ${value[log_dir]} != "${value[data_dir]}" ]] || { echo "the log needs a folder of its own"; return 1; }
}

check_retention_days() {
  if [[ ! $1 =~ ^[1-9][0-9]{0,4}$ ]] || (($1 > 36500)); then
    printf '%q is not a number of days from 1 to 36500\n' "$1"
    return 1
  fi
  value[retention_days]=$1
}

check_server_name() {
  [[ $1 =~ ^[A-Za-z0-9_][A-Za-z0-9_.-]{0,62}$ ]] || { printf '%q: use letters, digits and _ . -, at most 63 characters\n' "$1"; return 1; }
  value[server_name]=$1
}

option_of() { echo "--${1//_/-}"; }

# settle takes the value that is given, or asks until there is a good answer.
settle() {
  local name=$1 answer reason
  if [[ -n ${value[$name]} ]]; then
    answer=${value[$name]}
    # Twice: what a check sets in $(...) is lost.
    reason=$("check_$name" "$answer") || die "$(option_of "$name"): $reason"
    "check_$name" "$answer"
    return
  fi
  while :; do
    answer=
    if $ask; then
      printf '%s [%s]: ' "${question[$name]}" "${default[$name]}"
      read -r answer || {
        echo
        die "no answer: nothing is written"
      }
    fi
    answer=${answer:-${default[$name]}}
    if reason=$("check_$name" "$answer"); then
      "check_$name" "$answer"
      return
    fi
    $ask || die "$(option_of "$name"): $reason"
    echo "$reason"
  done
}

# confirm asks a question to which only yes means yes.
confirm() {
  local answer
  printf '%s [no]: ' "$1"
  read -r answer || echo
  [[ ${answer:-} =~ ^[Yy]([Ee][Ss])?$ ]]
}

ask=false force=false old=
[[ ! -t 0 ]] || ask=true
while (($#)); do
  option=$1 name=${1#--}
  shift
  case $option in
    -h | --help)
      usage
      exit
      ;;
    -y | --yes) ask=false ;;
    --force) force=true ;;
    --interfaces | --data-dir | --log-dir | --retention-days | --server-name | --output | \
      --interfaces=* | --data-dir=* | --log-dir=* | --retention-days=* | --server-name=* | --output=*)
      if [[ $name == *=* ]]; then
        given=${name#*=} name=${name%%=*}
      else
        (($#)) || die "$option needs a value"
        given=$1
        shift
      fi
      [[ -n $given ]] || die "--$name needs a value"
      if [[ $name == output ]]; then file=$given; else value[${name//-/_}]=$given; fi
      ;;
    *) die "$(printf 'unknown option %q: see autobuild.sh --help' "$option")" ;;
  esac
done

[[ ! -L $file && (! -e $file || -f $file) ]] || die "$(printf '%q is not a regular file' "$file")"
if [[ -e $file ]] && ! $force; then
  $ask || die "$(printf '%q exists: --force replaces it' "$file")"
  confirm "$file exists. Change it? Its passwords stay" || die "nothing is written"
fi

# The file's values are the defaults: Enter keeps them.
for name in interfaces data_dir log_dir retention_days server_name; do
  [[ ! -e $file ]] || old=$(sed -n "s/^${name^^}=\"\{0,1\}\([^\"]*\)\"\{0,1\}\$/\1/p" "$file" | tail -n 1)
  default[$name]=${old:-${default[$name]}}
  settle "$name"
done

# password prints the one that the file has, because databases may know it, or a new one.
password() {
  local old=
  if [[ -e $file ]]; then old=$(sed -n "s/^$1=\([A-Za-z0-9]\{16,\}\)\$/\1/p" "$file" | tail -n 1); fi
  [[ -n $old ]] || old=$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n')
  echo "$old"
}

umask 077
new=$(mktemp "$file.XXXXXX")
trap 'rm -f "$new"' EXIT
cat >"$new" <<T
# Written by packaging/autobuild.sh for compose.yaml beside it.
COMPOSE_PROJECT_NAME=dnsmonster-sensor
INTERFACES="${value[interfaces]}"
PROMISCUOUS=$([[ ${value[interfaces]} == any ]] && echo false || echo true)
SERVER_NAME=${value[server_name]}
DATA_DIR=${value[data_dir]}
LOG_DIR=${value[log_dir]}
RETENTION_DAYS=${value[retention_days]}
CLICKHOUSE_PASSWORD=$(password CLICKHOUSE_PASSWORD)
CLICKHOUSE_DASHBOARDS_PASSWORD=$(password CLICKHOUSE_DASHBOARDS_PASSWORD)
GRAFANA_PASSWORD=$(password GRAFANA_PASSWORD)
T
[[ ! -e $file ]] || mv -f "$file" "$file.old"
mv "$new" "$file"

there=
[[ $file == "$top/packaging/compose/.env" ]] || there=$(printf -- ' --env-file %q' "$(realpath "$file")")
compose="docker compose"
if command -v docker >/dev/null && docker compose version >/dev/null 2>&1; then
  :
elif command -v docker-compose >/dev/null; then
  compose=docker-compose
fi
cat <<T
$file is written. It has passwords: only its owner can read it.
To start:
  cd $top/packaging/compose && $compose$there up -d --build
Then http://127.0.0.1:3000 has the dashboards: user admin, password GRAFANA_PASSWORD of that file. Another machine reaches it
through a tunnel: ssh -L 3000:127.0.0.1:3000 $(uname -n)
T
[[ ! -e $file.old ]] || echo "Tables that exist keep their retention, until: $compose$there run --rm tables clickhouse ttl ${value[retention_days]}d"
command -v docker >/dev/null || echo "docker is not installed yet."
