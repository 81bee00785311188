package schema

import "strings"

// dnsmonster's tables.sql exists in two shapes, with the same log of 17 columns. In one,
// each aggregate is a view that has its rows itself (CREATE MATERIALIZED VIEW
// DNS_DOMAIN_COUNT ENGINE = SummingMergeTree ...); in the other, it is a table that a
// view <name>_MV fills. This layout is the one with the views inline. Both have the
// same names and columns for readers, and the same filters by QR.
//
// These views are what they are there: SummingMergeTree adds up rows that differ only in
// a column outside of its order, so after a merge DNS_PROTOCOL has lost Protocol, and
// DNS_DOMAIN_COUNT the minute; most views have a row per time stamp. Our layout has none of
// that.
//
// Both the log and the views remember the batches that they have: a view's settings are
// those of the table within it.

// inline is dnsmonster's view.
type inline struct {
	engine, order, sample string
	minute                bool   // grouped by minute, not by time stamp
	groups, columns       string // beside date, time and server
}

// dnsmonsterColumns are the columns of dnsmonster's log, all of them.
var dnsmonsterColumns = []column{
	{"PacketTime", "DateTime64"},
	{"IndexTime", "DateTime64"},
	{"Server", "LowCardinality(String)"},
	{"IPVersion", "UInt8"},
	{"SrcIP", "IPv6"},
	{"DstIP", "IPv6"},
	{"Protocol", "FixedString(3)"},
	{"QR", "UInt8"},
	{"OpCode", "UInt8"},
	{"Class", "UInt16"},
	{"Type", "UInt16"},
	{"Edns0Present", "UInt8"},
	{"DoBit", "UInt8"},
	{"FullQuery", "String"},
	{"ResponseCode", "UInt8"},
	{"Question", "String CODEC(ZSTD(1))"},
	{"Size", "UInt16"},
}

func (o Options) dnsmonster(add adder) {
	add(o.Table, "CREATE TABLE IF NOT EXISTS %s%s\n(\n%s\n)\nENGINE = %s\nPARTITION BY toYYYYMMDD(PacketTime)\nORDER BY (toStartOfHour(PacketTime), Server, reverse(Question), toUnixTimestamp(PacketTime))\nSAMPLE BY toUnixTimestamp(PacketTime)\n%sSETTINGS %s",
		o.table(o.Table), o.onCluster(), columnLines(dnsmonsterColumns), o.engine("MergeTree", o.Table), o.ttl(logDate), o.window())
	for _, a := range aggregates {
		o.inlineView(add, a)
	}
}

func (o Options) inlineView(add adder, a aggregate) {
	v, sample, time := a.inline, "", "PacketTime"
	if v.sample != "" {
		sample = "SAMPLE BY " + v.sample + "\n"
	}
	if v.minute {
		time = "toStartOfMinute(PacketTime)"
	}
	groups := []string{"DnsDate", a.time, "Server"}
	if v.groups != "" {
		groups = append(groups, v.groups)
	}
	add(a.name, "CREATE MATERIALIZED VIEW IF NOT EXISTS %s%s\nENGINE = %s\nPARTITION BY toYYYYMMDD(DnsDate)\nORDER BY (%s)\n%s%sSETTINGS %s\nAS SELECT toDate(PacketTime) AS DnsDate, %s AS %s, Server, %s\nFROM %s\n%sGROUP BY %s",
		o.table(a.name), o.onCluster(), o.engine(v.engine, a.name), v.order, sample, o.ttl("DnsDate"), o.window(),
		time, a.time, v.columns, o.table(o.Table), a.whereLine(), strings.Join(groups, ", "))
}
