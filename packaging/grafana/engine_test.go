//go:build linux

package grafana

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"dnsmonster-sensor/outputs/clickhouse/schema"
	"dnsmonster-sensor/test/lab"
)

// hostile are a server and a name that could end a literal.
const (
	hostileServer = `b\' OR 1=1 --`
	hostileName   = `x\'y"%_<b>*.example.org.`
)

// message is a row of the log.
type message struct {
	time                   string // of 2026-11-20, UTC
	server                 string
	qr                     int
	src, dst               string
	protocol               string
	typ, class, rcode, op  int
	question               string
	size, edns, do, weight int
	answers                string // arrays of types and data
}

// The messages of the tests. Those of ns1 that weigh 10 come from a sample.
var messages = []message{
	{"11:59:59", "ns1", 0, "192.0.2.9", "192.0.2.53", "udp", 1, 1, 0, 0, "before.example.net.", 50, 1, 1, 1000, ""},
	{"12:01:10", "ns1", 0, "192.0.2.1", "192.0.2.53", "udp", 1, 1, 0, 0, "www.example.org.", 50, 1, 1, 10, ""},
	{"12:01:11", "ns1", 1, "192.0.2.53", "192.0.2.1", "udp", 1, 1, 0, 0, "www.example.org.", 150, 1, 1, 10, "[5, 1], ['web.example.org.', '192.0.2.80']"},
	{"12:01:20", "ns1", 0, "192.0.2.2", "192.0.2.53", "tcp", 28, 1, 0, 0, "api.example.co.uk.", 60, 1, 0, 1, ""},
	{"12:01:21", "ns1", 1, "192.0.2.53", "192.0.2.2", "tcp", 28, 1, 3, 0, "api.example.co.uk.", 60, 1, 0, 1, ""},
	{"12:03:00", hostileServer, 0, "2001:db8::1", "2001:db8::53", "udp", 65280, 1, 0, 0, hostileName, 40, 0, 0, 2, ""},
	{"12:03:01", hostileServer, 1, "2001:db8::53", "2001:db8::1", "udp", 65280, 1, 2, 0, hostileName, 40, 0, 0, 2, ""},
	{"12:03:30", hostileServer, 0, "2001:db8::1", "2001:db8::53", "dot", 2, 3, 0, 4, ".", 17, 0, 0, 2, ""},
	{"12:11:00", "ns1", 0, "192.0.2.9", "192.0.2.53", "udp", 1, 1, 0, 0, "after.example.net.", 50, 1, 1, 1000, ""},
}

func literal(text string) string {
	return "'" + strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(text) + "'"
}

// tables makes the tables of a layout, and writes the messages into them.
func tables(t *testing.T, layout schema.Layout) *lab.ChDB {
	t.Helper()
	c := lab.SharedChDB(t)
	for _, s := range schema.Statements(schema.Options{Layout: layout, Database: c.Database, Table: schema.DefaultTable}) {
		c.Exec(t, s.SQL)
	}
	names := "PacketTime, IndexTime, Server, IPVersion, SrcIP, DstIP, Protocol, QR, OpCode, Class, Type, Edns0Present, DoBit, ResponseCode, Question, Size"
	if layout == schema.Ours {
		names += ", Weight, SrcPort, DstPort, RecursionDesired, AnswerType, AnswerData"
	}
	var rows []string
	for _, m := range messages {
		rows = append(rows, m.row(layout))
	}
	c.Exec(t, "INSERT INTO "+schema.DefaultTable+" ("+names+") VALUES "+strings.Join(rows, ", "))
	return c
}

// row is a message as SQL.
func (m message) row(layout schema.Layout) string {
	version := 4
	if strings.Contains(m.src, ":") {
		version = 6
	}
	at := "toDateTime64('2026-11-20 " + m.time + ".5', 3, 'UTC')"
	values := fmt.Sprintf("(%s, %[1]s, %s, %d, toIPv6('%s'), toIPv6('%s'), '%s', %d, %d, %d, %d, %d, %d, %d, %s, %d",
		at, literal(m.server), version, m.src, m.dst, m.protocol, m.qr, m.op, m.class, m.typ, m.edns, m.do, m.rcode, literal(m.question), m.size)
	if layout != schema.Ours {
		return values + ")"
	}
	client, server := 40000, 53
	if m.qr == 1 {
		client, server = server, client
	}
	answers := m.answers
	if answers == "" {
		answers = "[], []"
	}
	return values + fmt.Sprintf(", %d, %d, %d, 1, %s)", m.weight, client, server, answers)
}

func at(clock string) time.Time {
	when, err := time.Parse(time.DateTime, "2026-11-20 "+clock)
	if err != nil {
		panic(err)
	}
	return when
}

var fraction = regexp.MustCompile(`^\d+\.\d+$`)

// ask returns the answer to a panel's query: a line for each row.
func ask(t *testing.T, c *lab.ChDB, q query, sql string) string {
	t.Helper()
	var lines []string
	for _, row := range c.Query(t, q.expand(t, sql)+"\nSETTINGS session_timezone = 'UTC'") {
		for i, field := range row {
			if fraction.MatchString(field) {
				n, err := strconv.ParseFloat(field, 64)
				if err != nil {
					t.Fatal(err)
				}
				row[i] = strconv.FormatFloat(n, 'g', 4, 64)
			}
		}
		lines = append(lines, strings.ReplaceAll(strings.Join(row, "|"), "2026-11-20 ", ""))
	}
	return strings.Join(lines, "\n")
}

// standard are the values of a dashboard's variables as it opens.
func standard(c *lab.ChDB) query {
	return query{from: at("12:00:00"), to: at("12:10:00"), interval: time.Minute, variables: map[string]any{
		"database": c.Database, "server": []string{"$__all"}, "top": "10", "table": "DNS_LOG",
		"name": "", "client": "", "answer": "", "type": "", "rcode": "", "kind": "both", "rows": "200",
	}}
}
