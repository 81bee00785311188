//go:build linux

package grafana

import (
	"slices"
	"strings"
	"testing"
	"time"

	"dnsmonster-sensor/outputs/clickhouse/schema"
	"dnsmonster-sensor/test/lab"
)

// answer is what a panel shows, as fields with | between them.
type answer struct{ title, all, one string }

// answers are those for all servers, and for the second one alone. Ten minutes have 600 s,
// an interval 60.
var answers = []answer{
	{"Queries per second", "0.025", "0.006667"},
	{"Responses per second", "0.02167", "0.003333"},
	{"NXDOMAIN", "0.07692", "0"},
	{"SERVFAIL", "0.1538", "1"},
	{"Unique names", "4", "2"},
	{"Queries with EDNS", "0.7333", "0"},
	{"Messages by sensor", "12:01:00|ns1|0.3667\n12:03:00|" + hostileServer + "|0.1", "12:03:00|" + hostileServer + "|0.1"},
	{"Queries by type", "12:01:00|A|0.1667\n12:01:00|AAAA|0.01667\n12:03:00|NS|0.03333\n12:03:00|TYPE65280|0.03333", "12:03:00|NS|0.03333\n12:03:00|TYPE65280|0.03333"},
	{"Responses by response code", "12:01:00|NOERROR|0.1667\n12:01:00|NXDOMAIN|0.01667\n12:03:00|SERVFAIL|0.03333", "12:03:00|SERVFAIL|0.03333"},
	{"NXDOMAIN and SERVFAIL", "12:01:00|0.09091|0\n12:03:00|0|1", "12:03:00|0|1"},
	{"Messages by transport protocol", "12:01:00|tcp|0.03333\n12:01:00|udp|0.3333\n12:03:00|dot|0.03333\n12:03:00|udp|0.06667", "12:03:00|dot|0.03333\n12:03:00|udp|0.06667"},
	{"Messages by IP version", "12:01:00|IPv4|0.3667\n12:03:00|IPv6|0.1", "12:03:00|IPv6|0.1"},
	{"Top names over time", "12:01:00|api.example.co.uk|0.01667\n12:01:00|www.example.org|0.1667\n12:03:00|.|0.03333\n12:03:00|" + undotted + "|0.03333", "12:03:00|.|0.03333\n12:03:00|" + undotted + "|0.03333"},
	{"Top names", "www.example.org|10|0.6667\n.|2|0.1333\n" + undotted + "|2|0.1333\napi.example.co.uk|1|0.06667", ".|2|0.5\n" + undotted + "|2|0.5"},
	{"Top registered domains", "example.org|12|0.8\n.|2|0.1333\nexample.co.uk|1|0.06667", ".|2|0.5\nexample.org|2|0.5"},
	{"Top clients", "192.0.2.1|10|0.6667\n2001:db8::1|4|0.2667\n192.0.2.2|1|0.06667", "2001:db8::1|4|1"},
	{"Top DNS servers", "192.0.2.53|11|0.7333\n2001:db8::53|4|0.2667", "2001:db8::53|4|1"},
	{"Average message size", "12:01:00|96.36\n12:03:00|32.33", "12:03:00|32.33"},
	{"DNS traffic", "12:01:00|282.7\n12:03:00|25.87", "12:03:00|25.87"},
	{"Queries with EDNS and DO", "12:01:00|0.1833|0.1667\n12:03:00|0|0", "12:03:00|0|0"},
	{"Share of EDNS and DO", "12:01:00|1|0.9091\n12:03:00|0|0", "12:03:00|0|0"},
	{"Queries by class", "12:01:00|IN|0.1833\n12:03:00|CH|0.03333\n12:03:00|IN|0.03333", "12:03:00|CH|0.03333\n12:03:00|IN|0.03333"},
	{"Queries by opcode", "12:01:00|QUERY|0.1833\n12:03:00|NOTIFY|0.03333\n12:03:00|QUERY|0.03333", "12:03:00|NOTIFY|0.03333\n12:03:00|QUERY|0.03333"},
	{"Unique names over time", "12:01:00|2\n12:03:00|2", "12:03:00|2"},
	{"IPv4 sources", "192.0.2.53|11|0.5\n192.0.2.1|10|0.4545\n192.0.2.2|1|0.04545", ""},
	{"IPv6 sources", "2001:db8::1|4|0.6667\n2001:db8::53|2|0.3333", "2001:db8::1|4|0.6667\n2001:db8::53|2|0.3333"},
}

const undotted = `x\'y"%_<b>*.example.org`

// TestPanels runs all queries, over the same tables.
func TestPanels(t *testing.T) {
	c := tables(t, schema.Ours)
	for name, f := range map[string]func(*testing.T, *lab.ChDB){
		"overview": showsTheLog, "registered domains": registersDomains, "nothing yet": showsNothing, "search": finds,
	} {
		t.Run(name, func(t *testing.T) { f(t, c) })
	}
}

