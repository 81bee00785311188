package config

import (
	"fmt"
	"io"
	"slices"
	"strings"
)

// change is something that dnsmonster 1.2.5 does differently under the same options.
type change struct {
	what    string // the options or the subject
	here    string
	there   string
	old     string // how to get the old behaviour; "": not possible
	applies condition
}

// Changes lists the differences from dnsmonster that concern these values, one sentence
// each.
func Changes(v *Values) []string {
	var list []string
	for _, c := range changes() {
		if c.applies(v) {
			text := c.what + ": " + c.here + "; dnsmonster " + c.there
			if c.old != "" {
				text += " (as before: " + c.old + ")"
			}
			list = append(list, text)
		}
	}
	return list
}

// ChangesTable writes all differences for MIGRATING.md.
func ChangesTable(w io.Writer) {
	fmt.Fprintln(w, "| | here | dnsmonster | the old behaviour |\n|---|---|---|---|")
	for _, c := range changes() {
		words := strings.Fields(c.old)
		for i, word := range words {
			if strings.HasPrefix(word, "--") {
				words[i] = "`" + word + "`"
			}
		}
		fmt.Fprintf(w, "| %s | %s | %s | %s |\n", c.what, c.here, c.there, strings.Join(words, " "))
	}
}

// changes returns all differences, in the order of the pipeline: from the input to the
// metrics.
func changes() []change {
	return slices.Concat(inputChanges, recordChanges, outputChanges, metricChanges)
}

var inputChanges = []change{
	{"filter", "applies to files too; its default, however it is spaced, means no filter", "applied it only to interfaces", "",
		func(v *Values) bool { return v.Get("filter") != nil && !IsDefaultFilter(v.String("filter")) }},
	{"sampleratio", "keeps exactly a of every b DNS packets; TCP segments and IP fragments are kept or left out by their pair of addresses, so that no message is torn",
		"kept a+1 of b, and tore streams", "", isNot("sampleratio", "1:1")},
	{"noetherframe", "applies to files of link type Ethernet; files of other link types need no option", "needed it for all files without Ethernet headers", "", is("noetherframe", "true")},
	{"dedup", "compares addresses, ports, IP id and payload within dedupwindow, so that copies from two ports match and repeated queries do not",
		"compared whole frames, and forgot all of them at each dedupcleanupinterval", "--dedupwindow=1m is similar", is("dedup", "true")},
	{"gctime", "scales three timeouts: 3 times gctime for fragments, 6 times for idle TCP streams, half for a gap in a stream", "dropped fragments and streams at this age",
		"--gctime=3s gives fragments 9s", set("gctime")},
	{"dnstapsocket", "responses are recorded as responses, with the addresses in their direction; masks apply", "wrote responses that carry the query as queries, and did not mask", "",
		isNot("dnstapsocket", "")},
	{"masksize4, masksize6", "apply inside messages, too (EDNS client subnet)", "masked only the addresses of packets", "--maskecs=false",
		all(set("masksize4", "masksize6"), is("maskecs", "true"))},
}

var recordChanges = []change{
	{"malformed messages", "are recorded, and so are messages without a question and those with only a readable header; those with bytes after the last record are marked Malformed, too", "lost them, except those with bytes after the last record", "--malformed=drop",
		all(readsPackets, is("malformed", "record"))},
	{"TCP", "records have ports, and the time of the segment that completed the message", "left the ports out and took the time of the stream's first segment", "", readsPackets},
	{"tunnels", "one packet gives one record, with the inner addresses; GRE, MPLS, PPPoE, ERSPAN, L2TP and other carriers are read, and Linux cooked captures", "gave several records for a VXLAN packet, and none for others", "", readsPackets},
	{"timestamps", "are in UTC", "wrote local time for interfaces", "--timezone=local", all(isNot("devname", ""), is("timezone", "UTC"))},
	{"JSON", `bytes that are not UTF-8 become \ufffd, all control characters are escaped; lines of several workers never mix`, "wrote JSON that is not valid, and DEL and U+0080 to U+009F raw", "", writesFormat("json", "elastic", "splunk", "syslog", "zinc")},
	{"CSV", "fields are quoted where they need it (RFC 4180)", "never quoted", "", writesFormat("csv csv_no_header")},
	{"gotemplate", `control characters in data become \DDD, and so do the line ends with which an OPT record was printed; a record on which the template fails is not written, counts as refused, and makes the exit status 3`,
		"wrote them raw, and of such a record what came before the failure", "", writesFormat("gotemplate")},
	{"rows", "a message with several questions has a row for each, one without a question has a row without a name", "skipped such messages in some outputs", "",
		either(writesFormat("csv csv_no_header"), on("clickhouse"), on("psql"), on("influx"), on("parquet"))},
	{"OCSF", "activities and type ids are valid, times are in milliseconds", "wrote a type id that is not valid, and seconds", "", writesFormat("json-ocsf", "victoria")},
	{"skipdomainsfile, allowdomainsfile", "a suffix matches whole labels (google.com. does not match notgoogle.com.); the final dot is optional, comments and white space are ignored; a list that cannot be read is an error at the start, and later the old one stays",
		"matched any end of a name, and took an error page for a list", "--domainmatch=legacy reads entries as dnsmonster did", set("skipdomainsfile", "allowdomainsfile")},
	{"output types 2, 3 and 4", "need the lists that they use", "started without them", "", hasType("2", "3", "4")},
}

