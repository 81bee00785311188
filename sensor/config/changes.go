package config

import (
	"bufio"
	"fmt"
	"io"
	"slices"
	"strings"
)

// change is something that dnsmonster 1.2.5 does differently under the same options.
type change struct {
	what    string // the options or the subject
	here    string // a sentence
	there   string // what dnsmonster did: a sentence without its subject
	old     string // the option that brings the old behaviour back, or a sentence; "": nothing does
	applies condition
}

// Changes lists the differences from dnsmonster that concern these values, one sentence
// each.
func Changes(v *Values) []string {
	var list []string
	for _, c := range changes() {
		if c.applies(v) {
			text := c.what + ": here " + c.here + "; dnsmonster " + c.there
			if c.old != "" {
				text += "; " + c.old
			}
			if strings.HasPrefix(c.old, "--") && !strings.Contains(c.old, " ") {
				text += " brings the old behaviour back"
			}
			list = append(list, text)
		}
	}
	return list
}

// WriteChanges writes the differences in lines that fit a terminal, after a blank line if
// there are any.
func WriteChanges(w io.Writer, v *Values) error {
	b := bufio.NewWriter(w)
	for i, text := range Changes(v) {
		if i == 0 {
			b.WriteByte('\n')
		}
		wrap(b, "differs: "+text, 0, 2)
	}
	return b.Flush()
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
	{"filter", "it applies to files too, and its default means no filter", "applied it only to interfaces", "",
		func(v *Values) bool { return v.hasBuilt("filter") && !IsDefaultFilter(v.String("filter")) }},
	{"sampleratio", "a:b keeps exactly a of every b packets, and whole TCP streams and fragmented messages", "kept a+1 of b, and cut streams apart", "", isNot("sampleratio", "1:1")},
	{"noetherframe", "it is needed only for files of link type Ethernet whose packets have no Ethernet header", "needed it for every file without Ethernet headers", "", is("noetherframe", "true")},
	{"dedup", "a duplicate has the same addresses, ports, IP id and payload, and comes within dedupwindow", "compared whole frames, and forgot all of them at each dedupcleanupinterval",
		"--dedupwindow=1m comes close to the old behaviour", is("dedup", "true")},
	{"gctime", "fragments are kept for 3 times gctime, idle TCP streams for 6 times gctime, and a gap in a stream for half of it", "dropped all of them at this age",
		"--gctime=3s keeps fragments for 9s", changedAny("gctime")},
	{"dnstapsocket", "responses are recorded as responses, addresses are in their direction, and masks apply", "recorded responses that carry the query as queries, and did not mask", "",
		isNot("dnstapsocket", "")},
	{"masksize4, masksize6", "they also apply to EDNS client subnets inside messages", "masked only the addresses of packets", "--maskecs=false",
		all(changedAny("masksize4", "masksize6"), is("maskecs", "true"))},
	{"sizes of queues and numbers of handlers", "they have no effect, and workers sets the number of workers", "used them", "", changedWithoutEffect},
}

var recordChanges = []change{
	{"malformed messages", "they are recorded, as are messages without a question, and Malformed names the fault", "recorded none of them, except messages with bytes after the last record", "--malformed=drop",
		all(readsPackets, is("malformed", "record"))},
	{"TCP", "records have ports, and the time of the segment that completed the message", "left out the ports, and took the time of the stream's first segment", "", readsPackets},
	{"tunnels", "DNS inside tunnels is recorded from an interface only with decap", "wrote several records for a VXLAN packet, and none for other tunnels",
		"--decap=vxlan gives one record for each, with the inner addresses", all(isNot("devname", ""), is("decap", ""))},
	{"tunnels", "a packet in a tunnel gives one record with the inner addresses, also for GRE, MPLS, PPPoE, L2TP and others", "wrote several records for a VXLAN packet, and none for other tunnels", "",
		all(readsPackets, either(is("devname", ""), isNot("decap", "")))},
	{"timestamps", "they are in UTC", "wrote local time for interfaces", "--timezone=local", all(isNot("devname", ""), is("timezone", "UTC"))},
	{"JSON", `every line is valid: bytes that are not UTF-8 become \ufffd, control characters are escaped, and lines never mix`, "wrote such bytes unchanged, so that some lines were not valid", "", writesFormat("json", "elastic", "splunk", "syslog", "zinc")},
	{"CSV", "fields are quoted where RFC 4180 requires it", "never quoted a field", "", writesFormat("csv csv_no_header")},
	{"gotemplate", `control characters in data are written as \DDD, and a record for which the template fails is not written, is counted as refused, and makes the exit status 3`,
		"wrote control characters unchanged, and the beginning of a record for which the template failed", "", writesFormat("gotemplate")},
	{"rows", "a message with several questions gives a row for each, and a message without a question gives a row without a name", "skipped such messages in some outputs", "",
		either(writesFormat("csv csv_no_header"), on("clickhouse"), on("psql"), on("influx"), on("parquet"))},
	{"OCSF", "activities and type ids are valid, and times are in milliseconds", "wrote an invalid type id, and times in seconds", "", writesFormat("json-ocsf", "victoria")},
	{"skipdomainsfile, allowdomainsfile", "a suffix matches whole labels (google.com does not match notgoogle.com), and a list that cannot be read is an error at the start",
		"matched any end of a name, and could take an error page for a list", "--domainmatch=legacy brings the old matching back", changedAny("skipdomainsfile", "allowdomainsfile")},
	{"output types 2, 3 and 4", "the lists that they use must be set", "started without them", "", hasType("2", "3", "4")},
}

