package format

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"regexp"
	"strings"
	"testing"

	"dnsmonster-sensor/test/lab/tier"
	"dnsmonster-sensor/userspace/dns"
	"dnsmonster-sensor/userspace/event"
	"dnsmonster-sensor/userspace/packet"
)

// colours are the escape sequences that a line may have.
var colours = regexp.MustCompile("\x1b\\[(0|2|31|33)m")

// wantTextLine checks a line: one line of printable ASCII, with both addresses, type,
// response code and the start of the name, no longer than width (0: unlimited) allows.
func wantTextLine(t testing.TB, text string, e *event.Event, width int) {
	t.Helper()
	line, ok := strings.CutSuffix(text, "\n")
	if opened, closed := strings.Count(line, "\x1b["), 2*strings.Count(line, styleEnd); opened != closed {
		t.Errorf("a colour is not reset: %q", text)
	}
	line = colours.ReplaceAllString(line, "")
	if !ok || strings.ContainsFunc(line, func(r rune) bool { return r < ' ' || r > '~' }) {
		t.Errorf("not one line of printable ASCII: %q", text)
	}
	var must []string
	for _, a := range []netip.Addr{e.Src.Addr(), e.Dst.Addr()} {
		if must = append(must, "-"); a.IsValid() {
			must[len(must)-1] = string(appendEnd(nil, a, 0))
		}
	}
	d := &e.DNS
	least := len(must[0]) + len(" > ") + len(must[1])
	add := func(word []byte) { must, least = append(must, string(word)), least+1+len(word) }
	if d.Response() {
		add(appendRcodeName(nil, d.Rcode()))
	}
	if d.HasQuestion {
		add(appendAsked(nil, d, d.QType, d.QClass))
	} else if d.Opcode() != dns.OpcodeDSO || d.QDCount > 0 {
		add([]byte(noQuestion(d)))
	}
	if name := string(e.AppendQName(nil)); name != "" {
		least += 1 + min(len(name), beginOfName)
	} else {
		least += 1 + beginOfName // a stateful message has other words there
	}
	if op := d.Opcode(); op != 0 {
		least += 1 + len(fmt.Sprintf("OPCODE%d", op))
	}
	rest := line
	for _, word := range must {
		_, after, found := strings.Cut(rest, word)
		if !found {
			t.Errorf("no %q in %q", word, text)
		}
		rest = after
	}
	if most := max(width, (least+width)/max(width, 1)*width); width > 0 && len(line) > most {
		t.Errorf("%d cells, want at most %d: %q", len(line), most, text)
	}
}

// textWriters are encoders for widths from 0, unlimited. The last ones have colours, and
// -v.
type textWriters struct {
	widths   []int
	encoders []Encoder
}

func newTextWriters() (w textWriters) {
	all, _ := ParseFields(strings.Join(FieldNames(), ","))
	o := Options{Fields: all, InterfaceName: func(n uint32, _ int64) string { return "eth\x1b0"[:n%6] }}
	add := func(width int, o Options) {
		if width > 0 {
			o.Width = func() int { return width }
		}
		w.widths = append(w.widths, width)
		w.encoders = append(w.encoders, newText(o))
	}
	for _, width := range []int{0, 1, 2, 20, 40, 79, 80, 100, 120, 300, 2000} {
		add(width, o)
		add(width, Options{})
	}
	o.Colour = true
	add(0, o)
	add(80, o)
	o.Verbose = true
	add(0, o)
	return w
}

func (w *textWriters) check(t testing.TB, e *event.Event) {
	t.Helper()
	for i, enc := range w.encoders {
		text := enc.Append([]byte("before"), e)
		wantTextLine(t, strings.TrimPrefix(string(text), "before"), e, w.widths[i])
		if !bytes.HasPrefix(text, []byte("before")) {
			t.Fatalf("what was there has changed: %q", text)
		}
		if t.Failed() {
			t.Fatalf("width %d, message %x", w.widths[i], e.Message)
		}
	}
}

// oddEvent is a message with whatever else an event may have.
func oddEvent(r *rand.Rand, msg []byte) *event.Event {
	ends := []string{"192.0.2.1:5353", "[2001:db8::1]:53", "[2001:db8:1111:2222:3333:4444:5555:6666]:65535", "", ":853", "[::ffff:192.0.2.9]:53", "198.51.100.255:0", "[::1]:0"}
	e := eventOf(msg, r.Uint32N(2)*9)
	e.Time += r.Int64N(1e12)
	e.Src, e.Dst = addrPort(ends[r.IntN(len(ends))]), addrPort(ends[r.IntN(len(ends))])
	e.Proto, e.Direction, e.Tunnel = event.Proto(r.IntN(packet.Protos+2)), packet.Direction(r.IntN(3)), packet.Tunnel(r.IntN(20))
	e.HasVLAN, e.VLAN, e.Interface, e.Sample = r.IntN(2) == 0, uint16(r.Uint32()), r.Uint32(), packet.Ratio{Keep: 1, Of: 1 + r.Uint32N(2)*99}
	e.Identity, e.Version = []byte(awkward[r.IntN(len(awkward))]), []byte(awkward[r.IntN(len(awkward))])
	return e
}

// TestTextCaptures: lines of all captured messages.
func TestTextCaptures(t *testing.T) {
	w, r := newTextWriters(), rand.New(rand.NewPCG(21, 22))
	n := 0
	for msg := range capturedMessages(t) {
		if n++; n%tier.Work(8, 80) == 0 {
			w.check(t, oddEvent(r, msg))
		}
	}
	t.Logf("%d messages", n)
}

// TestTextDamaged: lines of damaged messages, of random data of all types, and of data
// that terminals would obey.
func TestTextDamaged(t *testing.T) {
	w, r := newTextWriters(), rand.New(rand.NewPCG(23, 24))
	for _, seed := range append(damageSeeds(t), pack(t, answers(3)), pack(t, query("example.org."))) {
		w.check(t, oddEvent(r, seed))
		for range tier.Work(100, 10) {
			w.check(t, oddEvent(r, damage(r, seed)))
		}
	}
	for _, rrtype := range append(dns.KnownTypes(), 65280) {
		for range tier.Work(20, 2) {
			w.check(t, oddEvent(r, message(rrtype, randomData(r))))
		}
	}
	for _, text := range append(awkward, "\x1b[2J\x1b]0;title\x07", "\u202eevil", "\r\n", "\x9b31m") {
		w.check(t, forging(t, text))
	}
	for name, msg := range bombs() {
		for i, enc := range w.encoders {
			if n, most := len(enc.Append(nil, eventOf(msg, 0))), 2*maxText(len(msg)); n > most || w.widths[i] == 80 && n > 120 {
				t.Errorf("%s at width %d takes %d bytes", name, w.widths[i], n)
			}
		}
	}
}

// FuzzText: every message is one printable line, at every width.
func FuzzText(f *testing.F) {
	for i, seed := range damageSeeds(f) {
		f.Add(seed, uint64(i))
	}
	f.Add(forging(f, "\x1b[31m\u202e\x9b").Message, uint64(99))
	f.Add(pack(f, query("example.org.")), uint64(7))
	w := newTextWriters()
	f.Fuzz(func(t *testing.T, msg []byte, rest uint64) {
		if len(msg) >= dns.HeaderLen && len(msg) <= 0xffff {
			w.check(t, oddEvent(rand.New(rand.NewPCG(rest, 1)), msg))
		}
	})
}
