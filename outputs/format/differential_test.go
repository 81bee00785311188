package format

import (
	"bytes"
	"encoding/binary"
	"maps"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"

	mdns "github.com/miekg/dns"

	"dnsmonster-sensor/test/lab/tier"
	"dnsmonster-sensor/userspace/dns"
	"dnsmonster-sensor/userspace/event"
)

// differ keeps both encoders over many messages, so that state left by one message
// shows in the next.
type differ struct {
	wire      *JSON
	reference reference
	got, want []byte
	good, bad int
}

func newDiffer() *differ { return &differ{wire: new(JSON)} }

// check compares the two encoders' records of msg. It returns whether the message is
// whole.
func (d *differ) check(t testing.TB, msg []byte, cut uint32) bool {
	t.Helper()
	if len(msg) < dns.HeaderLen {
		return false
	}
	e := eventOf(msg, cut)
	d.want = d.reference.Append(d.want[:0], e)
	d.got = d.wire.Append(append(d.got[:0], "before"...), e)[len("before"):]
	if !bytes.Equal(d.got, d.want) {
		t.Errorf("%x\n got %swant %s", msg, d.got, d.want)
	}
	good := !bytes.Contains(d.want, []byte(`,"Malformed":{`))
	if good {
		d.good++
	} else {
		d.bad++
	}
	return good
}

// TestDifferentialTypes: every type, with empty, random and truncated data.
func TestDifferentialTypes(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	d := newDiffer()
	types := slices.Sorted(maps.Keys(mdns.TypeToRR))
	for _, rrtype := range append(types, 0, 10000, 65280, 65535) {
		d.check(t, message(rrtype, nil), 0)
		for range tier.Work(1500, 50) {
			data := randomData(r)
			d.check(t, message(rrtype, data), 0)
			if n := r.IntN(len(data) + 1); n > 0 {
				d.check(t, message(rrtype, data[:n]), 0)
			}
			if t.Failed() {
				t.Fatalf("type %d", rrtype)
			}
		}
	}
	if least := tier.Work(10000, 300); d.good < least || d.bad < least {
		t.Errorf("%d messages are good and %d are not, want %d of each", d.good, d.bad, least)
	}
}

// TestDifferentialRecords: data that random bytes rarely form: whole, with single bytes
// changed, and truncated at each byte.
func TestDifferentialRecords(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 8))
	d := newDiffer()
	for _, text := range sampleRecords {
		rr, err := mdns.NewRR(". 5 IN " + text)
		if err != nil {
			t.Fatal(err)
		}
		packed := pack(t, &mdns.Msg{Answer: []mdns.RR{rr}})
		data := packed[dns.HeaderLen+11:]
		rrtype := rr.Header().Rrtype
		if !d.check(t, message(rrtype, data), 0) {
			t.Errorf("%s is malformed", text)
		}
		for n := range data {
			d.check(t, message(rrtype, data[:n]), 0)
		}
		for range tier.Work(2000, 200) {
			changed := bytes.Clone(data)
			changed[r.IntN(len(changed))] = byte(r.Uint32()) >> (r.IntN(2) * 5)
			d.check(t, message(rrtype, changed), 0)
		}
		if t.Failed() {
			t.Fatal(text)
		}
	}
}

// TestDifferentialPairs: every EDNS option and SVCB parameter, alone and together.
func TestDifferentialPairs(t *testing.T) {
	r := rand.New(rand.NewPCG(9, 10))
	d := newDiffer()
	codes := []uint16{26946, 65001, 65534, 65535}
	for c := range uint16(24) {
		codes = append(codes, c)
	}
	pair := func(code uint16) []byte {
		data := randomData(r)
		if r.IntN(3) == 0 {
			data = bytes.Repeat([]byte{byte(r.IntN(4))}, r.IntN(34))
		}
		b := binary.BigEndian.AppendUint16(nil, code)
		return append(binary.BigEndian.AppendUint16(b, uint16(len(data))), data...)
	}
	for _, code := range codes {
		good := 0
		for range tier.Work(1500, 100) {
			b := pair(code)
			if d.check(t, message(mdns.TypeOPT, b), 0) {
				good++
			}
			if r.IntN(4) == 0 {
				b = append(b, pair(code+uint16(r.IntN(3)))...)
			}
			d.check(t, message(mdns.TypeSVCB, append([]byte{0, 1, 0}, b...)), 0)
			d.check(t, message(mdns.TypeOPT, b), 0)
			if t.Failed() {
				t.Fatalf("code %d", code)
			}
		}
		if good == 0 {
			t.Errorf("no good option %d", code)
		}
	}
}

// TestDifferentialDamage: whole messages with compressed names, truncated, and with
// bytes changed and dropped.
func TestDifferentialDamage(t *testing.T) {
	r := rand.New(rand.NewPCG(11, 12))
	d := newDiffer()
	for _, seed := range damageSeeds(t) {
		d.check(t, seed, 0)
		for n := range seed {
			d.check(t, seed[:n], uint32(len(seed)-n))
		}
		for range tier.Work(4000, 300) {
			msg := damage(r, seed)
			d.check(t, msg, uint32(r.IntN(2)))
			if t.Failed() {
				return
			}
		}
	}
	if least := tier.Work(1000, 50); d.good < least || d.bad < least {
		t.Errorf("%d messages are good and %d are not, want %d of each", d.good, d.bad, least)
	}
}

