package outputtest

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/miekg/dns"

	"dnsmonster-sensor/outputs"
	sensordns "dnsmonster-sensor/userspace/dns"
	"dnsmonster-sensor/userspace/event"
	"dnsmonster-sensor/userspace/packet"
)

// listed is the name on the list whose queries the case "all shapes of events" skips.
const listed = "listed.example.org."

type skipList struct{}

func (skipList) Match(name []byte) bool { return string(name) == listed }

// shape is an event, and whether the filter skips it.
type shape struct {
	event   *event.Event
	skipped bool
}

// Shapes returns the events of the case "all shapes of events": one for each thing that a
// message can have or lack. One of them has questions that a filter left out.
func Shapes() (list []*event.Event) {
	for _, s := range traffic() {
		list = append(list, s.event)
	}
	return list
}

// traffic returns one event for each thing that a message can have or lack. All have
// different times.
func traffic() []shape {
	var list []shape
	add := func(_ string, message []byte, change func(e *event.Event)) { // the text is for readers of this file
		e := &event.Event{
			Time: time.Date(2026, 5, 6, 7, 8, len(list), 123_456_000, time.UTC).UnixNano(), Proto: event.UDP,
			Src: netip.MustParseAddrPort("192.0.2.1:40000"), Dst: netip.MustParseAddrPort("192.0.2.53:53"), Message: message,
		}
		if change != nil {
			change(e)
		}
		sensordns.Read(e.Message, e.CaptureCut > 0, &e.DNS)
		list = append(list, shape{e, false})
	}
	q := question("www.example.org.")
	addresses(add, q)
	transports(add, q)
	questions(add)
	broken(add, q)
	add("64 KiB", answers("big.example.org.", 65535), func(e *event.Event) { e.Proto = event.TCP })
	add("time 0", q, func(e *event.Event) { e.Time = 0 })
	add("before 1970", q, func(e *event.Event) { e.Time = -1_000 })
	add("identity and version", q, func(e *event.Event) { e.Identity, e.Version = []byte("ns1.example.org"), []byte("server 9.1") })
	add("odd identity", q, func(e *event.Event) { e.Identity, e.Version = []byte("\"\\,|\n\x00\x1b[2J\xff"), []byte{} })
	add("long identity", q, func(e *event.Event) { e.Identity = bytes.Repeat([]byte("n"), 65535) })
	add("every field", q, everyField)
	add("only questions that the list has", question(listed), nil)
	list[len(list)-1].skipped = true
	return list
}

func addresses(add func(string, []byte, func(*event.Event)), q []byte) {
	none := netip.AddrPort{}
	six, mapped := netip.MustParseAddrPort("[2001:db8::1]:5353"), netip.MustParseAddrPort("[::ffff:192.0.2.9]:53")
	ends := func(src, dst netip.AddrPort) func(*event.Event) {
		return func(e *event.Event) { e.Src, e.Dst = src, dst }
	}
	four := netip.MustParseAddrPort("192.0.2.7:1053")
	add("IPv4", q, nil)
	add("IPv6", q, ends(six, six))
	add("an IPv4-mapped address", q, ends(mapped, six))
	add("no addresses", q, ends(none, none))
	add("ports alone", q, ends(netip.AddrPortFrom(netip.Addr{}, 40000), netip.AddrPortFrom(netip.Addr{}, 53)))
	add("only the source, IPv4", q, ends(four, none))
	add("only the destination, IPv4", q, ends(none, four))
	add("only the source, IPv6", q, ends(six, none))
	add("only the destination, IPv6", q, ends(none, six))
	add("the unspecified address", q, ends(netip.AddrPortFrom(netip.IPv6Unspecified(), 53), four))
}

func transports(add func(string, []byte, func(*event.Event)), q []byte) {
	for _, p := range []event.Proto{event.UDP, event.TCP, event.DoT, event.DoH, event.DoQ, event.DNSCryptUDP, event.DNSCryptTCP} {
		add("over "+p.String(), q, func(e *event.Event) { e.Proto = p })
	}
}

