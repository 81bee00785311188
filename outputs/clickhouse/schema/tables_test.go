//go:build linux

package schema

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
)

// TestSumsAreRightAfterMerges: each aggregate says what the log says, by minute and by all
// of its groups, also after all its parts have been merged.
func TestSumsAreRightAfterMerges(t *testing.T) {
	s := start(t)
	o := s.create(Options{})
	for part := range 3 {
		s.insert(o, "", traffic(part)...)
	}
	s.want("720", "SELECT count() FROM %s", o.table(o.Table))
	for _, a := range aggregates {
		s.merge(o.table(a.name))
		where, groups := "1", append([]string{}, "DnsDate", a.time, "Server")
		if a.where != "" {
			where = a.where
		}
		for _, g := range a.groups {
			groups = append(groups, g.name)
		}
		var ours, fromLog []string
		for _, sum := range a.sums {
			got, want := "sum("+sum.name+")", sum.expression
			switch {
			case strings.HasPrefix(sum.is, "AggregateFunction(sum"):
				got, want = "sumMerge("+sum.name+")", strings.Replace(want, "sumState", "sum", 1)
			case strings.HasPrefix(sum.is, "AggregateFunction(avg"):
				got, want = "avgMerge("+sum.name+")", strings.Replace(want, "avgState", "avg", 1)
			case strings.HasPrefix(sum.is, "AggregateFunction(uniq"):
				got, want = "uniqMerge("+sum.name+")", strings.Replace(want, "uniqState", "uniq", 1)
			}
			ours, fromLog = append(ours, got), append(fromLog, want)
		}
		by := strings.Join(groups, ", ")
		got := s.run("SELECT %s, %s FROM %s GROUP BY %s ORDER BY %s", by, strings.Join(ours, ", "), o.table(a.name), by, by)
		want := s.run("SELECT toDate(PacketTime) AS DnsDate, toStartOfMinute(PacketTime) AS %s, %s, %s FROM %s WHERE %s GROUP BY %s ORDER BY %s",
			a.time, strings.Join(groups[2:], ", "), strings.Join(fromLog, ", "), o.table(o.Table), where, by, by)
		if got != want || strings.Count(want, "\n") < 3 {
			t.Errorf("%s:\n%s\nthe log says:\n%s", a.name, got, want)
		}
		// One row for each group: otherwise the order lacks nothing, but has too much.
		if rows := s.run("SELECT count() FROM %s", o.table(a.name)); rows != strconv.Itoa(1+strings.Count(want, "\n")) {
			t.Errorf("%s: %s rows after the merge, want %d", a.name, rows, 1+strings.Count(want, "\n"))
		}
	}
	s.want("dot\ntcp\nudp", "SELECT DISTINCT Protocol FROM %s ORDER BY Protocol", o.table("DNS_PROTOCOL"))
	if c, w := s.run("SELECT sum(c) FROM %s", o.table("DNS_PROTOCOL")), s.run("SELECT sum(w) FROM %s", o.table("DNS_PROTOCOL")); c != "720" || w != "1080" {
		t.Errorf("%s rows of weight %s, want 720 of 1080", c, w)
	}
}

// TestDnsmonsterProtocols: what our comment says about its view is so.
func TestDnsmonsterProtocols(t *testing.T) {
	s := start(t)
	o := s.create(Options{Layout: Dnsmonster})
	s.insert(o, "", traffic(0)...)
	s.merge(o.table("DNS_PROTOCOL"))
	s.want("6", "SELECT count() FROM %s", o.table("DNS_PROTOCOL")) // three minutes of two servers, in which each of three protocols occurs
	s.want("240", "SELECT sum(c) FROM %s", o.table("DNS_PROTOCOL"))
}

// TestRepeatedBatch: a batch that comes again with its token changes neither the log nor an
// aggregate. The same rows under another token are new.
func TestRepeatedBatch(t *testing.T) {
	s := start(t)
	for _, layout := range []Layout{Ours, Dnsmonster} {
		o := s.create(Options{Layout: layout})
		insert := func(token string) {
			s.insert(o, "insert_deduplication_token = '"+token+"', insert_deduplicate = 1, async_insert = 0, deduplicate_blocks_in_dependent_materialized_views = 1", traffic(1)...)
		}
		sums := func() (text string) {
			for _, name := range o.withData() {
				what := "count()"
				for _, a := range aggregates {
					if a.name == name && strings.Contains(a.inline.columns, "AS c") {
						what = "sum(c)"
					}
				}
				text += name + " " + s.run("SELECT %s FROM %s", what, o.table(name)) + "\n"
			}
			return text + s.run("SELECT sumMerge(TotalSize) FROM %s", o.table("DNS_GENERAL_AGGREGATIONS"))
		}
		insert("batch-1")
		once := sums()
		insert("batch-1")
		if got := sums(); got != once {
			t.Errorf("layout %d: after a repeat\n%s\nwant\n%s", layout, got, once)
		}
		insert("batch-2")
		s.want("480", "SELECT count() FROM %s", o.table(o.Table))
		s.want("480", "SELECT sum(c) FROM %s", o.table("DNS_PROTOCOL"))
	}
}

