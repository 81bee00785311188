package format

import (
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	mdns "github.com/miekg/dns"

	"dnsmonster-sensor/userspace/dns"
	"dnsmonster-sensor/userspace/event"
	"dnsmonster-sensor/userspace/packet"
)

// kindOfMessage makes one kind of message, and changes what else there is to its event.
type kindOfMessage struct {
	name   string
	flags  string // dig's words, and a response code
	asked  string // name, class and type
	answer []string
	ns     []string
	extra  []string
	change func(m *mdns.Msg)
	wire   []byte // instead of all that
	event  func(e *event.Event)
}

func (k *kindOfMessage) make(t *testing.T) *event.Event {
	t.Helper()
	if k.wire != nil {
		return k.of(k.wire)
	}
	m := new(mdns.Msg)
	m.Id = 4711
	m.Compress = true
	for word := range strings.FieldsSeq(k.flags) {
		switch word {
		case "qr":
			m.Response = true
		case "aa":
			m.Authoritative = true
		case "tc":
			m.Truncated = true
		case "rd":
			m.RecursionDesired = true
		case "ra":
			m.RecursionAvailable = true
		case "ad":
			m.AuthenticatedData = true
		case "cd":
			m.CheckingDisabled = true
		default:
			m.Rcode = mdns.StringToRcode[word]
		}
	}
	if k.asked != "" {
		w := strings.Fields(k.asked)
		m.Question = []mdns.Question{{Name: w[0], Qclass: mdns.StringToClass[w[1]], Qtype: mdns.StringToType[w[2]]}}
	}
	for to, list := range map[*[]mdns.RR][]string{&m.Answer: k.answer, &m.Ns: k.ns, &m.Extra: k.extra} {
		for _, text := range list {
			rr, err := mdns.NewRR(text)
			if err != nil {
				t.Fatal(err)
			}
			*to = append(*to, rr)
		}
	}
	if k.change != nil {
		k.change(m)
	}
	return k.of(pack(t, m))
}

func (k *kindOfMessage) of(msg []byte) *event.Event {
	e := eventOf(msg, 0)
	e.Time = time.Date(2026, 11, 24, 10, 16, 40, 73579875, time.UTC).UnixNano()
	e.Src, e.Dst = netip.MustParseAddrPort("192.0.2.2:48211"), netip.MustParseAddrPort("192.0.2.53:53")
	if e.DNS.Response() {
		e.Src, e.Dst = e.Dst, e.Src
	}
	if k.event != nil {
		k.event(e)
	}
	return e
}

func edns(change func(*mdns.OPT)) func(*mdns.Msg) {
	return func(m *mdns.Msg) {
		m.SetEdns0(1232, true)
		change(m.IsEdns0())
	}
}