// showsTheLog: every panel shows what is in the log, weighed, in the chosen time, for all
// servers and for one whose name could end a literal.
func showsTheLog(t *testing.T, c *lab.ChDB) {
	all, one, both := standard(c), standard(c), standard(c)
	d := read(t, "overview.json")
	var servers []string
	for _, v := range d.Templating.List {
		switch v.Name {
		case "database":
			other := tables(t, schema.Dnsmonster) // these panels cannot read it
			if got := strings.Split(ask(t, c, all, v.Query), "\n"); !slices.Contains(got, c.Database) || slices.Contains(got, other.Database) {
				t.Errorf("databases: %q", got)
			}
		case "server":
			servers = strings.Split(ask(t, c, all, v.Query), "\n")
		}
	}
	if want := strings.ReplaceAll(hostileServer, `\`, `\\`); len(servers) != 2 || servers[0] != want || servers[1] != "ns1" {
		t.Fatalf("servers: %q", servers)
	}
	one.variables["server"], both.variables["server"] = servers[:1], servers
	seen := 0
	for _, p := range d.Panels {
		if p.Type == "row" {
			continue
		}
		if seen >= len(answers) || answers[seen].title != p.Title {
			t.Fatalf("no answer is known for %q", p.Title)
		}
		want := answers[seen]
		seen++
		for _, c2 := range []struct {
			q    query
			want string
		}{{all, want.all}, {one, want.one}, {both, want.all}} {
			if got := ask(t, c, c2.q, p.Targets[0].RawSQL); got != c2.want {
				t.Errorf("%s, servers %q:\n%s\nwant\n%s", p.Title, c2.q.variables["server"], got, c2.want)
			}
		}
	}
	if seen != len(answers) {
		t.Errorf("%d panels, %d answers", seen, len(answers))
	}

	// The most frequent ones only; the rest is one series.
	all.variables["top"] = "1"
	for title, want := range map[string]string{
		"Queries by type":        "12:01:00|(others)|0.01667\n12:01:00|A|0.1667\n12:03:00|(others)|0.06667",
		"Top names over time":    "12:01:00|(others)|0.01667\n12:01:00|www.example.org|0.1667\n12:03:00|(others)|0.06667",
		"Messages by sensor":     "12:01:00|ns1|0.3667\n12:03:00|(others)|0.1",
		"Top names":              "www.example.org|10|0.6667",
		"Top registered domains": "example.org|12|0.8",
	} {
		if got := ask(t, c, all, panelOf(t, d, title).Targets[0].RawSQL); got != want {
			t.Errorf("%s, top 1:\n%s\nwant\n%s", title, got, want)
		}
	}

	// The first interval is whole, although the chosen time begins within it.
	all = standard(c)
	all.from, all.to, all.interval = at("12:02:00"), at("12:04:59"), 5*time.Minute
	if got, want := ask(t, c, all, panelOf(t, d, "Messages by IP version").Targets[0].RawSQL), "12:00:00|IPv4|0.07333\n12:00:00|IPv6|0.02"; got != want {
		t.Errorf("from within an interval:\n%s\nwant\n%s", got, want)
	}
}

func panelOf(t *testing.T, d dashboard, title string) panel {
	t.Helper()
	for _, p := range d.Panels {
		if p.Title == title {
			return p
		}
	}
	t.Fatalf("no panel %q", title)
	return panel{}
}

// registersDomains: odd names are counted with the domain below which they are.
func registersDomains(t *testing.T, c *lab.ChDB) {
	q, want := standard(c), []string{}
	var rows []string
	for question, domain := range map[string]string{
		".": ".", "org.": "org", "example.org.": "example.org", "a.b.c.Example.org.": "Example.org",
		"_dmarc.example.net.": "example.net", `a\.example.org.`: `a\.example.org`, `x.\000\255 y.example.com.`: "example.com",
		"www.example.com.au.": "example.com.au", "host.corp.": "host.corp", "1.2.0.192.in-addr.arpa.": "192.in-addr.arpa",
		"x.xn--bcher-kva.example.": "xn--bcher-kva.example", "a:b@c/d?e.example.edu.": "example.edu",
	} {
		rows = append(rows, "('2026-11-20', toDateTime('2026-11-20 15:00:00', 'UTC'), 'ns1', "+literal(question)+", 1, 1)")
		want = append(want, domain+"|1|0.08333")
	}
	c.Exec(t, "INSERT INTO DNS_DOMAIN_COUNT (DnsDate, t, Server, Question, c, w) VALUES "+strings.Join(rows, ", "))
	q.from, q.to, q.variables["top"] = at("15:00:00"), at("15:00:00"), "50"
	got := strings.Split(ask(t, c, q, panelOf(t, read(t, "overview.json"), "Top registered domains").Targets[0].RawSQL), "\n")
	slices.Sort(want)
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("%q\nwant\n%q", got, want)
	}
}

// showsNothing: on the day of the installation every panel answers, without an error.
func showsNothing(t *testing.T, c *lab.ChDB) {
	q := standard(c)
	q.from, q.to = at("13:00:00"), at("14:00:00")
	for _, name := range []string{"overview.json", "search.json"} {
		for _, p := range read(t, name).Panels {
			if p.Type == "row" {
				continue
			}
			if got := ask(t, c, q, p.Targets[0].RawSQL); got != "" && got != "0" && got != `\N` {
				t.Errorf("%s: %s", p.Title, got)
			}
		}
	}
}