// TestSample: a tenth of the rows, queries with their answers, whatever the names are.
func TestSample(t *testing.T) {
	s := start(t)
	o := s.create(Options{})
	s.run("INSERT INTO %s (PacketTime, Server, Question, SrcIP, DstIP, SrcPort, DstPort, MessageID, QR) SELECT toDateTime64('2026-11-23 10:00:00', 6) + intDiv(number, 100), 'a', if(number %% 4 < 2, 'popular.example.org.', concat('n', toString(intDiv(number, 2)), '.example.org.')), if(number %% 2 = 0, client, dns), if(number %% 2 = 0, dns, client), if(number %% 2 = 0, port, 53), if(number %% 2 = 0, 53, port), cityHash64(intDiv(number, 2), 'id') %% 65536, number %% 2 FROM (SELECT number, toIPv6(concat('2001:db8::', hex(intDiv(number, 2) %% 50))) AS client, toIPv6('2001:db8::53') AS dns, 1024 + cityHash64(intDiv(number, 2), 'port') %% 60000 AS port FROM numbers(200000))", o.table(o.Table))
	for _, sample := range []float64{0.01, 0.1, 0.5} {
		got, err := strconv.ParseFloat(s.run("SELECT count() / 200000 FROM %s SAMPLE %g", o.table(o.Table), sample), 64)
		if err != nil || got < 0.9*sample || got > 1.1*sample {
			t.Errorf("SAMPLE %g returns %g of the rows (%v)", sample, got, err)
		}
	}
	s.want("0", "SELECT count() FROM (SELECT MessageID, Question, count() AS n FROM %s SAMPLE 0.1 GROUP BY MessageID, Question, greatest(SrcPort, DstPort) HAVING n %% 2 = 1)", o.table(o.Table))
	// The server skips what is not in the sample.
	if plan := s.run("EXPLAIN indexes = 1 SELECT count() FROM %s SAMPLE 0.1", o.table(o.Table)); !strings.Contains(plan, "SampleKey") {
		t.Errorf("the plan does not use the key:\n%s", plan)
	}
}

// TestPartitions: a batch may come from almost two years. Two years are too much, which
// says that the first half tests something.
func TestPartitions(t *testing.T) {
	s := start(t)
	o := s.create(Options{})
	s.dropViews(o, "DNS_DOMAIN_COUNT")
	insert := "INSERT INTO " + o.table(o.Table) + " (PacketTime, Question, SrcIP, DstIP) SELECT toDateTime64('2024-01-01 00:00:00', 6) + number * 86400, 'example.org.', toIPv6('::'), toIPv6('::') FROM numbers(%d) SETTINGS throw_on_max_partitions_per_insert_block = 1, max_partitions_per_insert_block = 100"
	s.run(insert, 690)
	for _, name := range []string{o.Table, "DNS_DOMAIN_COUNT"} {
		s.want("99", "SELECT uniq(partition) FROM system.parts WHERE database = '%s' AND table = '%s' AND active", o.Database, name)
	}
	if _, err := s.ask(fmt.Sprintf(insert, 720)); err == nil || !strings.Contains(err.Error(), "Too many partitions") {
		t.Errorf("a batch of 103 weeks: %v", err)
	}
}

// TestExpiredRowsGo: the retention is obeyed, by log and aggregates.
func TestExpiredRowsGo(t *testing.T) {
	s := start(t)
	o := s.create(Options{TTLDays: 30})
	s.dropViews(o, "DNS_DOMAIN_COUNT", "DNS_SRCIP_MASK")
	s.run("INSERT INTO %s (PacketTime, Question, SrcIP, DstIP) SELECT now() - number * 7 * 86400, 'example.org.', toIPv6('::'), toIPv6('::') FROM numbers(9)", o.table(o.Table))
	for _, name := range []string{o.Table, "DNS_DOMAIN_COUNT", "DNS_SRCIP_MASK"} {
		s.merge(o.table(name))
		if n, err := strconv.Atoi(s.run("SELECT count() FROM %s", o.table(name))); err != nil || n < 5 || n > 6 {
			t.Errorf("%s: %d weeks are left, want 5 (%v)", name, n, err)
		}
	}
}

