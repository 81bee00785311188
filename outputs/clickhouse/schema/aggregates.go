package schema

import "strings"

// aggregate is a table of sums, which a view fills with each INSERT into the log.
type aggregate struct {
	name   string
	time   string // name of the column with the minute
	groups []column
	sums   []sum
	where  string // which rows of the log count; "": all
	order  string // of our table; it has all columns that the view groups by
	alias  []column
	inline inline // dnsmonster's view
}

// sum is a column that is summed, and the view's expression for it.
type sum struct{ name, is, expression string }

func (a aggregate) view() string { return a.name + "_MV" }

const (
	count    = "SimpleAggregateFunction(sum, UInt64) CODEC(ZSTD(1))"
	weighted = "SimpleAggregateFunction(sum, Float64) CODEC(ZSTD(1))"
	queries  = "QR = 0"
	answers  = "QR = 1"
)

// rows counts rows, and weighs them: w is the number of messages on the wire while the
// sensor samples.
var rows = []sum{{"c", count, "count()"}, {"w", weighted, "sum(Weight)"}}

// aggregates have dnsmonster's names and columns, w and others beside them. What
// dashboards read with sumMerge and avgMerge stays a state. The order of each table has
// all columns of its groups, or else a merge would add up rows that differ in one of
// them.
var aggregates = []aggregate{
	{
		name: "DNS_DOMAIN_COUNT", time: "t", where: queries, sums: rows,
		groups: []column{{"Question", "String CODEC(ZSTD(1))"}},
		alias:  []column{{"QH", "UInt64 ALIAS cityHash64(Question)"}},
		order:  "toStartOfHour(t), Server, Question, t",
		inline: inline{
			engine: "SummingMergeTree", order: "DnsDate, Server, QH", sample: "QH", minute: true,
			groups: "Question", columns: "Question, cityHash64(Question) AS QH, count() AS c",
		},
	},
	{
		name: "DNS_DOMAIN_UNIQUE", time: "timestamp", where: queries,
		sums:  []sum{{"UniqueDnsCount", "AggregateFunction(uniq, String) CODEC(ZSTD(1))", "uniqState(Question)"}},
		order: "timestamp, Server",
		inline: inline{
			engine: "AggregatingMergeTree", order: "DnsDate, timestamp, Server",
			columns: "uniqState(Question) AS UniqueDnsCount",
		},
	},
	{
		name: "DNS_PROTOCOL", time: "timestamp", sums: rows,
		groups: []column{{"Protocol", "LowCardinality(String) CODEC(ZSTD(1))"}},
		order:  "timestamp, Server, Protocol",
		inline: inline{
			engine: "SummingMergeTree", order: "DnsDate, timestamp, Server", minute: true,
			groups: "Protocol", columns: "Protocol, count() AS c",
		},
	},
	{
		name: "DNS_GENERAL_AGGREGATIONS", time: "timestamp",
		sums: append([]sum{
			{"TotalSize", "AggregateFunction(sum, UInt64) CODEC(ZSTD(1))", "sumState(toUInt64(Size))"},
			{"AverageSize", "AggregateFunction(avg, UInt64) CODEC(ZSTD(1))", "avgState(toUInt64(Size))"},
			{"WeightedSize", weighted, "sum(Weight * Size)"},
		}, rows...),
		order: "timestamp, Server",
		inline: inline{
			engine: "AggregatingMergeTree", order: "DnsDate, timestamp, Server",
			columns: "sumState(Size) AS TotalSize, avgState(Size) AS AverageSize",
		},
	},
	{
		name: "DNS_EDNS", time: "timestamp", where: queries,
		sums: append([]sum{
			{"EdnsCount", "AggregateFunction(sum, UInt64) CODEC(ZSTD(1))", "sumState(toUInt64(Edns0Present))"},
			{"DoBitCount", "AggregateFunction(sum, UInt64) CODEC(ZSTD(1))", "sumState(toUInt64(DoBit))"},
			{"WeightedEdnsCount", weighted, "sum(Weight * Edns0Present)"},
			{"WeightedDoBitCount", weighted, "sum(Weight * DoBit)"},
		}, rows...),
		order: "timestamp, Server",
		inline: inline{
			engine: "AggregatingMergeTree", order: "DnsDate, timestamp, Server",
			columns: "sumState(Edns0Present) AS EdnsCount, sumState(DoBit) AS DoBitCount",
		},
	},
	number("DNS_OPCODE", "OpCode", "UInt8", queries),
	number("DNS_TYPE", "Type", "UInt16", queries),
	number("DNS_CLASS", "Class", "UInt16", queries),
	number("DNS_RESPONSECODE", "ResponseCode", "UInt16", answers),
	address("DNS_SRCIP_MASK", "SrcIP"),
	address("DNS_DSTIP_MASK", "DstIP"),
}

