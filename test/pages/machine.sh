# Makes the machine of one page, in a mount namespace of its own, and runs the commands
# that come through descriptor 3. Nothing here reaches the host's files.
set -e
scratch=$1 sensor=$2
mount -t tmpfs page "$scratch"
for dir in etc var usr; do
  mkdir -p "$scratch/new/$dir" "$scratch/work/$dir"
  mount -t overlay page -o "lowerdir=/$dir,upperdir=$scratch/new/$dir,workdir=$scratch/work/$dir" "/$dir"
done
touch /usr/local/bin/dnsmonster-sensor
mount --bind "$sensor" /usr/local/bin/dnsmonster-sensor
for dir in /tmp /root /home /srv /run/lock; do mount -t tmpfs page "$dir"; done
mkdir -m 1777 -p /tmp
hostname sensor

rm -rf /etc/dnsmonster.ini /etc/dnsmonster-sensor /var/log/dnsmonster-sensor /var/lib/dnsmonster-sensor
mkdir -p /etc/dnsmonster-sensor /var/log/dnsmonster-sensor /var/lib/dnsmonster-sensor /run/page
mount -t tmpfs page /run/page
rm -f /etc/resolv.conf
echo 'nameserver 192.0.2.1' >/etc/resolv.conf
cat >/etc/hosts <<'HOSTS'
127.0.0.1 localhost
::1 localhost
192.0.2.1 db.example.org lists.example.org ns1.example.org
192.0.2.2 sensor
HOSTS

# Commands run as they are typed, with stand-ins for what cannot be had here.
stand_in() {
  printf '#!/bin/sh\n%s\n' "$2" >"/usr/local/bin/$1"
  chmod 755 "/usr/local/bin/$1"
}
stand_in sudo 'exec env "$@"'       # root needs none
stand_in editor 'case $1 in         # the reader writes what the page says
*/psqlendpoint) echo "postgres://sensor:PASSWORD@db.example.org/dns?sslmode=verify-full" >"$1" ;;
esac'
stand_in journalctl ':'             # no service runs
stand_in systemctl 'for unit; do :; done
case $1 in daemon-reload) exit 0 ;; esac
for dir in /etc /usr/local/lib /usr/lib; do
  file=$dir/systemd/system/${unit%.service}.service
  [ -e "$file" ] || continue
  [ "$1" != cat ] || cat "$file"
  exit 0
done
echo "Unit ${unit%.service}.service could not be found." >&2
exit 4'
command -v dig >/dev/null || stand_in dig 'exec kdig "$@"'
stand_in dnsmonster 'exec dnsmonster-sensor "$@"' # the options are the same; so are its records here
ln -s dnsmonster-new /var/log/dnsmonster
SENSOR_TEST_MAIN=1 dnsmonster-sensor --systemdservice | tee /etc/systemd/system/dnsmonster-sensor.service >/etc/systemd/system/dnsmonster.service
ln -s /usr/local/bin/dnsmonster-sensor /root/dnsmonster-sensor # what make build leaves

export HOME=/root PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin TERM=xterm NO_COLOR=1 SENSOR_TEST_MAIN=1
export LC_ALL=C.UTF-8 TZ=UTC
unset CI DNSMONSTER_CONFIG BASH_ENV
cd /root
set +e
set -o pipefail # the test looks at every program
set -m # as for a person: Ctrl-C reaches what runs in the foreground
trap : INT
printf '\001page:0\001'
last() { return "$1"; } # no child, which a late Ctrl-C would end, and the loop with it
status=0 ends=0
while true; do
  # A late Ctrl-C interrupts the read, which then may look like the end of the pipe.
  IFS= read -r file <&3 || {
    ends=$((ends + 1))
    [ $ends -lt 5 ] || exit 1 # the test closed the pipe
    continue
  }
  ends=0
  last $status
  . "$file"
  status=$?
  printf '\001page:%d\001' $status
done