// TestDashboards: queries in the form of dashboards for dnsmonster's tables work on both
// layouts, with the same answers.
func TestDashboards(t *testing.T) {
	s := start(t)
	both := []Options{s.create(Options{}), s.create(Options{Layout: Dnsmonster})}
	for _, o := range both {
		s.insert(o, "", traffic(0)...)
	}
	const slot, span = "(intDiv(toUInt32(%s), 60) * 60) * 1000", "DnsDate >= toDate('2026-11-23') AND %s >= toDateTime('2026-11-23 10:00:00') AND %[1]s < toDateTime('2026-11-23 11:00:00')"
	for _, c := range []struct{ table, columns, time, by string }{
		{"DNS_DOMAIN_COUNT", "Question, sum(c)", "t", ", Question"},
		{"DNS_DOMAIN_UNIQUE", "uniqMerge(UniqueDnsCount) / 60", "timestamp", ""},
		{"DNS_GENERAL_AGGREGATIONS", "avgMerge(AverageSize)", "timestamp", ""},
		{"DNS_GENERAL_AGGREGATIONS", "sumMerge(TotalSize) * 8 / 60", "timestamp", ""},
		{"DNS_SRCIP_MASK", "IPVersion, sum(c)", "timestamp", ", IPVersion"},
		{"DNS_SRCIP_MASK", "IPv6NumToString(toFixedString(unhex(hex(SrcIP)), 16)), sum(c)", "timestamp", ", SrcIP"},
		{"DNS_DSTIP_MASK", "IPv6NumToString(DstIP), sum(c)", "timestamp", ", DstIP"},
		{"DNS_PROTOCOL", "toString(Protocol), sum(c)", "timestamp", ", Protocol"},
		{"DNS_TYPE", "dictGetString('%[1]s.dns_type', 'Name', toUInt64(Type)), sum(c)", "timestamp", ", Type"},
		{"DNS_CLASS", "dictGetString('%[1]s.dns_class', 'Name', toUInt64(Class)), sum(c)", "timestamp", ", Class"},
		{"DNS_RESPONSECODE", "dictGetString('%[1]s.dns_response', 'Name', toUInt64(ResponseCode)), sum(c)", "timestamp", ", ResponseCode"},
		{"DNS_OPCODE", "dictGetString('%[1]s.dns_opcode', 'Name', toUInt64(OpCode)), sum(c)", "timestamp", ", OpCode"},
		{"DNS_EDNS", "sumMerge(EdnsCount) / 60, sumMerge(DoBitCount) / 60", "timestamp", ""},
	} {
		var answers []string
		for _, o := range both {
			columns := c.columns
			if strings.Contains(columns, "%") {
				columns = fmt.Sprintf(columns, o.Database)
			}
			answers = append(answers, s.run("SELECT * FROM (SELECT %s AS slot, %s FROM %s WHERE %s GROUP BY slot%s) ORDER BY ALL",
				fmt.Sprintf(slot, c.time), columns, o.table(c.table), fmt.Sprintf(span, c.time), c.by))
		}
		if c.table == "DNS_DOMAIN_COUNT" || c.table == "DNS_PROTOCOL" { // dnsmonster's views lose the minute, or the protocol
			for i, o := range both {
				answers[i] = s.run("SELECT sum(c) FROM %s", o.table(c.table)) + "\n\n"
			}
		}
		if answers[0] != answers[1] || strings.Count(answers[0], "\n") < 2 {
			t.Errorf("%s %s:\n%s\nin dnsmonster's layout:\n%s", c.table, c.columns, answers[0], answers[1])
		}
	}
}

func TestDictionaries(t *testing.T) {
	s := start(t)
	o := s.create(Options{})
	for _, c := range []struct {
		name   string
		number int
		want   string
	}{
		{"dns_class", 1, "IN"}, {"dns_class", 255, "ANY"}, {"dns_class", 2, "Invalid"},
		{"dns_opcode", 0, "QUERY"}, {"dns_opcode", 5, "UPDATE"}, {"dns_opcode", 6, "DSO"}, {"dns_opcode", 3, "Invalid"},
		{"dns_response", 0, "NOERROR"}, {"dns_response", 3, "NXDOMAIN"}, {"dns_response", 23, "BADCOOKIE"}, {"dns_response", 4095, "Invalid"},
		{"dns_type", 1, "A"}, {"dns_type", 28, "AAAA"}, {"dns_type", 65, "HTTPS"}, {"dns_type", 255, "ANY"}, {"dns_type", 32769, "DLV"}, {"dns_type", 65534, "Invalid"},
	} {
		s.want(c.want+"\t"+c.want, "SELECT dictGetString('%s.%s', 'Name', toUInt64(%d)), dictGet('%[1]s.%[2]s', 'Name', toUInt64(%[3]d))", o.Database, c.name, c.number)
	}
	s.want("NS", "SELECT Name FROM %s.dns_type WHERE Id = 2", o.Database)
}