// number is an aggregate by a column with a number of the protocol.
func number(name, by, is, where string) aggregate {
	return aggregate{
		name: name, time: "timestamp", where: where, sums: rows,
		groups: []column{{by, is + " CODEC(ZSTD(1))"}},
		order:  "timestamp, Server, " + by,
		inline: inline{
			engine: "SummingMergeTree", order: "timestamp, Server, " + by, sample: by,
			groups: by, columns: by + ", count() AS c",
		},
	}
}

// address is an aggregate by an address, as it is after masking. Ours tells queries from
// responses: the sources of queries are the clients.
func address(name, by string) aggregate {
	return aggregate{
		name: name, time: "timestamp", sums: rows,
		groups: []column{{"QR", "UInt8 CODEC(ZSTD(1))"}, {"IPVersion", "UInt8 CODEC(ZSTD(1))"}, {by, "IPv6 CODEC(ZSTD(1))"}},
		order:  "toStartOfHour(timestamp), Server, QR, IPVersion, " + by + ", timestamp",
		inline: inline{
			engine: "SummingMergeTree", order: "timestamp, Server, IPVersion, cityHash64(" + by + ")", sample: "cityHash64(" + by + ")",
			groups: "IPVersion, " + by, columns: "IPVersion, " + by + ", count() AS c",
		},
	}
}

// aggregate creates an aggregate and its view.
func (o Options) aggregate(add adder, a aggregate) {
	columns := []column{{"DnsDate", "Date CODEC(ZSTD(1))"}, {a.time, "DateTime CODEC(ZSTD(1))"}, {"Server", "LowCardinality(String) CODEC(ZSTD(1))"}}
	columns = append(columns, a.groups...)
	for _, s := range a.sums {
		columns = append(columns, column{s.name, s.is})
	}
	columns = append(columns, a.alias...)
	add(a.name, "CREATE TABLE IF NOT EXISTS %s%s\n(\n%s\n)\nENGINE = %s\nPARTITION BY toMonday(DnsDate)\nORDER BY (%s)\n%sSETTINGS %s",
		o.table(a.name), o.onCluster(), columnLines(columns), o.engine("AggregatingMergeTree", a.name), a.order, o.ttl("DnsDate"), o.settings())

	groups := []string{"DnsDate", a.time, "Server"}
	for _, g := range a.groups {
		groups = append(groups, g.name)
	}
	selects := append([]string{"toDate(PacketTime) AS DnsDate", "toStartOfMinute(PacketTime) AS " + a.time}, groups[2:]...)
	for _, s := range a.sums {
		selects = append(selects, s.expression+" AS "+s.name)
	}
	add(a.view(), "CREATE MATERIALIZED VIEW IF NOT EXISTS %s%s TO %s\nAS SELECT %s\nFROM %s\n%sGROUP BY %s",
		o.shared(a.view()), o.onCluster(), o.table(a.name), strings.Join(selects, ", "), o.table(o.Table), a.whereLine(), strings.Join(groups, ", "))
}

func (a aggregate) whereLine() string {
	if a.where == "" {
		return ""
	}
	return "WHERE " + a.where + "\n"
}
