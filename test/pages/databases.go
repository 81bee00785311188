//go:build linux

package pages

import (
	"io"
	"net"
	"testing"

	"dnsmonster-sensor/test/lab"
)

// postgresConfiguration and clickHouseConfiguration are what a sensor has that writes to the
// databases of db.example.org.
const (
	postgresConfiguration = `[capture]
devname = eth0

[file_output]
fileoutputtype = 1
fileoutputpath = /var/log/dnsmonster-sensor

[psql_output]
psqloutputtype = 1
psqlendpoint = postgres://sensor@db.example.org/dns?sslmode=verify-full
`
	clickHouseConfiguration = `
[clickhouse_output]
clickhouseoutputtype = 1
clickhouseaddress = db.example.org:9000
`
)

// postgres starts a PostgreSQL for db.example.org.
func (m *machine) postgres(t *testing.T, ca *lab.Authority) {
	t.Helper()
	p := lab.StartPostgres(t)
	p.UseTLS(t, ca)
	p.Rules(t, "hostssl all all 127.0.0.1/32 trust\n")
	p.Exec(t, "CREATE ROLE admin SUPERUSER LOGIN")
	p.Exec(t, "CREATE ROLE sensor LOGIN")
	p.Exec(t, "CREATE DATABASE dns OWNER sensor")
	m.write(t, "/etc/dnsmonster.ini", []byte(postgresConfiguration))
	m.forward(t, "5432", p.Addr)
}

// clickHouse starts a ClickHouse for db.example.org, with the users default, admin and
// sensor, who has a password. Its database default has tables as dnsmonster's: they do not
// remember batches.
func (m *machine) clickHouse(t *testing.T, ca *lab.Authority, others string) {
	t.Helper()
	const password = "a-long-password"
	c := lab.StartChDB(t, lab.ChDBOptions{TLS: ca, Users: map[string]string{"default": "", "admin": "", "sensor": password}})
	m.forward(t, "9000", c.Addr)
	m.forward(t, "9440", c.TLSAddr)
	m.write(t, "/etc/dnsmonster-sensor/clickhousepassword", []byte(password+"\n"))
	m.write(t, "/etc/dnsmonster.ini", []byte(others+clickHouseConfiguration))
	c.Database = "system"
	c.Exec(t, "DROP DATABASE default SYNC", "CREATE DATABASE default ENGINE = Atomic") // the library has one of its own kind
	m.do(t, "chmod 600 /etc/dnsmonster-sensor/clickhousepassword; dnsmonster-sensor clickhouse init --layout=dnsmonster --ttl=0 --clickhouseaddress=db.example.org")
	for _, row := range c.Query(t, "SELECT name FROM system.tables WHERE database = 'default' AND engine LIKE '%MergeTree'") {
		c.Exec(t, "ALTER TABLE default.`"+row[0]+"` RESET SETTING non_replicated_deduplication_window")
	}
}

// forward makes db.example.org answer at a port as the server at an address does.
func (m *machine) forward(t *testing.T, port, to string) {
	t.Helper()
	m.serve(t, port, func(conn net.Conn) {
		up, err := net.Dial("tcp", to)
		if err != nil {
			return
		}
		defer up.Close()
		go func() {
			io.Copy(up, conn)
			up.Close()
		}()
		io.Copy(conn, up)
	})
}