var outputChanges = []change{
	{"clickhousedelay", "with 0, a batch that is not full is sent after 1s", "waited for ever", "", all(on("clickhouse"), is("clickhousedelay", "0s"))},
	{"psqlbatchdelay", "with 0, a batch that is not full is sent after 1s", "waited for ever", "", all(on("psql"), is("psqlbatchdelay", "0s"))},
	{"psqlbatchsize", "with 1, the default, a transaction has all records that arrived while the server was busy; larger sizes are exact", "sent one record at a time", "", all(on("psql"), is("psqlbatchsize", "1"), is("psqlbatchdelay", "0s"))},
	{"sentinelbatchdelay", "with 0, a batch that is not full is sent after 1s", "waited for ever", "", all(on("sentinel"), is("sentinelbatchdelay", "0s"))},
	{"victoriabatchdelay", "with 0, a batch that is not full is sent after 1s", "waited for ever", "", all(on("victoria"), is("victoriabatchdelay", "0s"))},
	{"packetlimit", "limits the records that each output keeps in memory", "obeyed it only in some outputs", "", isNot("packetlimit", "0")},
	{"skiptlsverification", "applies to every TLS connection, with a warning", "ignored it in some outputs", "", is("skiptlsverification", "true")},
	{"ClickHouse tables", "inserts name their columns, and omit those that a table lacks", "inserted by position", "", on("clickhouse")},
	{"Elastic", "records go by _bulk without types, and only what failed is sent again", "sent each record alone", "", on("elastic")},
	{"fileoutputpath", "names of rotated files have no ':' and are in UTC; the folder must exist, no other sensor may write to it, and no other user may change it; links in it are not followed", "wrote times with colons, and through links of other users", "--force accepts a folder that others can change", on("file")},
	{"CSV files", "each starts with the header", "wrote it once", "--fileoutputformat=csv_no_header omits it", all(on("file"), is("fileoutputformat", "csv"))},
	{"Influx", "points of the same nanosecond do not overwrite each other", "kept the last one", "", on("influx")},
	{"NATS", "dns_wire has the message's own bytes", "packed the message anew", "", on("nats")},
	{"parquetoutputpath", "a folder gets rotated files; a path that ends in .parquet is a single file, which is never appended to", "appended to one file, which made it unreadable", "", on("parquet")},
	{"PostgreSQL tables", "those that the sensor creates are wide enough for every value; in others, a value that does not fit is clamped and counted", "failed to insert such rows", "", on("psql")},
	{"PostgreSQL batches", "each is one transaction with a key in a second table (dns_log_blocks), which the sensor or `dnsmonster-sensor postgres init` creates", "could write a batch twice", "", on("psql")},
	{"sentineloutputsharedkey, sentineloutputcustomerid", "are an error that says what to use instead", "used an interface that Microsoft switched off on 2026-09-14", "",
		set("sentineloutputsharedkey", "sentineloutputcustomerid")},
	{"Splunk", "time has nine decimals", "omitted trailing zeros", "", on("splunk")},
}

var metricChanges = []change{
	{"[metric]", "is read", "ignored this section of a file", "omit the section", setInFile("metric")},
	{"metric names", "dnsmonster_sensor_... with labels, by Prometheus's conventions; NaN does not occur", "had names without units, all of them gauges", "--metriclegacynames",
		all(is("metriclegacynames", "false"), either(set("metricprometheusendpoint", "metricstatsdagent"), set("metricendpointtype")))},
	{"metric endpoints", "unless metricendpointtype is set, those that are set are used beside stderr", "used the one that metricendpointtype names", "set metricendpointtype",
		func(v *Values) bool {
			return set("metricprometheusendpoint", "metricstatsdagent")(v) && !set("metricendpointtype")(v)
		}},
}
