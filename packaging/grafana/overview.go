package grafana

// The rates of all panels are sums of weights: a sensor that records one of ten messages
// gives each a weight of ten.

// name is a question without its final dot.
const name = "if(Question = '.', '.', trim(TRAILING '.' FROM Question))"

// registered is the registered domain of a name; names without one, as the root, are their
// own. ClickHouse finds none in a name with characters that an URL cannot have, so they
// are replaced for it, and a dot within a label with them.
const registered = "right((" + name + " AS asked), length(if((cutToFirstSignificantSubdomain(" +
	"replaceRegexpAll(replaceAll(asked, '\\\\.', '--'), '[^A-Za-z0-9._-]', '-')) AS cut) = '', asked, cut)))"

func overview() dashboard {
	return newDashboard("dnsmonster-sensor-overview", "DNS overview",
		"What the sensors see: rates, response codes, sizes, and who asks for what. All numbers are those on the wire, also where a sensor records only a sample.",
		"now-6h", clickhouseVariables(choice("top", "Top", "Number of rows or series in panels of the most frequent values.", "10", "5", "20", "50", "100")),
		join(overviewNow(), overviewRates(), overviewTop(), overviewSizes(), overviewMore()))
}

func join(parts ...[]panel) (all []panel) {
	for _, p := range parts {
		all = append(all, p...)
	}
	return all
}

func overviewNow() []panel {
	return []panel{
		number("Queries per second", "Queries per second, on average over the chosen time.", "reqps").one("DNS_EDNS", perSecond("sum(w)")+" AS queries"),
		number("Responses per second", "Responses per second, on average over the chosen time.", "mps").one("DNS_RESPONSECODE", perSecond("sum(w)")+" AS responses"),
		number("NXDOMAIN", "Share of responses with the code NXDOMAIN: the name does not exist.", "percentunit").above(0.5, "orange").
			one("DNS_RESPONSECODE", "sumIf(w, ResponseCode = 3) / nullIf(sum(w), 0) AS share"),
		number("SERVFAIL", "Share of responses with the code SERVFAIL: the server has failed.", "percentunit").above(0.05, "red").
			one("DNS_RESPONSECODE", "sumIf(w, ResponseCode = 2) / nullIf(sum(w), 0) AS share"),
		number("Unique names", "Number of different names in queries, in the chosen time (an estimate, within about 1 %).", "short").
			one("DNS_DOMAIN_UNIQUE", "uniqMerge(UniqueDnsCount) AS names"),
		number("Queries with EDNS", "Share of the queries that have an EDNS record.", "percentunit").
			one("DNS_EDNS", "sum(WeightedEdnsCount) / nullIf(sum(w), 0) AS share"),
	}
}

func overviewRates() []panel {
	return []panel{
		row("Rates"),
		lines("Messages by sensor", "Queries and responses per second that each sensor records. The busiest sensors have a series each; the others share one.", "mps", true).byTop("DNS_GENERAL_AGGREGATIONS", "Server", "Server"),
		lines("Queries by type", "Queries per second by the type that they ask for.", "reqps", true).byTop("DNS_TYPE", "Type", named("dns_type", "Type", "TYPE")),
		lines("Responses by response code", "Responses per second by response code.", "mps", true).by("DNS_RESPONSECODE", named("dns_response", "ResponseCode", "RCODE")),
		lines("NXDOMAIN and SERVFAIL", "Shares of all responses: the name does not exist (NXDOMAIN), and the server has failed (SERVFAIL).", "percentunit", false).
			series("DNS_RESPONSECODE", "sumIf(w, ResponseCode = 3) / sum(w) AS NXDOMAIN", "sumIf(w, ResponseCode = 2) / sum(w) AS SERVFAIL"),
		lines("Messages by transport protocol", "Queries and responses per second by transport: udp, tcp, and what dnstap messages name.", "mps", true).by("DNS_PROTOCOL", "toString(Protocol)"),
		lines("Messages by IP version", "Queries and responses per second by IP version.", "mps", true).by("DNS_SRCIP_MASK", "concat('IPv', toString(IPVersion))"),
	}
}

func overviewTop() []panel {
	count := [2]string{"queries", "short"}
	share := [2]string{"share", "percentunit"}
	return []panel{
		row("Names and clients"),
		lines("Top names over time", "Queries per second for the names that are asked for most in the chosen time.", "reqps", true).sized(24, 8).byTop("DNS_DOMAIN_COUNT", "Question", name),
		table("Top names", "The names that are asked for most, and their share of all queries.", count, share).linked("name", "name").top("DNS_DOMAIN_COUNT", name, "name", "queries", ""),
		table("Top registered domains", "The registered domains, such as example.org and example.co.uk, that are asked for most, as ClickHouse's cutToFirstSignificantSubdomain finds them.", count, share).linked("domain", "name").
			top("DNS_DOMAIN_COUNT", registered, "domain", "queries", ""),
		table("Top clients", "The addresses that send most queries. If the sensor masks addresses, these are prefixes.", count, share).linked("client", "client").top("DNS_SRCIP_MASK", address("SrcIP"), "client", "queries", "QR = 0"),
		table("Top DNS servers", "The addresses that receive most queries: resolvers and name servers.", count, share).top("DNS_DSTIP_MASK", address("DstIP"), "dns_server", "queries", "QR = 0"),
	}
}

func overviewSizes() []panel {
	return []panel{
		row("Sizes and EDNS"),
		lines("Average message size", "Average size of a DNS message.", "bytes", false).series("DNS_GENERAL_AGGREGATIONS", "sum(WeightedSize) / sum(w) AS size"),
		lines("DNS traffic", "Bits per second of all DNS messages, without the headers of IP, UDP and TCP.", "bps", false).series("DNS_GENERAL_AGGREGATIONS", "sum(WeightedSize) * 8 / $__interval_s AS traffic"),
		lines("Queries with EDNS and DO", "Queries per second that have an EDNS record, and those that ask for DNSSEC (the DO bit).", "reqps", false).
			series("DNS_EDNS", "sum(WeightedEdnsCount) / $__interval_s AS EDNS", "sum(WeightedDoBitCount) / $__interval_s AS DO"),
		lines("Share of EDNS and DO", "The same, as shares of all queries.", "percentunit", false).
			series("DNS_EDNS", "sum(WeightedEdnsCount) / sum(w) AS EDNS", "sum(WeightedDoBitCount) / sum(w) AS DO"),
	}
}

func overviewMore() []panel {
	return []panel{
		row("More"),
		lines("Queries by class", "Queries per second by class. Everything but IN is rare.", "reqps", true).by("DNS_CLASS", named("dns_class", "Class", "CLASS")),
		lines("Queries by opcode", "Queries per second by opcode: QUERY, UPDATE, NOTIFY and others.", "reqps", true).by("DNS_OPCODE", named("dns_opcode", "OpCode", "OPCODE")),
		lines("Unique names over time", "Number of different names in queries, in each interval (an estimate).", "short", false).series("DNS_DOMAIN_UNIQUE", "uniqMerge(UniqueDnsCount) AS names"),
		pie("IPv4 sources", "The IPv4 addresses, or prefixes, that send most messages: queries and responses.", "short").top("DNS_SRCIP_MASK", address("SrcIP"), "source", "messages", "IPVersion = 4"),
		pie("IPv6 sources", "The IPv6 addresses, or prefixes, that send most messages: queries and responses.", "short").top("DNS_SRCIP_MASK", address("SrcIP"), "source", "messages", "IPVersion = 6"),
	}
}