func questions(add func(string, []byte, func(*event.Event))) {
	add("a header alone", append([]byte{0, 9, 1}, make([]byte, 9)...), nil)
	add("an answer without a question", answers("", 200), nil)
	add("three questions", question("a.example.org.", "b.example.org.", "c.example.org."), nil)
	add("three questions, one of them on the list", question("a.example.org.", listed, "c.example.org."), func(e *event.Event) { e.Selected = []byte{5} })
	add("ten questions, eight of them on the list",
		question(listed, listed, listed, listed, "a.example.org.", listed, listed, listed, listed, "b.example.org."), func(e *event.Event) { e.Selected = []byte{0x10, 2} })
	add("the root", question("."), nil)
	add("a name with odd bytes", question(`a\"\,\|\\\010\000\027[2J\255.example.org.`), nil)
	add("a name of 255 bytes", question(strings.Repeat(strings.Repeat("x", 62)+".", 3)+strings.Repeat("y", 61)+"."), nil)
}

func broken(add func(string, []byte, func(*event.Event)), q []byte) {
	add("half a question", q[:len(q)-3], nil)
	add("bytes after its end", append(bytes.Clone(q), "more"...), nil)
	liar := bytes.Clone(q)
	liar[7] = 200
	add("more records counted than there are", liar, nil)
	add("cut by the capture", answers("cut.example.org.", 400)[:100], func(e *event.Event) { e.CaptureCut = 300 })
}

// everyField sets everything that an event can have beside its message.
func everyField(e *event.Event) {
	e.QueryTime, e.ResponseTime = e.Time-2_000_000, e.Time
	e.Direction, e.Tunnel, e.HasVLAN, e.VLAN = packet.DirectionOut, packet.TunnelVXLAN, true, 0xefff
	e.Interface, e.Sample = 1<<31, packet.Ratio{Keep: 1, Of: 1 << 31}
	e.Identity, e.Version = []byte("ns1"), []byte("v1")
	e.Fields = event.AppendField(nil, event.FirstField, nil)
	e.Fields = event.AppendField(e.Fields, 40000, []byte("a field that nobody here knows"))
	e.Fields = event.AppendField(e.Fields, 65535, bytes.Repeat([]byte{0xff}, 1<<16))
}

func question(names ...string) []byte {
	m := new(dns.Msg)
	m.Id = uint16(len(names))
	for _, n := range names {
		m.Question = append(m.Question, dns.Question{Name: n, Qtype: dns.TypeA, Qclass: dns.ClassINET})
	}
	return pack(m)
}

// answers makes a response of size bytes, with a question for name unless that is empty.
func answers(name string, size int) []byte {
	m := new(dns.Msg)
	m.Response = true
	if name != "" {
		m.Question = []dns.Question{{Name: name, Qtype: dns.TypeNULL, Qclass: dns.ClassINET}}
	}
	rr := &dns.NULL{Hdr: dns.RR_Header{Name: "example.org.", Rrtype: dns.TypeNULL, Class: dns.ClassINET}}
	m.Answer = []dns.RR{rr}
	empty := pack(m)
	data := size - len(empty)
	binary.BigEndian.PutUint16(empty[len(empty)-2:], uint16(data))
	return append(empty, bytes.Repeat([]byte{0xa5}, data)...)
}

func pack(m *dns.Msg) []byte {
	msg, err := m.Pack()
	if err != nil {
		panic(fmt.Sprintf("a message of the tests: %v", err))
	}
	return msg
}

// allShapes: whatever a message has or lacks, its record arrives once and complete;
// queries for names on the list do not arrive.
func allShapes(t T, target *Target) {
	t.Helper()
	var offered, wanted []*event.Event
	skipped := uint64(0)
	for _, s := range traffic() {
		e := *s.event
		e.Selected = nil // the filter finds out
		offered = append(offered, &e)
		if s.skipped {
			skipped++
		} else {
			wanted = append(wanted, s.event)
		}
	}
	set := outputs.Settings{Type: outputs.Skip, Skip: skipList{}, Workers: 1, BatchSize: 5}
	l := through(t, target, set, offered, nil)
	if l.Unaccounted() != 0 || l.Held != 0 {
		t.Errorf("%d unaccounted, %d held: %+v", l.Unaccounted(), l.Held, l)
	}
	for _, o := range l.Outcomes {
		if want := map[string]uint64{"delivered": uint64(len(wanted)), "skipped": skipped}[o.Name]; o.Value != want {
			t.Errorf("%s %d, want %d", o.Name, o.Value, want)
		}
	}
	atDestination(t, target, wanted)
}