func damageSeeds(t testing.TB) [][]byte {
	m := answers(0)
	m.Compress = true
	for _, text := range sampleRecords {
		rr, err := mdns.NewRR("www.example.org. 60 IN " + text)
		if err != nil {
			t.Fatal(err)
		}
		m.Answer = append(m.Answer, rr)
	}
	large := pack(t, m)
	m = answers(3)
	m.Compress = true
	for _, text := range []string{"example.org. NS ns1.example.org.", "example.org. NS ns2.example.org.", "ns1.example.org. A 192.0.2.1",
		"ns2.example.org. AAAA 2001:db8::2", "example.org. SOA ns1.example.org. host\\.master.example.org. 1 2 3 4 5"} {
		rr, err := mdns.NewRR(text)
		if err != nil {
			t.Fatal(err)
		}
		m.Ns = append(m.Ns, rr)
	}
	m.SetEdns0(1232, true)
	m.Extra = append(m.Extra, m.Extra[0])
	return [][]byte{large, pack(t, m), make([]byte, 12), chain(130), chain(120)}
}

// chain is a message whose answers have ever longer chains of pointers as names.
func chain(n int) []byte {
	msg := []byte{0, 7, 0x84, 0, 0, 1, 0, byte(n), 0, 0, 0, 0, 1, 'a', 0, 0, 1, 0, 1}
	target := 12
	for i := range n {
		at := len(msg)
		if i%3 == 0 {
			msg = append(msg, 1, byte('a'+i%26))
		}
		msg = append(msg, 0xc0|byte(target>>8), byte(target), 0, 1, 0, 1, 0, 0, 0, 1, 0, 4, 192, 0, 2, 1)
		target = at
	}
	return msg
}

func damage(r *rand.Rand, seed []byte) []byte {
	msg := bytes.Clone(seed)
	for range 1 + r.IntN(4) {
		i := r.IntN(len(msg))
		switch r.IntN(4) {
		case 0:
			msg[i] = byte(r.Uint32())
		case 1:
			msg[i] = []byte{0, 1, 0xc0, 0x3f, 0xff, 12}[r.IntN(6)]
		case 2:
			msg[i]++
		case 3:
			if i > dns.HeaderLen {
				msg = append(msg[:i], msg[min(len(msg), i+1+r.IntN(3)):]...)
			}
		}
	}
	return msg
}

func TestDifferentialCaptures(t *testing.T) {
	d := newDiffer()
	for payload := range capturedMessages(t) {
		if d.check(t, payload, 0); t.Failed() {
			return
		}
	}
	t.Logf("%d good messages and %d others", d.good, d.bad)
	if d.good == 0 || d.bad == 0 {
		t.Errorf("%d good messages and %d others, want some of each", d.good, d.bad)
	}
}

// TestDifferentialPacketFields: the fields beside the message: addresses, ports, times, texts.
func TestDifferentialPacketFields(t *testing.T) {
	r := rand.New(rand.NewPCG(13, 14))
	j, ref := new(JSON), new(reference)
	addrs := []string{"192.0.2.1", "0.0.0.0", "255.255.255.255", "2001:db8::1", "::", "::ffff:192.0.2.9", "fe80::1%eth0", "2001:db8:1:0:0:1:0:0"}
	times := []int64{0, -1, 1, 1700000000e9, 1700000000e9 + 5000, 1700000000e9 + 123456789, 1700000000e9 + 100000000, -1e18, 9e18, 951782400e9, 1709164799e9 + 999999999}
	for range 5000 {
		e := eventOf(pack(t, query("example.org.")), uint32(r.IntN(2)*r.IntN(100)))
		e.Time = times[r.IntN(len(times))]
		e.Src = netip.AddrPortFrom(netip.MustParseAddr(addrs[r.IntN(len(addrs))]), uint16(r.IntN(2)*r.IntN(65536)))
		e.Dst = netip.AddrPortFrom(netip.MustParseAddr(addrs[r.IntN(len(addrs))]), uint16(r.IntN(2)*r.IntN(65536)))
		e.Proto = event.Proto(1 + r.IntN(2))
		e.Identity, e.Version = []byte(awkward[r.IntN(len(awkward))]), []byte(awkward[r.IntN(len(awkward))])
		if r.IntN(10) == 0 {
			e.Src, e.Dst, e.Identity, e.Version = netip.AddrPort{}, netip.AddrPort{}, nil, nil
		}
		if got, want := j.Append(nil, e), ref.Append(nil, e); !bytes.Equal(got, want) {
			t.Fatalf("got %swant %s", got, want)
		}
	}
}

// FuzzJSONDifferential: both encoders agree on any message.
func FuzzJSONDifferential(f *testing.F) {
	for _, seed := range damageSeeds(f) {
		f.Add(seed, false)
	}
	f.Add(pack(f, query("example.org.")), true)
	f.Fuzz(func(t *testing.T, msg []byte, cut bool) {
		var n uint32
		if cut {
			n = 5
		}
		newDiffer().check(t, msg, n)
	})
}