const (
	sentAfterASecond = "0 means that a batch which is not full is sent after 1s"
	waitedForever    = "waited until it was full, however long that took"
)

var outputChanges = []change{
	{"clickhousedelay", sentAfterASecond, waitedForever, "", all(on("clickhouse"), is("clickhousedelay", "0s"))},
	{"psqlbatchdelay", sentAfterASecond, waitedForever, "", all(on("psql"), is("psqlbatchdelay", "0s"))},
	{"psqlbatchsize", "with 1, a transaction has all records that have arrived while the server was busy", "sent one record at a time", "", all(on("psql"), is("psqlbatchsize", "1"), is("psqlbatchdelay", "0s"))},
	{"sentinelbatchdelay", sentAfterASecond, waitedForever, "", all(on("sentinel"), is("sentinelbatchdelay", "0s"))},
	{"victoriabatchdelay", sentAfterASecond, waitedForever, "", all(on("victoria"), is("victoriabatchdelay", "0s"))},
	{"packetlimit", "it limits the records that wait in memory for each output", "applied it only in some outputs", "", isNot("packetlimit", "0")},
	{"skiptlsverification", "it applies to every TLS connection, and a warning is logged", "ignored it in some outputs", "", is("skiptlsverification", "true")},
	{"ClickHouse tables", "inserts name their columns, and leave out columns that a table does not have", "inserted by position", "", on("clickhouse")},
	{"Elastic", "records are sent by _bulk without types, and only those that failed are sent again", "sent each record alone", "", on("elastic")},
	{"fileoutputpath", "rotated files are named by UTC time without colons, the folder must exist, and no other sensor or user may write to it", "wrote times with colons, and followed links of other users",
		"--force accepts a folder that others can change", on("file")},
	{"CSV files", "each file starts with the header", "wrote it only once", "--fileoutputformat=csv_no_header leaves it out", all(on("file"), is("fileoutputformat", "csv"))},
	{"Influx", "points of the same nanosecond are all kept", "kept only the last one", "", on("influx")},
	{"NATS", "dns_wire has the bytes of the message as it was captured", "packed the message again", "", on("nats")},
	{"parquetoutputpath", "a folder gets rotated files, and a path that ends in .parquet is one file to which nothing is appended", "appended to one file, which made it unreadable", "", on("parquet")},
	{"PostgreSQL tables", "new tables have columns that are wide enough for every value, and in other tables, a value that does not fit is clamped and counted", "failed to insert such rows", "", on("psql")},
	{"PostgreSQL batches", "each batch is a transaction with a key in a second table, dns_log_blocks, which the sensor or `dnsmonster-sensor postgres init` creates", "could store a batch twice", "", on("psql")},
	{"sentineloutputsharedkey, sentineloutputcustomerid", "they are an error that says what to use instead", "used an interface that Microsoft switched off on 2026-09-14", "",
		changedAny("sentineloutputsharedkey", "sentineloutputcustomerid")},
	{"Splunk", "the time has nine decimals", "left out trailing zeros", "", on("splunk")},
}

var metricChanges = []change{
	{"[metric]", "this section of a file is read", "ignored it", "without the section, everything is as before", changedInFile("metric")},
	{"metric names", "they are dnsmonster_sensor_..., with units and labels", "had names without units, all of them gauges", "--metriclegacynames",
		all(is("metriclegacynames", "false"), either(changedAny("metricprometheusendpoint", "metricstatsdagent"), givenAny("metricendpointtype")))},
	{"metric endpoints", "metrics go to each endpoint whose address is set, and to stderr", "used only the one that metricendpointtype names", "metricendpointtype=prometheus or statsd selects one",
		func(v *Values) bool {
			return changedAny("metricprometheusendpoint", "metricstatsdagent")(v) && isUnset("metricendpointtype")(v)
		}},
}
