package table

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"dnsmonster-sensor/outputs/clickhouse/server"
)

// TestNames: names match with their case, else without. What a server computes is not
// written.
func TestNames(t *testing.T) {
	d := &Def{Database: "dns", Table: "log", Columns: []ColumnDef{
		{"question", "FixedString(9)", ""}, {"Question", "String", ""}, {"packettime", "DateTime", ""}, {"SERVER", "String", "DEFAULT"},
		{"qr", "UInt8", "MATERIALIZED"}, {"Size", "UInt32", "ALIAS"}, {"opcode", "UInt8", "EPHEMERAL"}, {"note", "String", ""}, {"site", "String", "DEFAULT"}, {"ResponseCode", "UInt8", ""},
	}}
	p := planOf(t, d, Options{})
	if got, want := p.InsertSQL(), "INSERT INTO `dns`.`log` (`packettime`, `SERVER`, `ResponseCode`, `Question`) VALUES"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	if want := []string{"question", "note"}; !slices.Equal(p.Foreign, want) {
		t.Errorf("foreign columns %v, want %v", p.Foreign, want)
	}
	if len(p.Missing) != len(fields)-7 || slices.Contains(p.Missing, "QR") || !slices.Contains(p.Missing, "AnswerData") || p.Missing[0] != "IndexTime" {
		t.Errorf("%d columns are missing: %v", len(p.Missing), p.Missing)
	}
	if want := []Loss{
		{Column: "packettime", Note: "times have whole seconds, those before 1970 and after 2105 are moved to the nearest", Fix: "ALTER TABLE `dns`.`log` MODIFY COLUMN `packettime` DateTime64(6)"},
		{Column: "ResponseCode", Note: "values above 255 are written as 255", Fix: "ALTER TABLE `dns`.`log` MODIFY COLUMN `ResponseCode` UInt16"},
	}; !slices.Equal(p.Losses, want) {
		t.Errorf("losses %v, want %v", p.Losses, want)
	}
}

// TestLosses names what else a column can lose.
func TestLosses(t *testing.T) {
	for _, c := range [][3]string{
		{"SrcIP", "IPv4", "IPv6 addresses are written as 0.0.0.0"}, {"SrcIP", "FixedString(16)", ""}, {"SrcIP", "Nullable(IPv6)", ""}, {"SrcIP", "LowCardinality(String)", ""},
		{"Protocol", "FixedString(3)", "dnscryptudp and dnscrypttcp are written as dcu and dct"}, {"Protocol", "FixedString(2)", "longer texts are truncated to 2 bytes"},
		{"Protocol", "FixedString(11)", ""}, {"Question", "FixedString(255)", "longer texts are truncated to 255 bytes"}, {"Question", "LowCardinality(Nullable(String))", ""},
		{"Protocol", "Enum8('udp' = 1)", "values that the Enum lacks are written as its lowest one"}, {"PacketTime", "Date", "times lose the time of day"},
		{"PacketTime", "Date32", "times lose the time of day"}, {"PacketTime", "DateTime64(3)", ""}, {"Size", "UInt16", "values above 65535 are written as 65535"},
		{"Size", "Int32", "values above 2147483647 are written as 2147483647"}, {"Size", "Float64", ""}, {"QR", "Bool", ""}, {"OpCode", "Bool", "values above 1 are written as 1"},
		{"Weight", "UInt8", "numbers are rounded, those above 255 are written as that"}, {"AnswerTTL", "Array(UInt16)", "values above 65535 are written as 65535"}, {"AnswerTTL", "Array(UInt32)", ""},
		{"ResponseCode", "Nullable(Int8)", "values above 127 are written as 127"}, {"OpCode", "Int8", ""},
	} {
		p, got := planOf(t, tableOf(t, c[0], c[1]), Options{}), ""
		if len(p.Losses) == 1 {
			got = p.Losses[0].Note
		}
		if got != c[2] {
			t.Errorf("%s as %s: %q, want %q", c[0], c[1], got, c[2])
		}
	}
}

// TestMisfits: a type that cannot hold the values is refused, with the statement that helps.
func TestMisfits(t *testing.T) {
	for _, c := range [][2]string{
		{"PacketTime", "String"}, {"PacketTime", "UInt32"}, {"PacketTime", "DateTime64(10)"}, {"PacketTime", "DateTime64"}, {"SrcIP", "UUID"}, {"SrcIP", "UInt32"}, {"SrcIP", "FixedString(15)"},
		{"Question", "UInt8"}, {"Question", "UUID"}, {"Question", "Array(String)"}, {"Question", "FixedString"}, {"Question", "Enum8()"}, {"FullQuery", "JSON"}, {"FullQuery", "FixedString(9)"},
		{"QR", "Decimal(9, 2)"}, {"QR", "IPv4"}, {"QR", "Array(UInt8)"}, {"AnswerName", "String"}, {"AnswerName", "Array(UInt8)"}, {"AnswerName", "Array(Array(String))"}, {"AnswerType", "UInt16"},
		{"AnswerType", "Array(IPv4)"}, {"Weight", "Date"}, {"Protocol", "LowCardinality(Enum8('a' = 1))"}, {"Protocol", "Nullable(Nullable(String))"}, {"Protocol", "Map(String, String)"},
		{"Protocol", "AggregateFunction(any, String)"}, {"Protocol", "Enum8('a' = 70000)"}, {"Protocol", "Tuple(a String)"}, {"Protocol", "Nullable(LowCardinality(String))"}, {"Protocol", "FixedString(0)"}, {"Question", "FixedString(1025)"},
	} {
		_, err := tableOf(t, c[0], c[1]).Plan(Options{})
		for _, want := range []string{"column " + c[0], "`dns`.`DNS_LOG`", c[1], "ALTER TABLE `dns`.`DNS_LOG` MODIFY COLUMN `" + c[0] + "` " + typeOf(c[0])} {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s as %s: %v, want %s", c[0], c[1], err, want)
			}
		}
	}
	d := tableOf(t, "QR", "UUID")
	d.Columns = append(d.Columns, ColumnDef{"Class", "UUID", ""})
	if _, err := d.Plan(Options{}); err == nil || strings.Count(err.Error(), "ALTER TABLE") != 2 {
		t.Errorf("two misfits: %v", err)
	}
}

