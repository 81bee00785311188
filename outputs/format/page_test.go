package format

import (
	"bytes"
	"encoding/json"
	"net"
	"net/netip"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	mdns "github.com/miekg/dns"

	"dnsmonster-sensor/userspace/dns"
	"dnsmonster-sensor/userspace/dnstap"
	"dnsmonster-sensor/userspace/event"
	"dnsmonster-sensor/userspace/packet"
)

// docs/formats.md is compared with what the formats write for the response that the page
// shows. The query before it, and an odd message, have the fields that it lacks.

type pageEvents struct{ response, query, odd *event.Event }

func newPageEvents(t *testing.T) pageEvents {
	at := time.Date(2026, 11, 24, 10, 16, 40, 73579875, time.UTC).UnixNano()
	client, server := netip.MustParseAddrPort("192.0.2.2:48211"), netip.MustParseAddrPort("192.0.2.53:53")
	m := query("www.example.org.")
	m.Id = 24610
	m.SetEdns0(1232, true)
	asked := &event.Event{Time: at - 4e6, Src: client, Dst: server, Proto: event.UDP, Message: pack(t, m)}
	m.Response, m.RecursionAvailable, m.Compress = true, true, true
	m.Answer = []mdns.RR{&mdns.A{
		Hdr: mdns.RR_Header{Name: "www.example.org.", Rrtype: mdns.TypeA, Class: mdns.ClassINET, Ttl: 300}, A: net.IP{192, 0, 2, 80},
	}}
	response := &event.Event{Time: at, Src: server, Dst: client, Proto: event.UDP, Message: pack(t, m)}
	odd := &event.Event{
		Time: at, QueryTime: asked.Time, Src: netip.AddrPortFrom(netip.Addr{}, 853), Dst: netip.AddrPortFrom(netip.Addr{}, 48211), Proto: event.DoT,
		Identity: []byte("ns1.example.org"), Version: []byte("knot 3.2"), Message: response.Message[:len(response.Message)-9], CaptureCut: 9,
		Interface: 1, Direction: packet.DirectionOut, HasVLAN: true, VLAN: 7, Tunnel: packet.TunnelVXLAN, Sample: packet.Ratio{Keep: 1, Of: 10},
	}
	odd.Fields = framed(dnstap.Frame{
		Type: dnstap.ClientResponse, Response: odd.Message, Zone: []byte("\x07example\x03org\x00"), HTTP: 2, Extra: []byte("site-1"),
		Policy: (&dnstap.Policy{
			Type: []byte("RPZ"), Rule: []byte("\x03www\x07example\x03org\x03rpz\x07example\x03net\x00"), Action: 1, Match: dnstap.MatchQName,
			Value: []byte("\x03www\x07example\x03org\x00"),
		}).Append(nil),
	})
	for _, e := range []*event.Event{response, asked, odd} {
		dns.Read(e.Message, e.CaptureCut > 0, &e.DNS)
	}
	return pageEvents{response, asked, odd}
}

// framed are the fields of an event that came in a dnstap frame.
func framed(f dnstap.Frame) event.Fields {
	payload, from, to := f.Append(nil)
	return dnstap.AppendFields(nil, payload, from, to)
}

var pageOptions = Options{Server: "default"}

// page is a section of docs/formats.md, from its heading to the next of the same level.
type page string