var kindsOfMessages = []kindOfMessage{
	{name: "query", flags: "rd", asked: "www.example.org. IN A"},
	{name: "answer", flags: "qr rd ra", asked: "www.example.org. IN A", answer: []string{"www.example.org. 300 A 192.0.2.80"}},
	{name: "IPv6", flags: "qr rd ra", asked: "www.example.org. IN AAAA", answer: []string{"www.example.org. 300 AAAA 2001:db8::80"}, event: func(e *event.Event) {
		e.Src, e.Dst = netip.MustParseAddrPort("[2001:db8::53]:53"), netip.MustParseAddrPort("[2001:db8:1:2:3:4:5:6]:48211")
	}},
	{name: "several answers", flags: "qr rd ra", asked: "www.example.org. IN A", answer: []string{
		"www.example.org. 300 A 192.0.2.80", "www.example.org. 300 A 192.0.2.81", "www.example.org. 300 A 192.0.2.82", "www.example.org. 300 A 192.0.2.83"}},
	{name: "alias", flags: "qr rd ra", asked: "WWW.example.org. IN A", answer: []string{
		"www.example.org. 300 CNAME web.example.net.", "web.example.net. 60 CNAME edge.example.net.", "edge.example.net. 60 A 198.51.100.7"}},
	{name: "signed alias", flags: "qr rd ra ad", asked: "www.example.org. IN A", answer: []string{
		"www.example.org. 300 CNAME web.example.org.", "www.example.org. 300 RRSIG CNAME 13 3 300 20261208000000 20261124000000 12345 example.org. c2lnbmF0dXJl",
		"web.example.org. 300 A 192.0.2.80", "other.example.org. 300 A 192.0.2.81"}},
	{name: "does not exist", flags: "qr aa rd NXDOMAIN", asked: "nowhere.example.org. IN A", ns: []string{"example.org. 300 SOA ns1.example.org. hostmaster.example.org. 2026112401 7200 3600 1209600 300"}},
	{name: "no data", flags: "qr aa rd", asked: "www.example.org. IN MX", ns: []string{"example.org. 300 SOA ns1.example.org. hostmaster.example.org. 2026112401 7200 3600 1209600 300"}},
	{name: "failure", flags: "qr rd ra SERVFAIL", asked: "bogus.example.org. IN A", change: edns(func(o *mdns.OPT) {
		o.Option = append(o.Option, &mdns.EDNS0_EDE{InfoCode: 6, ExtraText: "no valid RRSIG"})
	})},
	{name: "bad version", flags: "qr", asked: "www.example.org. IN A", change: func(m *mdns.Msg) {
		m.SetEdns0(1232, true)
		m.Rcode = mdns.RcodeBadVers
	}},
	{name: "truncated", flags: "qr tc rd ra", asked: "long.example.org. IN TXT"},
	{name: "text", flags: "qr aa", asked: "example.org. IN TXT", answer: []string{
		`example.org. 300 TXT "v=spf1 ip4:192.0.2.0/24 ip4:198.51.100.0/24 include:_spf.example.net include:_spf.example.com -all"`, `example.org. 300 TXT "\"a\\b\" \027[31m\195\164"`}},
	{name: "service", flags: "qr rd ra", asked: "example.org. IN HTTPS", answer: []string{`example.org. 300 HTTPS 1 . alpn="h3,h2" ipv4hint="192.0.2.80" ech="AAAB" key667="\001x"`}},
	{name: "class", flags: "rd", asked: "version.bind. CH TXT"},
	{name: "other numbers", flags: "qr", asked: "www.example.org. IN A", change: func(m *mdns.Msg) {
		m.Opcode, m.Rcode, m.Question[0].Qtype, m.Question[0].Qclass = 3, 13, 65280, 5
		m.Answer = []mdns.RR{&mdns.RFC3597{Hdr: mdns.RR_Header{Name: "www.example.org.", Rrtype: 65280, Class: 5}, Rdata: "c00002"}}
	}},
	{name: "long name", flags: "rd", asked: "4a6f686e20446f652c2031323334.5678203132333420353637382c2031322f.exfil.tunnel.example.org. IN TXT"},
	{name: "odd name", flags: "rd", asked: `\027[2J\010\226\128\174.a\.b.example.org. IN A`},
	{name: "root", flags: "rd", asked: ". IN NS"},
	{name: "notify", flags: "aa", asked: "example.org. IN SOA", change: func(m *mdns.Msg) { m.Opcode = mdns.OpcodeNotify }},
	{name: "notified", flags: "qr aa", asked: "example.org. IN SOA", change: func(m *mdns.Msg) { m.Opcode = mdns.OpcodeNotify }},
	{name: "update", asked: "example.org. IN SOA", ns: []string{"www.example.org. 300 A 192.0.2.81"}, change: func(m *mdns.Msg) {
		m.Opcode = mdns.OpcodeUpdate
		m.Answer = append(m.Answer, &mdns.ANY{Hdr: mdns.RR_Header{Name: "www.example.org.", Rrtype: mdns.TypeA, Class: mdns.ClassANY}})
		m.Ns = append(m.Ns, &mdns.ANY{Hdr: mdns.RR_Header{Name: "old.example.org.", Rrtype: mdns.TypeA, Class: mdns.ClassANY}})
	}},
	{name: "updated", flags: "qr REFUSED", asked: "example.org. IN SOA", change: func(m *mdns.Msg) { m.Opcode = mdns.OpcodeUpdate }},
	{name: "stateful", wire: []byte("\x12\x67\x30\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01\x00\x08\x00\x00\x3a\x98\x00\x00\x3a\x98\x00\x03\x00\x02\x00\x00"), event: func(e *event.Event) { e.Proto = event.DoT }},
	{name: "header only", wire: []byte("\x12\x67\x81\x85\x00\x00\x00\x00\x00\x00\x00\x00")},
	{name: "two questions", flags: "rd", asked: "www.example.org. IN A", change: func(m *mdns.Msg) {
		m.Question = append(m.Question, mdns.Question{Name: "mail.example.org.", Qtype: mdns.TypeAAAA, Qclass: 1})
	}},
	{name: "transfer", flags: "qr aa", asked: "example.org. IN AXFR", answer: []string{
		"example.org. 300 SOA ns1.example.org. hostmaster.example.org. 1 7200 3600 1209600 300", "example.org. 300 NS ns1.example.org.", "ns1.example.org. 300 A 192.0.2.53"},
		event: func(e *event.Event) { e.Proto = event.TCP }},
	{name: "malformed", flags: "qr aa", asked: "www.example.org. IN A", answer: []string{"www.example.org. 300 A 192.0.2.80"}, event: func(e *event.Event) {
		e.Message[len(e.Message)-5] = 3
		e.Message = e.Message[:len(e.Message)-1]
		dns.Read(e.Message, false, &e.DNS)
	}},
	{name: "cut", flags: "qr aa", asked: "www.example.org. IN A", answer: []string{"www.example.org. 300 A 192.0.2.80"}, event: func(e *event.Event) {
		e.Message, e.CaptureCut = e.Message[:40], uint32(len(e.Message)-40)
		dns.Read(e.Message, true, &e.DNS)
	}},
	{name: "absent", flags: "rd", asked: "www.example.org. IN A", event: func(e *event.Event) {
		e.Proto, e.Src, e.Dst = event.DoH, netip.AddrPort{}, addrPort(":443")
	}},
	{name: "around", flags: "rd", asked: "www.example.org. IN A", event: func(e *event.Event) {
		e.Interface, e.Direction, e.HasVLAN, e.VLAN, e.Tunnel, e.Sample = 1, packet.DirectionIn, true, 7, packet.TunnelVXLAN, packet.Ratio{Keep: 1, Of: 10}
	}},
	{name: "client subnet", flags: "rd", asked: "www.example.org. IN A", change: edns(func(o *mdns.OPT) {
		o.Option = append(o.Option, &mdns.EDNS0_SUBNET{Code: mdns.EDNS0SUBNET, Family: 1, SourceNetmask: 24, Address: []byte{198, 51, 100, 0}},
			&mdns.EDNS0_COOKIE{Code: mdns.EDNS0COOKIE, Cookie: "0123456789abcdef"}, &mdns.EDNS0_PADDING{Padding: make([]byte, 12)})
	})},
	{name: "referral", flags: "qr rd", asked: "www.sub.example.org. IN A", ns: []string{"sub.example.org. 300 NS ns.sub.example.org."}, extra: []string{"ns.sub.example.org. 300 A 192.0.2.54"}},
}

