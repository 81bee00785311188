package format

import (
	"math/rand/v2"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	mdns "github.com/miekg/dns"

	"dnsmonster-sensor/userspace/dnstap"
	"dnsmonster-sensor/userspace/event"
)

// rendered is the record of e with that template, "" if it is refused.
func rendered(t testing.TB, template string, e *event.Event) string {
	t.Helper()
	f, err := New("gotemplate", Options{Template: template})
	if err != nil {
		t.Fatalf("%s: %v", template, err)
	}
	return string(f.NewEncoder().Append(nil, e))
}

// forging is a response in which every free text is text.
func forging(t testing.TB, text string) *event.Event {
	m := query("example.org.")
	h := func(rrtype uint16) mdns.RR_Header {
		return mdns.RR_Header{Name: "example.org.", Rrtype: rrtype, Class: 1, Ttl: 60}
	}
	m.Response = true
	m.Answer = []mdns.RR{
		&mdns.NULL{Hdr: h(mdns.TypeNULL), Data: text}, &mdns.CAA{Hdr: h(mdns.TypeCAA), Tag: "issue", Value: text},
		&mdns.URI{Hdr: h(mdns.TypeURI), Target: text}, &mdns.TXT{Hdr: h(mdns.TypeTXT), Txt: []string{"plain"}},
	}
	id := make([]byte, 0, 2*len(text))
	m.Extra = []mdns.RR{&mdns.OPT{Hdr: mdns.RR_Header{Name: ".", Rrtype: mdns.TypeOPT}, Option: []mdns.EDNS0{
		&mdns.EDNS0_NSID{Code: mdns.EDNS0NSID, Nsid: string(appendHex(id, []byte(text)))}, &mdns.EDNS0_EDE{ExtraText: text},
		&mdns.EDNS0_ESU{Code: mdns.EDNS0ESU, Uri: text}, &mdns.EDNS0_LOCAL{Code: 65001, Data: []byte(text)},
	}}}
	e := eventOf(pack(t, m), 0)
	e.Identity, e.Version = []byte(text), []byte(text)
	return e
}

// wantCleanLine checks that a record is one line of UTF-8 with no control characters except
// tabs.
func wantCleanLine(t *testing.T, what, record string) {
	t.Helper()
	line, ok := strings.CutSuffix(record, "\n")
	if !ok || !utf8.ValidString(line) {
		t.Errorf("%s: not a line of UTF-8: %q", what, record)
	}
	if i := strings.IndexFunc(line, func(r rune) bool { return r < ' ' && r != '\t' || r >= 0x7f && r <= 0x9f }); i >= 0 {
		t.Errorf("%s: control character at %d: %q", what, i, record)
	}
}

// TestTemplatesBareArguments: types and widths are those of the record's own values;
// everything else is escaped.
func TestTemplatesBareArguments(t *testing.T) {
	e := forging(t, "\x1b[2J")
	for template, want := range map[string]string{
		"{{range .DNS.Answer}}{{printf `%T ` .}}{{end}}":                                          "*dns.NULL *dns.CAA *dns.URI *dns.TXT ",
		"{{range .DNS.Answer}}{{if eq (printf `%T` .) `*dns.TXT`}}{{index .Txt 0}}{{end}}{{end}}": "plain",
		"{{.SrcPort | printf `%-8T|%%|%8T` .Identity}}":                                           "string  |%|  uint16",
		"{{printf `%*d %s %T` .IPVersion 1 .Identity .Identity}}":                                 `   1 \027[2J string`,
		"{{printf `%.*s %T` .IPVersion .Identity .Identity}}":                                     `\027[2J string`,
		"{{printf `%[1]T %[1]s` .Identity}}":                                                      `format.datum \027[2J`,
		"{{printf `%*T` .Identity .Identity}}":                                                    `%!(BADWIDTH)string`,
		"{{printf `%5*T` .Identity .Identity}}":                                                   `%!*(string= \027[2J)T%!(EXTRA format.datum=\027[2J)`,
		"{{printf `%T` .Protocol .Identity}}":                                                     `string%!(EXTRA format.datum=\027[2J)`,
		"{{print `%T` .Identity}}{{println `%T` .Identity}}":                                      "%T\\027[2J%T \\027[2J\n",
	} {
		if got := rendered(t, template, e); got != want+"\n" {
			t.Errorf("%s: %q, want %q", template, got, want)
		}
	}
}

