package format

import (
	"bytes"
	stdcsv "encoding/csv"
	"encoding/json"
	"math/rand/v2"
	"net/netip"
	"testing"

	"dnsmonster-sensor/userspace/dns"
	"dnsmonster-sensor/userspace/dnstap"
	"dnsmonster-sensor/userspace/event"
	"dnsmonster-sensor/userspace/packet"
)

// FuzzFormats: every format writes records of any message that its readers can read.
// An encoder that has written another message before writes the same as a new one.
// Names in JSON are those of dns.AppendName.
func FuzzFormats(f *testing.F) {
	for _, seed := range damageSeeds(f) {
		f.Add(pack(f, answers(3)), seed, uint8(0))
		f.Add(seed, pack(f, query("example.org.")), uint8(1))
	}
	f.Add(pack(f, query(`a\,b\"c\010.example.org.`)), make([]byte, 12), uint8(2))
	f.Add([]byte("\x05\x02\x07example\x03org\x00"), pack(f, query("example.org.")), uint8(3))
	f.Add([]byte(framed(dnstap.Frame{Type: dnstap.ClientQuery, Zone: []byte("\x03a\x1bb\x00"), Extra: []byte("\xff\x1b[31m")})), pack(f, query("example.org.")), uint8(7))
	f.Fuzz(func(t *testing.T, first, msg []byte, what uint8) {
		if len(first) < dns.HeaderLen || len(msg) < dns.HeaderLen || len(first) > 0xffff || len(msg) > 0xffff {
			return
		}
		before, e := eventOf(first, 0), eventOf(msg, uint32(what>>7)*9)
		e.Identity, e.Version = first[:what&15%13], msg[:what>>4%13]
		e.Interface, e.Direction, e.HasVLAN, e.VLAN, e.Tunnel = 3, packet.Direction(what%3), true, 0xf007, packet.Tunnel(what%16)
		if what&2 != 0 {
			e.Fields = framed(dnstap.Frame{
				Type: dnstap.Type(first[0]), HTTP: uint32(first[1]), Extra: first, Zone: first[2:], Query: msg,
				Policy: (&dnstap.Policy{Type: first[3:], Rule: first[4:], Match: dnstap.Match(first[5] % 8), Value: first[6:]}).Append(nil),
			})
		}
		if what&4 != 0 {
			e.Fields = event.AppendField(event.AppendField(nil, event.FrameHead, first), event.FrameTail, first)
		}
		if what&1 != 0 {
			e.Src, e.Proto = netip.MustParseAddrPort("[2001:db8::1]:53"), event.TCP
		}
		o := Options{
			Server: string(first[:what&7]), Fields: 0xff, CSVIP: IPForm(what % 3), Template: "{{.Timestamp}} {{.DNS}}",
			InterfaceName: func(uint32, int64) string { return string(msg[:4]) },
		}
		for _, name := range Names() {
			format, err := New(name, o)
			if err != nil {
				t.Fatal(err)
			}
			fresh := format.NewEncoder().Append(nil, e)
			used := format.NewEncoder()
			skip := len(used.Append([]byte("before"), before))
			if got := used.Append(used.Append([]byte("before"), before), e)[skip:]; !bytes.Equal(got, fresh) {
				t.Errorf("%s: %x after %x gives %q, alone %q", name, msg, first, got, fresh)
			}
			readable(t, name, fresh, e)
		}
		sameNames(t, msg)
	})
}

// sameNames compares names with dns.AppendName at all offsets of a message, in the
// order that makes it copy names.
func sameNames(t *testing.T, msg []byte) {
	t.Helper()
	var n names
	n.reset()
	var text, want []byte
	for off := range min(len(msg), 512) {
		at := len(text)
		var next int
		text, next = n.append(text, msg, off)
		part, end, _ := dns.SkipName(msg, off)
		plain, good := dns.AppendName(want[:0], msg, off)
		want = plain
		if good != (next >= 0) || good && next != end {
			t.Fatalf("%x: the name at %d ends at %d; dns.AppendName reads %q, %v, dns.SkipName part %d, to %d", msg, off, next, plain, good, part, end)
		}
		if quoted := appendText(nil, plain); good && !bytes.Equal(text[at:], quoted) {
			t.Fatalf("%x: the name at %d is %q, want %q", msg, off, text[at:], quoted)
		}
		if !good { // its text would be dropped
			n.reset()
			text = text[:at]
		}
	}
}

