package format

import (
	"encoding/json"
	"net/netip"
	"strings"
	"testing"

	mdns "github.com/miekg/dns"

	"dnsmonster-sensor/userspace/dns"
	"dnsmonster-sensor/userspace/event"
)

// eventOf is an event of that message over UDP. cut is the number of missing bytes.
func eventOf(msg []byte, cut uint32) *event.Event {
	e := &event.Event{
		Time:       1700000000 * 1e9, // 2023-11-14T22:13:20Z
		Src:        netip.MustParseAddrPort("192.0.2.1:5353"),
		Dst:        netip.MustParseAddrPort("192.0.2.53:53"),
		Proto:      event.UDP,
		CaptureCut: cut,
		Message:    msg,
	}
	dns.Read(msg, cut > 0, &e.DNS)
	return e
}

func pack(t testing.TB, m *mdns.Msg) []byte {
	t.Helper()
	b, err := m.Pack()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func query(name string) *mdns.Msg {
	m := new(mdns.Msg)
	m.SetQuestion(name, mdns.TypeA)
	m.Id = 7
	return m
}

func line(e *event.Event) string { return string(new(JSON).Append(nil, e)) }

// TestJSONGolden: a record is byte for byte that of dnsmonster.
func TestJSONGolden(t *testing.T) {
	m := query("www.example.com.")
	m.SetEdns0(1232, true)
	e := eventOf(pack(t, m), 0)
	e.Src, e.Dst = netip.MustParseAddrPort("10.0.0.1:5353"), netip.MustParseAddrPort("10.0.0.53:53")
	const want = `{"Timestamp":"2023-11-14T22:13:20Z","DNS":{"Id":7,"Response":false,"Opcode":0,"Authoritative":false,` +
		`"Truncated":false,"RecursionDesired":true,"RecursionAvailable":false,"Zero":false,"AuthenticatedData":false,` +
		`"CheckingDisabled":false,"Rcode":0,"Question":[{"Name":"www.example.com.","Qtype":1,"Qclass":1}],"Answer":null,` +
		`"Ns":null,"Extra":[{"Hdr":{"Name":".","Rrtype":41,"Class":1232,"Ttl":32768,"Rdlength":0},"Option":null}]},` +
		`"IPVersion":4,"SrcIP":"10.0.0.1","SrcPort":5353,"DstIP":"10.0.0.53","DstPort":53,"Protocol":"udp","PacketLength":44}` + "\n"
	if got := line(e); got != want {
		t.Errorf("got  %swant %s", got, want)
	}
}

// TestJSONFields: the fields before and after the DNS object.
func TestJSONFields(t *testing.T) {
	f := func(change func(*event.Event), begin, end string) {
		t.Helper()
		e := eventOf(pack(t, query("example.org.")), 0)
		change(e)
		got := line(e)
		if !strings.HasPrefix(got, begin) || !strings.HasSuffix(got, end+"\n") {
			t.Errorf("got %swant %s ... %s", got, begin, end)
		}
	}
	f(func(e *event.Event) { e.Time += 5000 },
		`{"Timestamp":"2023-11-14T22:13:20.000005Z","DNS":{"Id":7,`,
		`,"IPVersion":4,"SrcIP":"192.0.2.1","SrcPort":5353,"DstIP":"192.0.2.53","DstPort":53,"Protocol":"udp","PacketLength":29}`)
	f(func(e *event.Event) { e.Src = netip.MustParseAddrPort("192.0.2.1:0") }, `{`,
		`"SrcIP":"192.0.2.1","DstIP":"192.0.2.53","DstPort":53,"Protocol":"udp","PacketLength":29}`)
	f(func(e *event.Event) {
		e.Src, e.Dst = netip.MustParseAddrPort("[2001:db8::1]:53"), netip.MustParseAddrPort("[2001:db8::2]:99")
	}, `{`, `"IPVersion":6,"SrcIP":"2001:db8::1","SrcPort":53,"DstIP":"2001:db8::2","DstPort":99,"Protocol":"udp","PacketLength":29}`)
	f(func(e *event.Event) { e.Proto, e.Identity, e.Version = event.TCP, []byte("ns1"), []byte("1.0") }, `{`,
		`"Protocol":"tcp","PacketLength":29,"Identity":"ns1","Version":"1.0"}`)
	f(func(e *event.Event) { e.CaptureCut, e.Version = 100, []byte("1.0") }, `{`,
		`"Protocol":"udp","PacketLength":129,"Version":"1.0","CaptureCut":100}`)
}

// answers is a response with n addresses.
func answers(n int) *mdns.Msg {
	m := query("example.org.")
	m.Response = true
	for range n {
		rr, _ := mdns.NewRR("example.org. 60 IN A 192.0.2.80")
		m.Answer = append(m.Answer, rr)
	}
	return m
}

func TestJSONMalformed(t *testing.T) {
	f := func(msg []byte, cut uint32, dnsEnd, end string) {
		t.Helper()
		got := line(eventOf(msg, cut))
		if !strings.Contains(got, dnsEnd+`},"IPVersion"`) || !strings.HasSuffix(got, end+"}\n") {
			t.Errorf("got %swant ... %s ... %s", got, dnsEnd, end)
		}
	}
	const a = `{"Hdr":{"Name":"example.org.","Rrtype":1,"Class":1,"Ttl":60,"Rdlength":4},"A":"192.0.2.80"}`
	const q = `"Question":[{"Name":"example.org.","Qtype":1,"Qclass":1}]`
	two := pack(t, answers(2))
	f(two, 0, q+`,"Answer":[`+a+`,`+a+`],"Ns":null,"Extra":null`, `"PacketLength":83`)
	f(append(two[:len(two):len(two)], 0, 0), 0, `[`+a+`,`+a+`],"Ns":null,"Extra":null`,
		`"Malformed":{"Section":"end","Index":2,"Why":"bytes after the last record"}`)
	f(two[:len(two)-1], 0, q+`,"Answer":[`+a+`],"Ns":null,"Extra":null`,
		`"Malformed":{"Section":"answer","Index":1,"Why":"record runs past the end"}`)
	f(two[:len(two)-1], 1, q+`,"Answer":[`+a+`],"Ns":null,"Extra":null`,
		`"PacketLength":83,"Malformed":{"Section":"answer","Index":1,"Why":"cut by the capture"},"CaptureCut":1`)
	f(two[:12], 0, `"Rcode":0,"Question":null,"Answer":null,"Ns":null,"Extra":null`,
		`"Malformed":{"Section":"question","Index":0,"Why":"fewer entries than the header counts"}`)

	three := append([]byte(nil), two...)
	three[len(three)-5] = 3 // RDLENGTH of the second answer
	f(three[:len(three)-1], 0, q+`,"Answer":[`+a+`,{"Hdr":{"Name":"example.org.","Rrtype":1,"Class":1,"Ttl":60,"Rdlength":3},"Rdata":"c00002"}],"Ns":null,"Extra":null`,
		`"Malformed":{"Section":"answer","Index":1,"Why":"bad record data"}`)

	empty := make([]byte, 12)
	f(empty, 0, `"Rcode":0,"Question":null,"Answer":null,"Ns":null,"Extra":null`, `"PacketLength":12`)
}

// TestJSONExtendedRcode: of several OPT records the response code of the last one
// counts, even if records before it cannot be read.
func TestJSONExtendedRcode(t *testing.T) {
	f := func(m *mdns.Msg, spoil bool, want string) {
		t.Helper()
		msg := pack(t, m)
		if spoil {
			msg[len(msg)-11-11-5] = 0xff // first label length of the MX record's name
		}
		if got := line(eventOf(msg, 0)); !strings.Contains(got, want) {
			t.Errorf("got %swant %s", got, want)
		}
	}
	m := query("example.org.")
	mx, _ := mdns.NewRR("example.org. 60 IN MX 1 abc.")
	m.Answer = []mdns.RR{mx}
	first := &mdns.OPT{Hdr: mdns.RR_Header{Name: ".", Rrtype: mdns.TypeOPT, Ttl: 1 << 24}} // 1<<4 is 16
	m.Extra = []mdns.RR{first, mdns.Copy(first)}
	m.Rcode = 32 // Pack writes it into the last one
	f(m, false, `"Rcode":32,"Question":[`)
	f(m, true, `"Rcode":32,"Question":[`)
	f(m, true, `"Rrtype":15,"Class":1,"Ttl":60,"Rdlength":7},"Rdata":"0001ff61626300"}],"Ns":null,"Extra":[{"Hdr":{"Name":".","Rrtype":41`)
	f(m, true, `"Malformed":{"Section":"answer","Index":0,"Why":"bad record data"}`)
}

func TestJSONEscapes(t *testing.T) {
	f := func(text, want string) {
		t.Helper()
		m := query("example.org.")
		m.Extra = []mdns.RR{&mdns.OPT{Hdr: mdns.RR_Header{Name: ".", Rrtype: mdns.TypeOPT},
			Option: []mdns.EDNS0{&mdns.EDNS0_EDE{ExtraText: text}}}}
		if got := line(eventOf(pack(t, m), 0)); !strings.Contains(got, `"ExtraText":"`+want+`"`) {
			t.Errorf("ExtraText %q: got %swant %s", text, got, want)
		}
	}
	f("<a href='x'>&", "<a href='x'>&")
	f("\b\f\n\r\t\x01\x7f", `\u0008\u000c\n\r\t\u0001\u007f`)
	f("\u0080a\u0085\u009f\u00a0", `\u0080a\u0085\u009f`+"\u00a0")
	f("\u2028\u2029\u00e9", "\u2028\u2029\u00e9")
	f(`\b\u2028"`, `\\b\\u2028\"`)
	f("a\xffb\xc3", `a\ufffdb\ufffd`)
}

// private is record data whose decoder panics.
type private struct{}

func (p *private) String() string               { return "" }
func (p *private) Parse([]string) error         { return nil }
func (p *private) Pack([]byte) (int, error)     { return 0, nil }
func (p *private) Copy(mdns.PrivateRdata) error { return nil }
func (p *private) Len() int                     { return 0 }
func (p *private) Unpack([]byte) (int, error)   { panic("private") }

// TestDecodeSurvives: a record whose decoder panics is shown as one of an unknown type;
// all others are shown as usual.
func TestDecodeSurvives(t *testing.T) {
	const rrtype = 65300
	mdns.PrivateHandle("PRIVATE", rrtype, func() mdns.PrivateRdata { return new(private) })
	defer mdns.PrivateHandleRemove(rrtype)
	m := answers(1)
	m.Answer = append(m.Answer, &mdns.RFC3597{Hdr: mdns.RR_Header{Name: ".", Rrtype: rrtype, Class: 1}, Rdata: "aabb"})
	m.Ns = append([]mdns.RR(nil), m.Answer...)
	got, bad := decode(eventOf(pack(t, m), 0), nil)
	want := dns.Malformed{Section: dns.SectionAnswer, Fault: dns.FaultRData, Index: 1}
	if len(got.Answer) != 2 || len(got.Ns) != 2 || bad != want {
		t.Fatalf("%d answers, authority %v, %v; want 2, 2, %v", len(got.Answer), got.Ns, bad, want)
	}
	if rr, ok := got.Answer[1].(*mdns.RFC3597); !ok || rr.Rdata != "aabb" {
		t.Errorf("the record is %v", got.Answer[1])
	}
}

// FuzzJSON: any message gives one line of valid JSON.
func FuzzJSON(f *testing.F) {
	f.Add(pack(f, query("example.org.")), false)
	f.Add(pack(f, answers(3)), true)
	f.Add(make([]byte, 12), false)
	f.Fuzz(func(t *testing.T, msg []byte, cut bool) {
		if len(msg) < dns.HeaderLen {
			return
		}
		var n uint32
		if cut {
			n = 5
		}
		got := new(JSON).Append([]byte("before"), eventOf(msg, n))
		text, ok := strings.CutPrefix(string(got), "before")
		if !ok || !json.Valid([]byte(text)) || strings.Count(text, "\n") != 1 || !strings.HasSuffix(text, "\n") {
			t.Errorf("%x gives %q", msg, got)
		}
	})
}