// TestTemplatesForge: data from the wire cannot begin a line or move a cursor, in any
// format, however a template reads a field.
func TestTemplatesForge(t *testing.T) {
	const text = "x\n2026-01-01 FORGED\r\x1b[31m\x00\x7f\u0085\x85\xff\t\u00e9"
	e := forging(t, text)
	e.DNS.ID = '\n'
	for _, template := range []string{
		"", "{{.}}", "{{.DNS}}", "{{.Identity}}", "{{.DNS.Answer}}", "{{range .DNS.Answer}}{{.}} {{end}}", "{{(index .DNS.Answer 0).Data}}",
		`{{printf "%s|%v|%10s" .Identity .DNS .Version}}`, `{{printf "%c" .DNS.Id}}`, `{{printf "%s" .DNS}}`, "{{print .Identity .Version}}",
		"{{html .Identity}}", "{{js .Version}}", "{{urlquery .Version}}", "{{.Identity | printf `%s`}}", "{{.Identity | html | printf `%v`}}",
		"{{with .DNS}}{{.Answer}}{{end}}", "{{$x := .Identity}}{{$x}}", "{{$x := `a`}}{{$x = .Identity}}{{$x}}", "{{$x := `a`}}{{$y := $x}}{{$x = .Identity}}{{$y}}{{$x}}",
		"{{define `r`}}{{.Data}}{{end}}{{template `r` index .DNS.Answer 0}}", "{{slice .Identity 0 9}}", "{{index .Identity 1 | printf `%c`}}",
		"{{range (index .DNS.Extra 0).Option}}{{.}} {{printf `%s` .}} {{end}}", "{{printf `%s` (index (index .DNS.Extra 0).Option 3).Data}}",
		"{{printf .Identity}}", "{{.Identity | printf}}", "{{or .Identity `x`}}", "{{(printf `%s` .Identity)}}", "{{printf `%s` (print .Identity)}}",
		"{{len .Identity | printf `%c`}}", "{{printf `%s` (slice .Identity 1 3)}}", "{{block `b` .}}{{.Version}}{{end}}", "{{if $x := .Identity}}{{$x}}{{end}}",
		"{{printf `%w %p %5*s` .Identity .Identity .Identity}}", "{{.Identity | printf `%p %w` .DNS.Answer}}", "{{$f := `%w`}}{{printf $f .Identity}}",
		"{{.Timestamp | printf `%c`}}", "{{.Timestamp.Second | printf `%c`}}", "{{$.Timestamp.UTC | printf `%c`}}",
		"{{range $i, $o := (index .DNS.Extra 0).Option}}{{$o}}{{end}}", "{{printf `%q` .Identity}}{{printf `%x` .Identity}}",
	} {
		record := rendered(t, template, e)
		wantCleanLine(t, template, record)
		if len(record) < 2 || strings.Contains(strings.TrimSuffix(record, "\n"), "\t") {
			t.Errorf("%s: an empty record, or a raw tab: %q", template, record)
		}
	}
	e.Fields = framed(dnstap.Frame{
		Type: dnstap.ClientQuery, Zone: []byte(text), Extra: []byte(text), Query: e.Message,
		Policy: (&dnstap.Policy{Type: []byte(text), Rule: []byte(text), Value: []byte(text)}).Append(nil),
	})
	for _, name := range []string{"json", "json-flat", "json-ocsf", "csv_no_header", "text"} {
		f, err := New(name, Options{Fields: 0xff, InterfaceName: func(uint32, int64) string { return text }})
		if err != nil {
			t.Fatal(err)
		}
		record := string(f.NewEncoder().Append(nil, e))
		wantCleanLine(t, name, record)
		if strings.Contains(record, "\t") {
			t.Errorf("%s: a raw tab: %q", name, record)
		}
	}
}