// TestSameNames: chains of pointers, and messages with single bytes changed.
func TestSameNames(t *testing.T) {
	r := rand.New(rand.NewPCG(17, 18))
	for _, seed := range damageSeeds(t) {
		sameNames(t, seed)
		for range 300 {
			sameNames(t, damage(r, seed))
		}
	}
}

// readable checks that readers of the format can read the records of e.
func readable(t *testing.T, name string, text []byte, e *event.Event) {
	t.Helper()
	if len(text) == 0 || text[len(text)-1] != '\n' {
		t.Fatalf("%s: no line end: %q", name, text)
	}
	switch name {
	case "csv", "csv_no_header":
		rows, err := stdcsv.NewReader(bytes.NewReader(text)).ReadAll()
		want := 0
		for list := e.Rows(); list.Next(new(event.Row)); want++ {
		}
		if err != nil || len(rows) != want || len(rows[0]) != 22 {
			t.Errorf("%s: %d rows, want %d of 22 fields: %v: %q", name, len(rows), want, err, text)
		}
	case "gotemplate":
		wantCleanLine(t, name, string(text))
	case "text":
		wantTextLine(t, string(text), e, 0)
	case "json", "json-flat", "json-ocsf":
		wantCleanLine(t, name, string(text))
		if bytes.Count(text, []byte("\n")) != 1 || !json.Valid(text) {
			t.Errorf("%s: not one line of valid JSON: %q", name, text)
		}
		if name == "json-flat" {
			flatOnly(t, text)
		}
	}
}

// flatOnly checks that no value is an object, and that no key occurs twice.
func flatOnly(t *testing.T, text []byte) {
	t.Helper()
	d := json.NewDecoder(bytes.NewReader(text))
	seen := map[string]bool{}
	d.Token() // {
	for d.More() {
		key, _ := d.Token()
		if seen[key.(string)] {
			t.Errorf("key %s occurs twice: %q", key, text)
		}
		seen[key.(string)] = true
		var value any
		if err := d.Decode(&value); err != nil {
			t.Fatalf("key %s: %v: %q", key, err, text)
		}
		if _, object := value.(map[string]any); object {
			t.Errorf("key %s holds an object: %q", key, text)
		}
	}
}

// TestForgedEvents: events in a stored block whose sums are right can contradict their
// messages. No format panics on them.
func TestForgedEvents(t *testing.T) {
	r := rand.New(rand.NewPCG(9, 9))
	seeds := append(damageSeeds(t), pack(t, answers(3)), pack(t, query("example.org.")))
	var encoders []Encoder
	for _, name := range Names() {
		f, err := New(name, Options{Fields: 0xff, Template: "{{.Timestamp}} {{.DNS}}", InterfaceName: func(uint32, int64) string { return "eth0" }})
		if err != nil {
			t.Fatal(err)
		}
		encoders = append(encoders, f.NewEncoder())
	}
	ids := event.NewIDs()
	opened := 0
	for range 2000 {
		msg := bytes.Clone(seeds[r.IntN(len(seeds))])
		for range r.IntN(6) {
			msg[r.IntN(len(msg))] = byte(r.Uint32())
		}
		e := eventOf(msg[:dns.HeaderLen+r.IntN(len(msg)-dns.HeaderLen+1)], r.Uint32())
		e.DNS.HasQuestion = r.IntN(2) == 0
		e.DNS.Malformed = dns.Malformed{Section: dns.Section(r.Uint32()), Fault: dns.Fault(r.Uint32()), Index: uint16(r.Uint32())}
		e.DNS.EDNS = dns.EDNS{Present: true, DataStart: uint16(r.Uint32()), DataLen: uint16(r.Uint32())}
		e.Time, e.Proto, e.Direction, e.Tunnel = int64(r.Uint64()), event.Proto(r.Uint32()), packet.Direction(r.Uint32()), packet.Tunnel(r.Uint32())
		e.Selected = msg[:r.IntN(3)]
		b := event.NewBlock(1024)
		b.Append(e)
		b.Seal(ids.Next(), e.When())
		if b, err := event.OpenBlock(b.Bytes()); err == nil {
			opened++
			for _, enc := range encoders {
				AppendBlock(nil, enc, b)
			}
		}
	}
	if opened < 100 {
		t.Errorf("only %d blocks could be opened: nothing is tested", opened)
	}
}
