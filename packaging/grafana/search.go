package grafana

import "strings"

const searchUID = "dnsmonster-sensor-search"

// search reads the log: the only dashboard that does, because the log is large.
func search() dashboard {
	log := func(p panel, kind, head string, tail ...string) panel {
		clauses := append([]string{head, "FROM `${database}`.`${table}`", "WHERE $__timeFilter_ms(PacketTime) AND " + strings.Join(filters(), "\nAND ")}, tail...)
		p = p.sql(kind, clauses...)
		p.Interval = "1s" // no aggregate: the times are exact
		return p
	}
	found := lines("Found messages", "Matching messages per second, by response code. Queries have none.", "mps", true).sized(24, 6)
	found.FieldConfig.Defaults.DisplayName = "${__field.labels.series}"
	records := table("Messages", "The newest messages that match. Times are those of the packets.", [2]string{"size", "bytes"}).sized(24, 20)
	return newDashboard(searchUID, "DNS search",
		"Single messages by name, client, answer and time, from the log table. Begin with a short time range: the log table has a row for every message.",
		"now-15m", searchVariables(), []panel{
			log(found, "timeseries", "SELECT $__timeInterval(PacketTime) AS time, if(QR = 0, 'queries', "+rcode+") AS series, sum(Weight) / $__interval_s AS rate", "GROUP BY time, series", "ORDER BY time, series"),
			log(records, "table", "SELECT "+strings.Join(searchColumns(), ",\n  "), "ORDER BY PacketTime DESC", "LIMIT ${rows}"),
		})
}

var (
	rcode      = named("dns_response", "ResponseCode", "RCODE")
	recordType = named("dns_type", "Type", "TYPE")
)

// The client is who sent the query, and to whom the response goes.
var client = "if(QR = 0, " + address("SrcIP") + ", " + address("DstIP") + ")"

func searchColumns() []string {
	return []string{
		"PacketTime AS time", "Server AS sensor", "if(QR = 0, 'query', 'response') AS kind",
		client + " AS client", "if(QR = 0, SrcPort, DstPort) AS client_port",
		"if(QR = 0, " + address("DstIP") + ", " + address("SrcIP") + ") AS dns_server",
		"Protocol AS protocol", "Question AS name", recordType + " AS type",
		"if(QR = 0, '', " + rcode + ") AS response_code", "Size AS size",
		"arrayStringConcat(arrayMap((t, d) -> concat(" + strings.ReplaceAll(recordType, "Type)", "t)") + ", ' ', d), AnswerType, AnswerData), ', ') AS answers",
		"arrayStringConcat(arrayFilter(f -> f != '', [if(Authoritative = 1, 'AA', ''), if(Truncated = 1, 'TC', ''), if(RecursionDesired = 1, 'RD', ''), if(RecursionAvailable = 1, 'RA', ''), if(AuthenticatedData = 1, 'AD', ''), if(CheckingDisabled = 1, 'CD', ''), if(DoBit = 1, 'DO', '')]), ' ') AS flags",
		"Interface AS interface", "Malformed AS malformed",
	}
}

// pattern is the text of a variable, as a pattern of LIKE.
func pattern(variable string) string {
	return "replaceAll(replaceRegexpAll(trim(TRAILING '.' FROM " + typed(variable) + "), '([%_\\\\\\\\])', '\\\\\\\\\\\\1'), '*', '%')"
}

// filters are conditions that hold for all rows while their variable is empty.
func filters() []string {
	asName := pattern("name")
	asked := "trim(TRAILING '.' FROM Question)"
	prefix := "multiIf(" + typed("client") + " = '', '::/0', position(" + typed("client") + ", '/') > 0, " + typed("client") + ", concat(" + typed("client") + ", if(position(" + typed("client") + ", ':') > 0, '/128', '/32')))"
	return []string{
		servers,
		"(" + typed("name") + " = '' OR " + asked + " ILIKE " + asName + " OR " + asked + " ILIKE concat('%.', " + asName + ") OR (" + typed("name") + " = '.' AND Question = '.'))",
		"(" + typed("client") + " = '' OR isIPAddressInRange(" + client + ", " + prefix + "))",
		"(" + typed("type") + " = '' OR " + recordType + " = upper(" + typed("type") + ") OR toString(Type) = " + typed("type") + ")",
		"(" + typed("rcode") + " = '' OR QR = 1 AND (" + rcode + " = upper(" + typed("rcode") + ") OR toString(ResponseCode) = " + typed("rcode") + "))",
		"(" + typed("answer") + " = '' OR arrayExists(d -> trim(TRAILING '.' FROM d) ILIKE " + pattern("answer") + ", AnswerData))",
		"('${kind}' = 'both' OR QR = ('${kind}' = 'responses'))",
	}
}

func searchVariables() []variable {
	return clickhouseVariables(
		variable{
			Name: "table", Label: "Log", Description: "The log table: --clickhousetable.", Type: "query", DataSource: &clickhouse,
			Query:   "SELECT table FROM system.columns WHERE database = '${database}' AND name = 'PacketTime' ORDER BY table",
			Refresh: 1,
		},
		text("name", "Name", "Finds this name and all names below it. * stands for any characters, as in *tracker*. Empty: all names."),
		text("client", "Client", "An address or a prefix, such as 192.0.2.1, 192.0.2.0/24 or 2001:db8::/32. Empty: all clients."),
		text("answer", "Answer", "Finds responses with this address, name or other data in an answer, such as 192.0.2.80. * stands for any characters. Empty: all messages."),
		text("type", "Type", "A type, such as AAAA or 65. Empty: all types."),
		text("rcode", "Response code", "A response code, such as NXDOMAIN or 3. Empty: all messages."),
		choice("kind", "Messages", "Queries, responses, or both.", "both", "queries", "responses"),
		choice("rows", "Rows", "Largest number of messages in the list.", "200", "1000", "5000"),
	)
}
