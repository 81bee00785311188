//go:build linux

package grafana

import (
	"strings"
	"testing"

	"dnsmonster-sensor/test/lab"
)

// finds: what is typed finds the messages it should, and is never more than a text.
func finds(t *testing.T, c *lab.ChDB) {
	d := read(t, "search.json")
	list, chart := panelOf(t, d, "Messages").Targets[0].RawSQL, panelOf(t, d, "Found messages").Targets[0].RawSQL
	// The seconds of the messages that are found.
	const all = "03:30 03:01 03:00 01:21 01:20 01:11 01:10"
	for _, s := range []struct{ variable, value, want string }{
		{"name", "", all},
		{"name", "www.example.org", "01:11 01:10"},
		{"name", "www.example.org.", "01:11 01:10"},
		{"name", "WWW.EXAMPLE.ORG", "01:11 01:10"},
		{"name", "example.org", "03:01 03:00 01:11 01:10"},
		{"name", "xample.org", ""},
		{"name", "*xample.org", "03:01 03:00 01:11 01:10"},
		{"name", "*example*", "03:01 03:00 01:21 01:20 01:11 01:10"},
		{"name", ".", "03:30"},
		{"name", "w_w.example.org", ""},
		{"name", "%", ""},
		{"name", `x\'y"%_<b>*.example.org`, "03:01 03:00"},
		{"name", `x\'y*`, "03:01 03:00"},
		{"name", `' OR '1' = '1`, ""},
		{"name", `\' OR 1=1 --`, ""},
		{"name", `${server}$__fromTime`, ""},
		{"name", `\`, ""},
		{"client", "192.0.2.1", "01:11 01:10"},
		{"client", "192.0.2.0/24", "01:21 01:20 01:11 01:10"},
		{"client", "192.0.2.53", ""},
		{"client", "2001:db8::1", "03:30 03:01 03:00"},
		{"client", "2001:DB8:0::/32", "03:30 03:01 03:00"},
		{"client", "0.0.0.0/0", "01:21 01:20 01:11 01:10"},
		{"answer", "192.0.2.80", "01:11"},
		{"answer", "192.0.2.8", ""},
		{"answer", "WEB.example.org", "01:11"},
		{"answer", "web.example.org.", "01:11"},
		{"answer", "example.org", ""},
		{"answer", "192.0.2.*", "01:11"},
		{"answer", "%", ""},
		{"answer", "' OR 1 --", ""},
		{"type", "aaaa", "01:21 01:20"},
		{"type", "28", "01:21 01:20"},
		{"type", "TYPE65280", "03:01 03:00"},
		{"type", "' OR 1", ""},
		{"rcode", "nxdomain", "01:21"},
		{"rcode", "2", "03:01"},
		{"rcode", "0", "01:11"},
		{"kind", "queries", "03:30 03:00 01:20 01:10"},
		{"kind", "responses", "03:01 01:21 01:11"},
		{"rows", "2", "03:30 03:01"},
	} {
		q := standard(c)
		q.variables[s.variable] = s.value
		if strings.Contains(s.value, "$") {
			q.variables["name"] = "x" + percentEncode(s.value) // as Grafana encodes it before the plugin looks for macros
		}
		var found []string
		for row := range strings.Lines(ask(t, c, q, list)) {
			found = append(found, row[len("12:"):len("12:03:30")])
		}
		if got := strings.Join(found, " "); got != s.want {
			t.Errorf("%s = %s: %s, want %s", s.variable, s.value, got, s.want)
		}
		if got := ask(t, c, q, chart); (got == "") != (s.want == "") {
			t.Errorf("%s = %s: the chart shows %q", s.variable, s.value, got)
		}
	}

	// A prefix that is none is an error, which the panel shows.
	q := standard(c)
	q.variables["client"] = "banana') OR 1 = 1 --"
	if rows, err := c.Try(q.expand(t, list)); err == nil {
		t.Errorf("a client that is no address: %q", rows)
	}
	for title, want := range map[string]string{
		"Found messages": "12:01:00|NOERROR|0.1667\n12:01:00|NXDOMAIN|0.01667\n12:01:00|queries|0.1833\n12:03:00|SERVFAIL|0.03333\n12:03:00|queries|0.06667",
		"Messages": `12:03:30.500000|` + hostileServer + `|query|2001:db8::1|40000|2001:db8::53|dot|.|NS||17||RD||
12:03:01.500000|` + hostileServer + `|response|2001:db8::1|40000|2001:db8::53|udp|` + hostileName + `|TYPE65280|SERVFAIL|40||RD||
12:03:00.500000|` + hostileServer + `|query|2001:db8::1|40000|2001:db8::53|udp|` + hostileName + `|TYPE65280||40||RD||
12:01:21.500000|ns1|response|192.0.2.2|40000|192.0.2.53|tcp|api.example.co.uk.|AAAA|NXDOMAIN|60||RD||
12:01:20.500000|ns1|query|192.0.2.2|40000|192.0.2.53|tcp|api.example.co.uk.|AAAA||60||RD||
12:01:11.500000|ns1|response|192.0.2.1|40000|192.0.2.53|udp|www.example.org.|A|NOERROR|150|CNAME web.example.org., A 192.0.2.80|RD DO||
12:01:10.500000|ns1|query|192.0.2.1|40000|192.0.2.53|udp|www.example.org.|A||50||RD DO||`,
	} {
		if got := ask(t, c, standard(c), panelOf(t, d, title).Targets[0].RawSQL); got != want {
			t.Errorf("%s:\n%s\nwant\n%s", title, got, want)
		}
	}
	for _, v := range d.Templating.List {
		if v.Name == "table" {
			if got := ask(t, c, standard(c), v.Query); got != "DNS_LOG" {
				t.Errorf("tables: %s", got)
			}
		}
	}
}
