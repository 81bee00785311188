package config

// SystemdService is a unit for one sensor that reads its configuration file.
const SystemdService = `[Unit]
Description=Passive DNS sensor
Documentation=man:dnsmonster-sensor(8)
After=network.target

[Service]
ExecStart=/usr/bin/dnsmonster-sensor run --config=/etc/dnsmonster.ini
ExecReload=/bin/kill -HUP $MAINPID
Restart=on-failure
RestartSec=3
# Exit status 1 is wrong use: trying again would not mend it.
RestartPreventExitStatus=1
AmbientCapabilities=CAP_BPF CAP_NET_ADMIN CAP_NET_RAW CAP_PERFMON
CapabilityBoundingSet=CAP_BPF CAP_NET_ADMIN CAP_NET_RAW CAP_PERFMON
DynamicUser=yes
NoNewPrivileges=yes
ProtectSystem=strict
ProtectHome=yes
PrivateTmp=yes

[Install]
WantedBy=multi-user.target
`
