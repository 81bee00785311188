package schema

import (
	"fmt"
	"strings"
)

// column is a column of a table: its name, and its type with default and codec.
type column struct{ name, is string }

// ours creates the tables of our layout, and the views.
func (o Options) ours(add adder) {
	add(o.Table, "CREATE TABLE IF NOT EXISTS %s%s\n(\n%s\n)\nENGINE = %s\nPARTITION BY toMonday(PacketTime)\nPRIMARY KEY (%s)\nORDER BY (%s)\nSAMPLE BY SampleKey\n%sSETTINGS %s",
		o.table(o.Table), o.onCluster(), columnLines(logColumns), o.engine("MergeTree", o.Table),
		logPrimaryKey, logOrder, o.ttl(logDate), o.settings())
	for _, a := range aggregates {
		o.aggregate(add, a)
	}
}

// Weeks are the partitions: a batch of almost two years still fits into the 100 partitions
// that one INSERT may touch, and a table with a TTL keeps a week too much at most, because
// only whole parts are dropped.
//
// SampleKey is a hash of what a query and its answer have in common, so a sample has both or
// none of them. It has 100 values, spread over 16 bits such that SAMPLE 0.01 is exactly
// one of them, SAMPLE 0.1 ten. It stands before the name, so that a sample reads only its
// own part of the disk; within each value equal names are side by side, and the index finds
// a name without reading all of them.
const (
	logPrimaryKey = "toStartOfHour(PacketTime), Server, SampleKey"
	logOrder      = "toStartOfHour(PacketTime), Server, SampleKey, Question, PacketTime"
	logDate       = "toDate(PacketTime)"
)

// logColumns are the columns of our log, and its index. The first 17 have dnsmonster's names.
var logColumns = []column{
	{"PacketTime", "DateTime64(6) CODEC(Delta, ZSTD(1))"},
	{"IndexTime", "DateTime64(3) CODEC(Delta, ZSTD(1))"},
	{"Server", "LowCardinality(String) CODEC(ZSTD(1))"},
	{"IPVersion", "UInt8 CODEC(ZSTD(1))"},
	{"SrcIP", "IPv6 CODEC(ZSTD(1))"},
	{"DstIP", "IPv6 CODEC(ZSTD(1))"},
	{"Protocol", "LowCardinality(String) CODEC(ZSTD(1))"},
	{"QR", "UInt8 CODEC(ZSTD(1))"},
	{"OpCode", "UInt8 CODEC(ZSTD(1))"},
	{"Class", "UInt16 CODEC(ZSTD(1))"},
	{"Type", "UInt16 CODEC(ZSTD(1))"},
	{"Edns0Present", "UInt8 CODEC(ZSTD(1))"},
	{"DoBit", "UInt8 CODEC(ZSTD(1))"},
	{"FullQuery", "String CODEC(ZSTD(3))"},
	{"ResponseCode", "UInt16 CODEC(ZSTD(1))"},
	{"Question", "String CODEC(ZSTD(1))"},
	{"Size", "UInt32 CODEC(T64, ZSTD(1))"},
	{"SrcPort", "UInt16 CODEC(ZSTD(1))"},
	{"DstPort", "UInt16 CODEC(ZSTD(1))"},
	{"Direction", "LowCardinality(String) CODEC(ZSTD(1))"},
	{"Interface", "LowCardinality(String) CODEC(ZSTD(1))"},
	{"VLAN", "UInt16 CODEC(ZSTD(1))"},
	{"Tunnel", "LowCardinality(String) CODEC(ZSTD(1))"},
	{"Weight", "Float64 DEFAULT 1 CODEC(ZSTD(1))"},
	{"MessageID", "UInt16 CODEC(ZSTD(1))"},
	{"Authoritative", "UInt8 CODEC(ZSTD(1))"},
	{"Truncated", "UInt8 CODEC(ZSTD(1))"},
	{"RecursionDesired", "UInt8 CODEC(ZSTD(1))"},
	{"RecursionAvailable", "UInt8 CODEC(ZSTD(1))"},
	{"AuthenticatedData", "UInt8 CODEC(ZSTD(1))"},
	{"CheckingDisabled", "UInt8 CODEC(ZSTD(1))"},
	{"QuestionCount", "UInt16 CODEC(ZSTD(1))"},
	{"AnswerCount", "UInt16 CODEC(ZSTD(1))"},
	{"AuthorityCount", "UInt16 CODEC(ZSTD(1))"},
	{"AdditionalCount", "UInt16 CODEC(ZSTD(1))"},
	{"AnswerName", "Array(String) CODEC(ZSTD(1))"},
	{"AnswerType", "Array(UInt16) CODEC(ZSTD(1))"},
	{"AnswerTTL", "Array(UInt32) CODEC(ZSTD(1))"},
	{"AnswerData", "Array(String) CODEC(ZSTD(1))"},
	{"EdnsSize", "UInt16 CODEC(ZSTD(1))"},
	{"ClientSubnet", "String CODEC(ZSTD(1))"},
	{"ExtendedErrors", "Array(UInt16) CODEC(ZSTD(1))"},
	{"Identity", "LowCardinality(String) CODEC(ZSTD(1))"},
	{"Version", "LowCardinality(String) CODEC(ZSTD(1))"},
	{"QueryTime", "DateTime64(6) CODEC(ZSTD(1))"},
	{"ResponseTime", "DateTime64(6) CODEC(ZSTD(1))"},
	{"CaptureCut", "UInt32 CODEC(ZSTD(1))"},
	{"Malformed", "String CODEC(ZSTD(1))"},
	{"SampleKey", "UInt16 MATERIALIZED (cityHash64(MessageID, Question) + cityHash64(SrcIP, SrcPort) + cityHash64(DstIP, DstPort)) % 100 * 656 CODEC(ZSTD(1))"},
	{"INDEX QuestionIndex", "Question TYPE bloom_filter(0.01) GRANULARITY 1"},
}

func columnLines(columns []column) string {
	lines := make([]string, len(columns))
	for i, c := range columns {
		lines[i] = "    " + c.name + " " + c.is
	}
	return strings.Join(lines, ",\n")
}

// ttl is the line with the retention, none for ever. date is an expression of type Date.
func (o Options) ttl(date string) string {
	if o.TTLDays == 0 {
		return ""
	}
	return fmt.Sprintf("TTL %s + INTERVAL %d DAY\n", date, o.TTLDays)
}

// settings of our tables: a part is dropped whole, when its last row has expired, and
// a changed retention does not rewrite the rows that are there.
func (o Options) settings() string {
	return o.window() + ", ttl_only_drop_parts = 1, materialize_ttl_recalculate_only = 1"
}
