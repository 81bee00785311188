//go:build linux

package grafana

import (
	"fmt"
	"strings"
	"testing"

	"dnsmonster-sensor/outputs/clickhouse/schema"
)

// TestDnsmonsterDashboard: the questions that dnsmonster's own dashboard asks are answered
// by the layout of 17 columns. That dashboard uses another plugin, which writes the time
// and the interval differently; rows have no weight there.
func TestDnsmonsterDashboard(t *testing.T) {
	c := tables(t, schema.Dnsmonster)
	q := standard(c)
	times := func(column string) (series, filter string) {
		return fmt.Sprintf("(intDiv(toUInt32(%s), 60) * 60) * 1000", column),
			fmt.Sprintf("DnsDate >= toDate(%d) AND DnsDate <= toDate(%d) AND %s >= toDateTime(%[1]d) AND %[3]s <= toDateTime(%[2]d)", q.from.Unix(), q.to.Unix(), column)
	}
	// Minutes after 12:00, in milliseconds.
	minute := func(n int64) string { return fmt.Sprint((q.from.Unix() + 60*n) * 1000) }
	one, three := minute(1), minute(3)
	sixtieth := func(n int) string { return fmt.Sprintf("%.4g", float64(n)/60) }
	for _, s := range []struct{ sql, want string }{
		{"SELECT time, groupArray((Question, n)) FROM (SELECT SERIES AS time, Question, sum(c) AS n FROM DNS_DOMAIN_COUNT WHERE FILTER GROUP BY t, Question ORDER BY n DESC, Question LIMIT 5 BY time) GROUP BY time ORDER BY time",
			one + "|[('api.example.co.uk.',1),('www.example.org.',1)]\n" + three + `|[('.',1),('x\'y"%_<b>*.example.org.',1)]`},
		{"SELECT SERIES AS t, uniqMerge(UniqueDnsCount) / 60 AS n FROM DNS_DOMAIN_UNIQUE WHERE FILTER GROUP BY t ORDER BY t", one + "|" + sixtieth(2) + "\n" + three + "|" + sixtieth(2)},
		{"SELECT SERIES AS t, avgMerge(AverageSize) AS n FROM DNS_GENERAL_AGGREGATIONS WHERE FILTER GROUP BY t ORDER BY t", one + "|80\n" + three + "|32.33"},
		{"SELECT SERIES AS t, sumMerge(TotalSize) * 8 / 60 AS n FROM DNS_GENERAL_AGGREGATIONS WHERE FILTER GROUP BY t ORDER BY t", one + "|" + sixtieth(320*8) + "\n" + three + "|" + sixtieth(97*8)},
		{"SELECT t, groupArray((IPVersion, n)) FROM (SELECT SERIES AS t, IPVersion, sum(c) AS n FROM DNS_SRCIP_MASK WHERE FILTER GROUP BY t, IPVersion ORDER BY t) GROUP BY t ORDER BY t", one + "|[(4,4)]\n" + three + "|[(6,3)]"},
		// Their sum: a merge of this view leaves one protocol for a minute.
		{"SELECT t, arraySum(p -> p.2, groupArray((Protocol, n))) FROM (SELECT SERIES AS t, Protocol, sum(c) AS n FROM DNS_PROTOCOL WHERE FILTER GROUP BY t, Protocol ORDER BY t, Protocol) GROUP BY t ORDER BY t",
			one + "|4\n" + three + "|3"},
		{"SELECT 0, groupArray((IP, n)) FROM (SELECT IPv6NumToString(toFixedString(unhex(hex(SrcIP)), 16)) AS IP, sum(c) AS n FROM DNS_SRCIP_MASK PREWHERE IPVersion = 6 WHERE FILTER GROUP BY SrcIP ORDER BY SrcIP DESC LIMIT 20)",
			"0|[('2001:db8::53',1),('2001:db8::1',2)]"},
		{"SELECT t, groupArray((dictGetString('dns_type', 'Name', toUInt64(Type)), n)) FROM (SELECT SERIES AS t, Type, sum(c) AS n FROM DNS_TYPE WHERE FILTER GROUP BY t, Type ORDER BY t, Type) GROUP BY t ORDER BY t",
			one + "|[('A',1),('AAAA',1)]\n" + three + "|[('NS',1),('Invalid',1)]"},
		{"SELECT t, groupArray((dictGetString('dns_class', 'Name', toUInt64(Class)), n)) FROM (SELECT SERIES AS t, Class, sum(c) AS n FROM DNS_CLASS WHERE FILTER GROUP BY t, Class ORDER BY t, Class) GROUP BY t ORDER BY t",
			one + "|[('IN',2)]\n" + three + "|[('IN',1),('CH',1)]"},
		{"SELECT t, groupArray((dictGetString('dns_response', 'Name', toUInt64(ResponseCode)), n)) FROM (SELECT SERIES AS t, ResponseCode, sum(c) AS n FROM DNS_RESPONSECODE WHERE FILTER GROUP BY t, ResponseCode ORDER BY t, ResponseCode) GROUP BY t ORDER BY t",
			one + "|[('NOERROR',1),('NXDOMAIN',1)]\n" + three + "|[('SERVFAIL',1)]"},
		{"SELECT t, groupArray((dictGetString('dns_opcode', 'Name', toUInt64(OpCode)), n)) FROM (SELECT SERIES AS t, OpCode, sum(c) AS n FROM DNS_OPCODE WHERE FILTER GROUP BY t, OpCode ORDER BY t, OpCode) GROUP BY t ORDER BY t",
			one + "|[('QUERY',2)]\n" + three + "|[('QUERY',1),('NOTIFY',1)]"},
		{"SELECT SERIES AS t, sumMerge(EdnsCount) / 60 AS n FROM DNS_EDNS WHERE FILTER GROUP BY t ORDER BY t", one + "|" + sixtieth(2) + "\n" + three + "|0"},
		{"SELECT SERIES AS t, sumMerge(DoBitCount) / 60 AS n FROM DNS_EDNS WHERE FILTER GROUP BY t ORDER BY t", one + "|" + sixtieth(1) + "\n" + three + "|0"},
	} {
		column := "timestamp"
		if strings.Contains(s.sql, "DNS_DOMAIN_COUNT") {
			column = "t"
		}
		series, filter := times(column)
		if got := ask(t, c, q, strings.NewReplacer("SERIES", series, "FILTER", filter).Replace(s.sql)); got != s.want {
			t.Errorf("%s\n%s\nwant\n%s", s.sql, got, s.want)
		}
	}
}