func pageSection(t *testing.T, heading string) page {
	t.Helper()
	text, err := os.ReadFile("../../docs/formats.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, ok := strings.Cut("\n"+string(text), "\n"+heading+"\n")
	if !ok {
		t.Fatalf("docs/formats.md has no section %q", heading)
	}
	level, _, _ := strings.Cut(heading, " ")
	section, _, _ = strings.Cut(section, "\n"+level+" ")
	return page(section)
}

// fence returns the section's first fenced block of a language.
func (p page) fence(language string) string {
	_, block, _ := strings.Cut(string(p), "\n```"+language+"\n")
	block, _, _ = strings.Cut(block, "```")
	return block
}

// table returns the rows of the section's table whose first column is called first. Cells
// are without spaces around them.
func (p page) table(t *testing.T, first string) (rows [][]string) {
	t.Helper()
	_, body, _ := strings.Cut(string(p), "\n| "+first+" |")
	for i, line := range strings.Split(body, "\n") {
		if i < 2 { // the rest of the heading, and the line below it
			continue
		}
		if !strings.HasPrefix(line, "|") {
			break
		}
		cells := strings.Split(strings.ReplaceAll(strings.Trim(line, "|"), `\|`, "\x00"), "|")
		for i := range cells {
			cells[i] = strings.TrimSpace(strings.ReplaceAll(cells[i], "\x00", "|"))
		}
		rows = append(rows, cells)
	}
	if len(rows) == 0 {
		t.Errorf("there is no table with the first column %q", first)
	}
	return rows
}

var codeSpan = regexp.MustCompile("`([^`]*)`")

// code returns the texts between backticks.
func code(cell string) (spans []string) {
	for _, m := range codeSpan.FindAllStringSubmatch(cell, -1) {
		spans = append(spans, m[1])
	}
	return spans
}

// leaves calls f with the path and the text of each value of a JSON record that is neither an
// object nor a list of objects. Sections of DNS records are one value.
func leaves(t *testing.T, path string, value json.RawMessage, f func(path, value string)) {
	t.Helper()
	switch {
	case path == "DNS.Answer" || path == "DNS.Ns" || path == "DNS.Extra":
	case value[0] == '{':
		object := map[string]json.RawMessage{}
		if err := json.Unmarshal(value, &object); err != nil {
			t.Fatalf("%s: %v", value, err)
		}
		for key, v := range object {
			leaves(t, strings.TrimPrefix(path+"."+key, "."), v, f)
		}
		return
	case bytes.HasPrefix(value, []byte("[{")):
		var list []json.RawMessage
		if err := json.Unmarshal(value, &list); err != nil {
			t.Fatalf("%s: %v", value, err)
		}
		for _, v := range list {
			leaves(t, path+"[]", v, f)
		}
		return
	}
	f(path, string(value))
}

// TestPageFields: the page names the fields that JSON formats write, no others, and shows
// values that they have. Its records are those of the program.
func TestPageFields(t *testing.T) {
	events := newPageEvents(t)
	for _, name := range []string{"json", "json-flat", "json-ocsf"} {
		section, values := pageSection(t, "## "+name), map[string]string{}
		for _, e := range []*event.Event{events.response, events.query, events.odd} {
			leaves(t, "", []byte(written(t, name, pageOptions, e)), func(path, value string) {
				if values[path] == "" {
					values[path] = value
				}
			})
		}
		for _, row := range section.table(t, "field") {
			fields, examples := code(row[0]), code(row[3])
			if isSection := row[3] == "" && len(fields) == 1 && strings.HasPrefix(fields[0], "DNS."); len(examples) != len(fields) && !isSection {
				t.Errorf("%s: %s has %d examples", name, row[0], len(examples))
			}
			for i, field := range fields {
				value, ok := values[field]
				if !ok {
					t.Errorf("%s: no record has %s", name, field)
				}
				if i < len(examples) && examples[i] != value {
					t.Errorf("%s: the value of %s is %s, not %s", name, field, value, examples[i])
				}
				delete(values, field)
			}
		}
		for field := range values {
			t.Errorf("%s: the page does not name %s", name, field)
		}
		var shown bytes.Buffer
		if err := json.Compact(&shown, []byte(section.fence("json"))); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if want := written(t, name, pageOptions, events.response); shown.String()+"\n" != want {
			t.Errorf("%s: the page shows\n%s, want\n%s", name, shown.String(), want)
		}
	}
}

// TestPageAdditionalFields: so does the table of --jsonfields.
func TestPageAdditionalFields(t *testing.T) {
	all, err := ParseFields(strings.Join(FieldNames(), ","))
	if err != nil {
		t.Fatal(err)
	}
	o := Options{Fields: all, InterfaceName: func(uint32, int64) string { return "eth0" }}
	var words []string
	for _, row := range pageSection(t, "## json").table(t, "word") {
		words = append(words, code(row[0])...)
		example := code(row[5])[0]
		for name, key := range map[string]string{"json": code(row[1])[0], "json-flat": code(row[2])[0], "json-ocsf": code(row[2])[0]} {
			if name == "json-ocsf" {
				key = "unmapped." + key
			}
			record, got := written(t, name, o, newPageEvents(t).odd), ""
			leaves(t, "", []byte(record), func(path, value string) {
				if path == key {
					got = value
				}
			})
			if got != example {
				t.Errorf("%s: %s is %s, want %s, in %s", name, key, got, example, record)
			}
		}
	}
	if !slices.Equal(words, FieldNames()) {
		t.Errorf("the page has %v, the program %v", words, FieldNames())
	}
}

// TestPageRecordData: the page names the fields of record data and of EDNS options, in
// their order.
func TestPageRecordData(t *testing.T) {
	section := pageSection(t, "## json")
	known := map[string]uint16{}
	for _, rrtype := range dns.KnownTypes() {
		known[dns.TypeName(rrtype)] = rrtype
	}
	for _, row := range section.table(t, "type") {
		for rrtype := range strings.SplitSeq(row[0], ", ") {
			fields, _ := dns.FieldsOf(known[rrtype])
			var want []string
			for _, f := range fields {
				want = append(want, f.Name)
			}
			got := code(row[1])
			if got = got[:min(len(got), len(want))]; len(want) == 0 || !slices.Equal(got, want) {
				t.Errorf("%s has the fields %v, not %v", rrtype, want, got)
			}
		}
	}
	options := []mdns.EDNS0{
		&mdns.EDNS0_NSID{Code: 3, Nsid: "6e7331"}, &mdns.EDNS0_SUBNET{Code: 8, Family: 1, SourceNetmask: 24, Address: net.IP{192, 0, 2, 0}},
		&mdns.EDNS0_EXPIRE{Code: 9, Expire: 5}, &mdns.EDNS0_COOKIE{Code: 10, Cookie: "0102030405060708"}, &mdns.EDNS0_TCP_KEEPALIVE{Code: 11, Timeout: 5},
		&mdns.EDNS0_PADDING{Padding: []byte{0}}, &mdns.EDNS0_EDE{InfoCode: 18, ExtraText: "x"}, &mdns.EDNS0_LOCAL{Code: 65001, Data: []byte{1}},
	}
	rows := section.table(t, "option")
	if len(rows) != len(options) {
		t.Fatalf("the page has %d options, the test %d", len(rows), len(options))
	}
	keys := regexp.MustCompile(`[{,]"(\w+)":`)
	for i, row := range rows {
		m := query("www.example.org.")
		m.SetEdns0(1232, false)
		m.IsEdns0().Option = append(m.IsEdns0().Option, options[i])
		_, text, _ := strings.Cut(written(t, "json", Options{}, eventOf(pack(t, m), 0)), `"Option":[`)
		text, _, _ = strings.Cut(text, "]")
		var want []string
		for _, m := range keys.FindAllStringSubmatch(text, -1) {
			want = append(want, m[1])
		}
		if got := code(row[1]); !slices.Equal(got, want) {
			t.Errorf("option %s has the fields %v, not %v", row[0], want, got)
		}
	}
}

// TestPageCSV: the page has the columns of CSV and the row of its message.
func TestPageCSV(t *testing.T) {
	section := pageSection(t, "## csv")
	f, err := New("csv", pageOptions)
	if err != nil {
		t.Fatal(err)
	}
	row := written(t, "csv", pageOptions, newPageEvents(t).response)
	if got := section.fence("text"); got != f.Header+row {
		t.Errorf("the page shows\n%s, want\n%s", got, f.Header+row)
	}
	var names, values []string
	for _, row := range section.table(t, "field") {
		names, values = append(names, code(row[0])...), append(values, code(row[3])...)
	}
	if got := strings.Join(names, ",") + "\n"; got != f.Header {
		t.Errorf("the page's columns are %s, want %s", got, f.Header)
	}
	if got := strings.Join(values, ",") + "\n"; got != row {
		t.Errorf("the page's values are %s, want %s", got, row)
	}
}

// TestPageTemplate: the page has the fields of a template's record, and shows what templates
// write.
func TestPageTemplate(t *testing.T) {
	section, events := pageSection(t, "## gotemplate"), newPageEvents(t)
	f := func(template, want string) {
		t.Helper()
		e := events.response
		if template == "{{.Identity}}" || template == "{{.Version}}" {
			e = events.odd
		}
		if got := written(t, "gotemplate", Options{Template: template}, e); got != want+"\n" {
			t.Errorf("%s writes %q, not %q", template, got, want)
		}
	}
	var names []string
	for _, row := range section.table(t, "field") {
		name := code(row[0])[0]
		names = append(names, strings.TrimPrefix(name, "."))
		if name != ".DNS" {
			f("{{"+name+"}}", code(row[3])[0])
		}
	}
	var want []string
	for _, f := range reflect.VisibleFields(reflect.TypeFor[TemplateRecord]()) {
		want = append(want, f.Name)
	}
	if !slices.Equal(names, want) {
		t.Errorf("the page has the fields %v, the record %v", names, want)
	}
	for _, row := range section.table(t, "template") {
		f(code(row[0])[0], code(row[1])[0])
	}
}

// TestPageFaults: the page names all faults of messages.
func TestPageFaults(t *testing.T) {
	var got, want []string
	for _, row := range pageSection(t, "### Malformed messages").table(t, "fault") {
		got = append(got, code(row[0])...)
	}
	for fault := dns.FaultNone + 1; fault.String() != "unknown"; fault++ {
		want = append(want, fault.String())
	}
	if !slices.Equal(got, want) {
		t.Errorf("the page has %q, want %q", got, want)
	}
}

// TestPageText: the page shows lines as they are, and parts that lines have.
func TestPageText(t *testing.T) {
	section, events := pageSection(t, "## text"), newPageEvents(t)
	lines := written(t, "text", pageOptions, events.query) + written(t, "text", pageOptions, events.response)
	if got := section.fence("text"); got != lines {
		t.Errorf("the page shows\n%s, want\n%s", got, lines)
	}
	for _, e := range []*event.Event{events.response, events.odd} {
		lines += written(t, "text", Options{Verbose: true}, e)
	}
	lines += written(t, "text", pageOptions, events.odd)
	for _, row := range section.table(t, "part") {
		for _, example := range code(row[2]) {
			if !strings.Contains(lines, " "+example) && !strings.Contains(lines, example+" ") {
				t.Errorf("%s: no line has %q", row[0], example)
			}
		}
	}
}

// TestPageFormats: the page names all formats.
func TestPageFormats(t *testing.T) {
	var got []string
	for _, row := range pageSection(t, "# Record formats").table(t, "format") {
		got = append(got, code(row[0])...)
	}
	want := Names()
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("the page has the formats %v, the program %v", got, want)
	}
}
