package config

// SystemdService is a unit for one sensor with a configuration file.
const SystemdService = `[Unit]
Description=Passive DNS sensor
Documentation=man:dnsmonster-sensor(8)
Wants=network-online.target
After=network-online.target

[Service]
# Every user must be able to read the file. Put passwords and tokens into
# credentials with the names of their options instead, such as
# LoadCredential=clickhousepassword:/etc/dnsmonster-sensor/clickhousepassword
ExecStart=/usr/bin/dnsmonster-sensor run --config=/etc/dnsmonster.ini
ExecReload=/bin/kill -HUP $MAINPID
Restart=on-failure
RestartSec=3
# Exit status 1 is wrong usage: a restart would not help.
RestartPreventExitStatus=1

# The sensor can write to /var/lib/dnsmonster-sensor (a spool),
# /var/log/dnsmonster-sensor (records) and /run/dnsmonster-sensor (dnstap
# sockets), and nowhere else.
DynamicUser=yes
StateDirectory=dnsmonster-sensor
LogsDirectory=dnsmonster-sensor
RuntimeDirectory=dnsmonster-sensor
AmbientCapabilities=CAP_BPF CAP_NET_ADMIN CAP_NET_RAW CAP_PERFMON
CapabilityBoundingSet=CAP_BPF CAP_NET_ADMIN CAP_NET_RAW CAP_PERFMON
LimitMEMLOCK=infinity
NoNewPrivileges=yes
ProtectSystem=strict
ProtectHome=yes
PrivateTmp=yes

[Install]
WantedBy=multi-user.target
`