// TestTemplatesOwnText: text of the template itself stays as it is.
func TestTemplatesOwnText(t *testing.T) {
	e := forging(t, "a\tb")
	f := func(template, want string) {
		t.Helper()
		if got := rendered(t, template, e); got != want+"\n" {
			t.Errorf("%q: %q, want %q", template, got, want)
		}
	}
	f("\x1b[1m{{.Identity}}\x1b[0m\n--", "\x1b[1ma\\009b\x1b[0m\n--")
	f("{{.SrcPort}}{{\"\t\"}}{{.DstPort}}", "5353\t53")
	f(`{{printf "%s\t%d\n" .Identity .SrcPort}}`, "a\\009b\t5353\n")
	f(`{{.Identity | printf "%s\t%s" .Version}}`, "a\\009b\ta\\009b")
	f(`{{$s := "\t"}}{{.SrcPort}}{{$s}}{{.Identity}}`, "5353\ta\\009b")
	f(`{{$f := "%s\t"}}{{printf $f .Identity}}`, "a\\009b\t")
	f(`{{$l := printf "%s\t" .Identity}}{{$l}}|`, "a\\009b\t|")
	f(`{{printf "%s\n" (printf "\t%s" .Identity)}}`, "\ta\\009b\n")
	f(`{{println .SrcPort .Identity}}`, "5353 a\\009b\n")
	f(`{{print .Identity .Version .SrcPort .DstPort}}`, "a\\009ba\\009b5353 53")
	f(`{{.Timestamp.Format "2006\t01"}} {{$.Timestamp.Format "2006\t01"}}`, "2023\t11 2023\t11")
	f(`{{printf "%5d|%-6s|%x|%t" .SrcPort .Protocol .Protocol true}}`, " 5353|udp   |756470|true")
	f("{{range .DNS.Question}}{{.}}{{end}}", `;example.org.\009IN\009 A`) // some tab comes from data: all are escaped
	e.Identity, e.Version = []byte("é"), nil
	f("{{.Identity}}", "é")
	e = eventOf(pack(t, answers(1)), 0)
	f("{{range .DNS.Question}}{{.}}{{end}} {{range .DNS.Answer}}{{.}}{{end}}", ";example.org.\tIN\t A example.org.\t60\tIN\tA\t192.0.2.80")
}

// TestTemplatesForgeAnyRecord: data of each type, full of control characters.
func TestTemplatesForgeAnyRecord(t *testing.T) {
	r := rand.New(rand.NewPCG(21, 22))
	f, err := New("gotemplate", Options{})
	if err != nil {
		t.Fatal(err)
	}
	enc := f.NewEncoder()
	for rrtype := range mdns.TypeToRR {
		for range 60 {
			data := randomData(r)
			for i := range data {
				if r.IntN(3) == 0 {
					data[i] = "\n\r\x1b\x7f\x85\t"[r.IntN(6)]
				}
			}
			wantCleanLine(t, mdns.TypeToString[rrtype], string(enc.Append(nil, eventOf(message(rrtype, data), 0))))
		}
	}
}

// TestTemplateFails: a record on which the template fails is not written, and
// AppendBlock returns how many failed and why.
func TestTemplateFails(t *testing.T) {
	f := func(template, why string) {
		t.Helper()
		format, err := New("gotemplate", Options{Template: template})
		if err != nil {
			t.Fatal(err)
		}
		b := event.NewBlock(1 << 10)
		b.Append(eventOf(pack(t, query("example.org.")), 0))
		b.Append(eventOf(pack(t, answers(1)), 0))
		b.Append(eventOf(pack(t, query("example.org.")), 0))
		b.Seal(event.NewIDs().Next(), time.Unix(0, 0))
		text, refused := AppendBlock([]byte("before\n"), format.NewEncoder(), b)
		if string(text) != "before\nname example.org.\n" || refused.Events != 2 || refused.Why == nil || !strings.Contains(refused.Why.Error(), why) {
			t.Errorf("%s: %q, %+v; want one line, 2 refused for %s", template, text, refused, why)
		}
	}
	f("name {{(index .DNS.Answer 0).Hdr.Name}}", "index out of range")
	f("name {{if .DNS.Answer}}{{(index .DNS.Answer 0).Hdr.Name}}{{else}}{{range 20000}}{{printf `%1000d` 1}}{{end}}{{end}}", "more than 16 MiB")
}
