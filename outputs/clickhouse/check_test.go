//go:build linux

package clickhouse

import (
	"net"
	"slices"
	"strings"
	"testing"

	"dnsmonster-sensor/test/lab"
	"dnsmonster-sensor/test/lab/tier"
	"dnsmonster-sensor/test/outputtest"
)

// narrow is a table whose columns cannot hold all values, with an aggregate as a table and
// one as a view. %s are its database and more columns.
const narrow = `CREATE TABLE %s.DNS_LOG (PacketTime DateTime, IndexTime Date, Server Nullable(FixedString(9)), IPVersion UInt8, SrcIP FixedString(4), DstIP String,
	Protocol FixedString(3), QR Nullable(UInt8), ResponseCode Nullable(Int8), Question FixedString(9), Size UInt16, Weight UInt8 DEFAULT 1, Direction Enum8('a' = 1)%s)
	ENGINE = MergeTree PARTITION BY toYYYYMM(PacketTime) ORDER BY PacketTime`

// suggested are the statements that check prints, and all that it prints.
func suggested(t *testing.T, args ...string) (statements []string, out string) {
	t.Helper()
	out, err := command(t, append([]string{"check", "--alter"}, args...)...)
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for line := range strings.Lines(out) {
		if i := strings.Index(line, "ALTER TABLE "); i >= 0 {
			statements = append(statements, strings.TrimRight(line[i:], ";\n"))
		}
	}
	return statements, out
}

// improve runs what check suggests, and expects that check is content then.
func improve(t *testing.T, c *lab.ClickHouse, database string, want int) {
	t.Helper()
	args := []string{"--clickhouseaddress=" + c.Addr, "--clickhousedatabase=" + database}
	c.Exec(t, "INSERT INTO "+database+".DNS_LOG (PacketTime, Server, Protocol, ResponseCode, Direction) VALUES ('2026-01-02 03:04:05', NULL, 'udp', NULL, 'a')")
	list, out := suggested(t, args...)
	if len(list) != want {
		t.Errorf("%d statements, want %d:\n%s", len(list), want, out)
	}
	c.Exec(t, list...)
	if again, out := suggested(t, args...); len(again) != 0 || strings.Contains(out, "lacks columns") {
		t.Errorf("after the statements:\n%s", out)
	}
	deliver(t, openWriter(t, newOutput(t, args...)), outputtest.Queries(0, 3))
	c.Exec(t, "INSERT INTO "+database+".DNS_LOG (PacketTime) VALUES ('2026-01-02 03:04:05')") // by another sender
	rows := c.Query(t, "SELECT sum(Weight), min(Weight), toString(count(Server)), toString(count(ResponseCode)), max(Question), toString(sum(length(AnswerName))) FROM "+database+".DNS_LOG")
	if got, want := strings.Join(rows[0], " "), "5 1 3 3 "+outputtest.QueryName(2)+" 0"; got != want {
		t.Errorf("the table has %s, want %s", got, want)
	}
}

// TestCheckNarrow: each statement works on the server that it is for. NULLs stay, and rows
// that came before the column of weights count once.
func TestCheckNarrow(t *testing.T) {
	c := lab.SharedChDB(t)
	c.Exec(t, strings.Replace(strings.Replace(narrow, "%s", c.Database, 1), "%s", ", DstPort Bool, Tunnel LowCardinality(Nullable(FixedString(2))), Interface SimpleAggregateFunction(any, Nullable(FixedString(2))), CaptureCut SimpleAggregateFunction(max, Nullable(UInt8))", 1))
	improve(t, &c.ClickHouse, c.Database, 14)
	types := c.Query(t, "SELECT type FROM system.columns WHERE database = '"+c.Database+"' AND name IN ('Tunnel', 'Interface', 'CaptureCut') ORDER BY name")
	if got, want := slices.Concat(types...), []string{"SimpleAggregateFunction(max, Nullable(UInt32))", "SimpleAggregateFunction(any, LowCardinality(Nullable(String)))", "LowCardinality(Nullable(String))"}; !slices.Equal(got, want) {
		t.Errorf("types %q, want %q", got, want)
	}
	c.Exec(t, "DROP TABLE "+c.Database+".DNS_LOG", strings.NewReplacer("%s.", c.Database+".", "%s", "", "Weight UInt8 DEFAULT 1, ", "", "DstIP String", "DstIP IPv4").Replace(narrow))
	improve(t, &c.ClickHouse, c.Database, 10)
}