// TestWithoutPacketTime: older layouts are refused, with the reason.
func TestWithoutPacketTime(t *testing.T) {
	for _, c := range [][]ColumnDef{{{"timestamp", "DateTime", ""}, {"Question", "String", ""}}, {{"PacketTime", "DateTime", "ALIAS"}}, nil} {
		d := &Def{Database: "d`b", Table: "old", Columns: c}
		if _, err := d.Plan(Options{}); err == nil || !strings.Contains(err.Error(), "table `d\\`b`.`old` cannot be written") || !strings.Contains(err.Error(), "1970") {
			t.Errorf("%v: %v", c, err)
		}
	}
}

// answers are a server's answers by the start of the query.
type answers map[string][][]string

func (a answers) Query(_ context.Context, sql string) (*server.Result, error) {
	for start, rows := range a {
		if strings.HasPrefix(sql, start) {
			if rows == nil {
				return nil, errors.New("Code: 60. DB::Exception: Table does not exist")
			}
			return &server.Result{Rows: rows}, nil
		}
	}
	return nil, fmt.Errorf("unexpected query %s", sql)
}

func TestRead(t *testing.T) {
	a := answers{
		"SELECT currentDatabase()":                            {{"dns", "Europe/Berlin"}},
		"SELECT name, type, default_kind FROM":                {{"PacketTime", "DateTime64(3)", ""}, {"Day", "Date", "MATERIALIZED"}},
		"SELECT engine, engine_full":                          {{"ReplicatedMergeTree", "ReplicatedMergeTree('/t/{shard}', '{replica}') PARTITION BY toYYYYMM(PacketTime) ORDER BY Question TTL toDate(PacketTime) + toIntervalDay(30) SETTINGS index_granularity = 8192", "toYYYYMM(PacketTime)", "Question"}},
		"SELECT zookeeper_path FROM system.replicas WHERE da": {{"/t/01"}},
	}
	d, err := Read(context.Background(), a, "", "DNS_LOG")
	if err != nil {
		t.Fatal(err)
	}
	if d.Name() != "`dns`.`DNS_LOG`" || d.Zone != "Europe/Berlin" || len(d.Columns) != 2 || d.Columns[1] != (ColumnDef{"Day", "Date", "MATERIALIZED"}) ||
		d.PartitionKey != "toYYYYMM(PacketTime)" || d.SortingKey != "Question" || d.ReplicaPath != "/t/01" || d.TTL != "toDate(PacketTime) + toIntervalDay(30)" || d.DedupWindow != 0 {
		t.Errorf("%+v", d)
	}
	if days, ok := d.TTLDays(); days != 30 || !ok {
		t.Errorf("%d days, %v", days, ok)
	}
	a["SELECT engine, engine_full"] = [][]string{{"MergeTree", "MergeTree ORDER BY Question SETTINGS index_granularity = 8192, non_replicated_deduplication_window = 10000", "", "Question"}}
	other, err := Read(context.Background(), a, "", "DNS_LOG")
	if err != nil || other.DedupWindow != 10000 || other.TTL != "" || other.ReplicaPath != "" || other.Same(d) || !other.Same(other) {
		t.Errorf("%v, %+v", err, other)
	}
	if _, ok := other.TTLDays(); ok {
		t.Error("days of no TTL")
	}
	a["SELECT engine, engine_full"] = [][]string{}
	if d, err := Read(context.Background(), a, "dns", "DNS_LOG"); err != nil || d.Engine != "" {
		t.Errorf("a table whose engine is hidden: %v", err)
	}
	for start := range a {
		old := a[start]
		a[start] = nil
		if _, err := Read(context.Background(), a, "", "DNS_LOG"); err == nil && start != "SELECT zookeeper_path FROM system.replicas WHERE da" {
			t.Errorf("%s fails, but Read does not", start)
		}
		a[start] = old
	}
	a["SELECT name, type, default_kind FROM"] = [][]string{{"PacketTime"}}
	if _, err := Read(context.Background(), a, "", "DNS_LOG"); err == nil {
		t.Error("a short answer is accepted")
	}
	a["SELECT name, type, default_kind FROM"] = [][]string{}
	if _, err := Read(context.Background(), a, "", "DNS_LOG"); !errors.Is(err, ErrNoTable) || !strings.Contains(err.Error(), "`dns`.`DNS_LOG`") {
		t.Errorf("no table: %v", err)
	}
}