// textGolden is a file with a line for each kind of message and width.
const textGolden = "testdata/text.txt"

// TestTextGolden: the line of each kind of message, at some widths. With UPDATE=1 in the
// environment it writes the file anew: look at the difference.
func TestTextGolden(t *testing.T) {
	var b strings.Builder
	for i := range kindsOfMessages {
		k := &kindsOfMessages[i]
		e := k.make(t)
		b.WriteString("\n" + k.name + "\n")
		for _, c := range []struct {
			label string
			width int
			o     Options
		}{
			{"40 ", 40, Options{}}, {"80 ", 80, Options{}}, {"120", 120, Options{}}, {"all", 0, Options{}},
			{"-v ", 0, Options{Verbose: true, InterfaceName: func(n uint32, _ int64) string { return []string{"", "eth0"}[n] }}},
		} {
			c.o.Width = func() int { return c.width }
			line := string(newText(c.o).Append(nil, e))
			wantTextLine(t, line, e, c.width)
			b.WriteString(c.label + " " + line)
		}
	}
	if os.Getenv("UPDATE") == "1" {
		if err := os.WriteFile(textGolden, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(textGolden)
	if err != nil {
		t.Fatal(err)
	}
	got, lines := strings.Split(b.String(), "\n"), strings.Split(string(want), "\n")
	for i, line := range got {
		if i >= len(lines) || line != lines[i] {
			t.Fatalf("line %d of %s:\n got %s\nwant %s", i+1, textGolden, line, lines[min(i, len(lines)-1)])
		}
	}
	if len(got) != len(lines) {
		t.Errorf("%d lines, %s has %d", len(got), textGolden, len(lines))
	}
}

// TestTextPage: docs/formats.md shows lines that are in the golden file.
func TestTextPage(t *testing.T) {
	golden, err := os.ReadFile(textGolden)
	if err != nil {
		t.Fatal(err)
	}
	section := pageSection(t, "## text")
	_, rest, _ := strings.Cut(string(section), "In a window of 80 columns:")
	var shown []string
	for line := range strings.Lines(page(rest).fence("text")) {
		shown = append(shown, "\n80  "+line)
	}
	for _, row := range section.table(t, "line from the id on") {
		shown = append(shown, strings.Trim(row[0], "`")+"\n")
	}
	if len(shown) < 10 {
		t.Errorf("the page shows only %d lines", len(shown))
	}
	for _, line := range shown {
		if !strings.Contains(string(golden), line) {
			t.Errorf("%s does not have %q", textGolden, line)
		}
	}
}

// TestTextOptions: the time zone, the additional fields, the interface where there are
// several, and colours.
func TestTextOptions(t *testing.T) {
	f := func(name string, o Options, want string) {
		t.Helper()
		for i := range kindsOfMessages {
			if k := &kindsOfMessages[i]; k.name == name {
				if got := written(t, "text", o, k.make(t)); got != want+"\n" {
					t.Errorf("%s:\n got %swant %s", name, got, want)
				}
				return
			}
		}
		t.Fatalf("no kind %s", name)
	}
	berlin := time.FixedZone("", 3600)
	all, _ := ParseFields(strings.Join(FieldNames(), ","))
	names := func(uint32, int64) string { return "eth 0\x1b" }
	f("query", Options{Location: berlin}, "11:16:40.073579 192.0.2.2:48211 > 192.0.2.53:53 udp 4711 rd A? www.example.org.")
	f("query", Options{Location: berlin, Verbose: true}, "2026-11-24T11:16:40.073579875+01:00 192.0.2.2:48211 > 192.0.2.53:53 udp 4711 rd A? www.example.org. | 33 bytes")
	f("around", Options{}, "10:16:40.073579 192.0.2.2:48211 > 192.0.2.53:53 udp 4711 rd A? www.example.org.")
	f("around", Options{Fields: all, InterfaceName: names},
		`10:16:40.073579 eth\0320\027 in 192.0.2.2:48211 > 192.0.2.53:53 udp 4711 rd A? www.example.org. [vlan 7; in vxlan; sampled 1:10]`)
	f("around", Options{Interfaces: true, InterfaceName: names}, `10:16:40.073579 eth\0320\027 in 192.0.2.2:48211 > 192.0.2.53:53 udp 4711 rd A? www.example.org.`)
	f("around", Options{Fields: fieldDirection, InterfaceName: names}, `10:16:40.073579 in 192.0.2.2:48211 > 192.0.2.53:53 udp 4711 rd A? www.example.org.`)
	f("failure", Options{Colour: true}, "\x1b[2m10:16:40.073579\x1b[0m 192.0.2.53:53 > 192.0.2.2:48211 \x1b[2mudp\x1b[0m \x1b[2m4711\x1b[0m \x1b[2mrd,ra,do\x1b[0m "+
		"\x1b[31mSERVFAIL\x1b[0m A bogus.example.org. \x1b[2m[EDE 6 DNSSEC Bogus \"no valid RRSIG\"]\x1b[0m")
	f("does not exist", Options{Colour: true}, "\x1b[2m10:16:40.073579\x1b[0m 192.0.2.53:53 > 192.0.2.2:48211 \x1b[2mudp\x1b[0m \x1b[2m4711\x1b[0m \x1b[2maa,rd\x1b[0m "+
		"\x1b[33mNXDOMAIN\x1b[0m A nowhere.example.org.")
}

// TestTextWidthChanges: the width is asked for each line, and -v ignores it.
func TestTextWidthChanges(t *testing.T) {
	e := kindsOfMessages[3].make(t)
	width := 80
	o := Options{Width: func() int { return width }}
	enc := newText(o)
	narrow := string(enc.Append(nil, e))
	width = 200
	wide := string(enc.Append(nil, e))
	if len(narrow) > 81 || len(wide) <= 120 || !strings.Contains(narrow, ", +") || !strings.HasSuffix(wide, "192.0.2.83\n") {
		t.Errorf("at 80: %sat 200: %s", narrow, wide)
	}
	width, o.Verbose = 40, true
	if got := string(newText(o).Append(nil, e)); !strings.Contains(got, "192.0.2.83") {
		t.Errorf("-v cuts: %s", got)
	}
}

// TestTextDoesNotAllocate: with a width, colours and -v.
func TestTextDoesNotAllocate(t *testing.T) {
	for _, o := range []Options{{Width: func() int { return 80 }, Colour: true}, {Verbose: true}} {
		enc, dst := newText(o), make([]byte, 0, 1<<20)
		for i := range kindsOfMessages {
			e := kindsOfMessages[i].make(t)
			if n := testing.AllocsPerRun(50, func() {
				e.Time += 1e9
				dst = enc.Append(dst[:0], e)
			}); n != 0 {
				t.Errorf("%s allocates %v times", kindsOfMessages[i].name, n)
			}
		}
	}
}