// TestCheckNarrowOldServer: nothing is suggested that a server of 2018 does not understand.
func TestCheckNarrowOldServer(t *testing.T) {
	c := lab.StartClickHouse18(t, lab.ClickHouse18Options{})
	c.Exec(t, strings.Replace(strings.Replace(narrow, "%s", "default", 1), "%s", "", 1),
		"CREATE TABLE DNS_TYPE (PacketTime DateTime, c UInt64) ENGINE = SummingMergeTree PARTITION BY toYYYYMM(PacketTime) ORDER BY PacketTime",
		"CREATE MATERIALIZED VIEW DNS_CLASS ENGINE = SummingMergeTree PARTITION BY toYYYYMM(PacketTime) ORDER BY PacketTime AS SELECT PacketTime, count() AS c FROM DNS_LOG GROUP BY PacketTime")
	improve(t, c, "default", 9)
	_, out := suggested(t, "--clickhouseaddress="+c.Addr)
	for _, want := range []string{"PacketTime: times have whole seconds", "in the table's key", "column IndexTime: times have whole seconds", "no type that holds more", "column SrcIP: IPv6 addresses are written as 0.0.0.0", "cannot convert the bytes", "DNS_TYPE counts a repeated batch twice", "DNS_CLASS counts a repeated batch twice", "use Replicated"} {
		if !strings.Contains(out, want) {
			t.Errorf("check lacks %q:\n%s", want, out)
		}
	}
}

// TestCheckForeignNames: a cluster whose local table has a name of its own.
func TestCheckForeignNames(t *testing.T) {
	if !tier.Full() {
		t.Skip(tier.LeftTo + "test-all: a cluster of four servers")
	}
	t.Parallel()
	c := lab.StartCluster18(t)
	for _, s := range lab.Tables18(c.Name, false) {
		c.Exec(t, strings.ReplaceAll(s, "_LOCAL", "_here"))
	}
	for _, name := range []string{"DNS_LOG", "DNS_LOG_here"} {
		args := []string{"--clickhousedatabase=dns", "--clickhousetable=" + name, "--cluster=" + c.Name}
		for _, r := range c.Replicas() {
			args = append(args, "--clickhouseaddress="+r.Addr)
		}
		list, out := suggested(t, args...)
		if !strings.Contains(out, "1 of 11 aggregates") || strings.Contains(out, "_LOCAL") {
			t.Errorf("%s:\n%s", name, out)
		}
		if name == "DNS_LOG" && len(list) < 8 || name != "DNS_LOG" && len(list) > 0 {
			t.Errorf("%s: %d statements:\n%s", name, len(list), out)
		}
		done := make(map[string]bool)
		var at *lab.ClickHouse
		for line := range strings.Lines(out) {
			for _, r := range c.Replicas() {
				if _, port, _ := net.SplitHostPort(r.Addr); strings.Contains(line, ":"+port+", shard") {
					at = r
				}
			}
			i := strings.Index(line, "ALTER TABLE ")
			if i < 0 || done[line] {
				continue
			}
			at.Exec(t, strings.TrimRight(line[i:], ";\n"))
			done[line] = strings.Contains(line, "ON CLUSTER") // each server has said it
		}
		if list, out := suggested(t, args...); len(list) != 0 {
			t.Errorf("%s, after the statements:\n%s", name, out)
		}
	}
	for _, r := range c.Replicas() {
		if n := r.Int(t, "SELECT count() FROM system.columns WHERE database = 'dns' AND table IN ('DNS_LOG', 'DNS_LOG_here') AND name IN ('Weight', 'AnswerData')"); n != 4 {
			t.Errorf("%s has %d of 4 columns", r.Addr, n)
		}
	}
}
