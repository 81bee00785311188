package dedup

import (
	"encoding/binary"
	"testing"
)

func sample() Packet {
	return Packet{
		Src: []byte{192, 0, 2, 1}, Dst: []byte{192, 0, 2, 53}, SrcPort: 40000, DstPort: 53,
		Proto: 17, ID: 7, Data: []byte("a query for example.org"), Time: 1000e9,
	}
}

// TestDefect14Key: a packet captured twice is a duplicate, a retransmission is not.
func TestDefect14Key(t *testing.T) {
	f := func(name string, want bool, change func(*Packet)) {
		t.Helper()
		table := New(Config{})
		p := sample()
		if table.Seen(&p) {
			t.Fatal("the first packet counts as seen")
		}
		change(&p)
		if got := table.Seen(&p); got != want {
			t.Errorf("%s: seen %v, want %v", name, got, want)
		}
	}
	f("the same", true, func(*Packet) {})
	f("50 ms later", true, func(p *Packet) { p.Time += 50e6 })
	f("after 50 ms", false, func(p *Packet) { p.Time += 50e6 + 1 })
	f("50 ms earlier", true, func(p *Packet) { p.Time -= 50e6 })
	f("long before", false, func(p *Packet) { p.Time -= 60e6 })
	f("another IP ID", false, func(p *Packet) { p.ID++ })
	f("source", false, func(p *Packet) { p.Src = []byte{192, 0, 2, 2} })
	f("destination", false, func(p *Packet) { p.Dst = []byte{192, 0, 2, 2} })
	f("source port", false, func(p *Packet) { p.SrcPort++ })
	f("destination port", false, func(p *Packet) { p.DstPort++ })
	f("reversed", false, func(p *Packet) {
		p.Src, p.Dst, p.SrcPort, p.DstPort = p.Dst, p.Src, p.DstPort, p.SrcPort
	})
	f("protocol", false, func(p *Packet) { p.Proto = 6 })
	f("sequence number", false, func(p *Packet) { p.Seq++ })
	f("bytes", false, func(p *Packet) { p.Data = []byte("a query for example.com") })
	f("fewer bytes", false, func(p *Packet) { p.Data = p.Data[:10] })
}

// TestDefect14Bounded: the table does not grow, counts what it forgot too early, and
// knows the newest packets.
func TestDefect14Bounded(t *testing.T) {
	const entries = 100
	table := New(Config{Entries: entries})
	p := sample()
	packet := func(i int) *Packet {
		p.Data = binary.LittleEndian.AppendUint32(p.Data[:0], uint32(i))
		return &p
	}
	const n = 10_000
	for i := range n {
		if table.Seen(packet(i)) {
			t.Fatalf("packet %d counts as seen", i)
		}
	}
	for i := n - entries; i < n; i++ {
		if !table.Seen(packet(i)) {
			t.Errorf("packet %d is forgotten", i)
		}
	}
	if table.Seen(packet(n - entries - 1)) {
		t.Error("more packets are known than the table holds")
	}
	if want := uint64(n - entries + 1); table.Early() != want {
		t.Errorf("early %d, want %d", table.Early(), want)
	}
	before := table.Early()
	p.Time += 1e9
	for i := range entries {
		table.Seen(packet(n + i))
	}
	if table.Early() != before {
		t.Error("what left after its window counts as early")
	}
}

func TestAllocatesNothing(t *testing.T) {
	table := New(Config{Entries: 1000})
	p := sample()
	if n := testing.AllocsPerRun(5000, func() {
		p.Seq++
		table.Seen(&p)
	}); n != 0 {
		t.Errorf("Seen allocates %v times, want 0", n)
	}
}

func BenchmarkSeen(b *testing.B) {
	table := New(Config{})
	p := sample()
	for range b.N {
		p.Seq++
		table.Seen(&p)
	}
}

// TestEarlyWithTwoClocks: a packet that is forgotten outside of the window is not early,
// whichever of two clocks is ahead.
func TestEarlyWithTwoClocks(t *testing.T) {
	table := New(Config{Window: 100, Entries: 1})
	p := sample()
	for _, at := range []int64{37_000, 0, 37_200, 200, 37_400, 400} {
		p.Seq++
		p.Time = at
		table.Seen(&p)
	}
	if table.Early() != 0 {
		t.Errorf("%d forgotten early, want 0", table.Early())
	}
}

// TestSumsAreKeyed: two tables hash a packet differently, so that a sender cannot provoke
// collisions.
func TestSumsAreKeyed(t *testing.T) {
	p := sample()
	a, b := New(Config{}), New(Config{})
	first, again := a.sum(&p), a.sum(&p)
	if first != again || first == b.sum(&p) {
		t.Error("one table's sums of a packet differ, or two tables' are equal")
	}
}

// FuzzSeen plays packets from a small set and compares with a plain list of all: no
// packet is taken for another one or for one outside of the window, and each that was
// not forgotten early is recognised.
func FuzzSeen(f *testing.F) {
	f.Add([]byte{0, 0, 0, 1, 9, 60, 0, 0}, uint8(3))
	f.Add([]byte("0123456789012345678901234567890123456789"), uint8(1))
	f.Fuzz(func(t *testing.T, script []byte, entries uint8) {
		const window = 100
		table := New(Config{Window: window, Entries: int(entries) + 1})
		type capture struct {
			which byte
			time  int64
		}
		var kept []capture
		for now := int64(0); len(script) >= 2; script = script[2:] {
			p, which := sample(), script[0]
			p.SrcPort, p.ID, p.Data = uint16(which>>6), uint16(which>>4&3), p.Data[:which&15]
			now += int64(script[1]) - 64 // packets may be out of order
			p.Time = now
			before := false
			for _, k := range kept {
				before = before || k.which == which && now-k.time <= window && k.time-now <= window
			}
			early := table.Early()
			seen := table.Seen(&p)
			switch {
			case seen && !before:
				t.Fatalf("packet %d at %d counts as seen", which, now)
			case !seen && before && len(kept) <= int(entries)+1:
				t.Fatalf("packet %d at %d is forgotten", which, now)
			case table.Early() > early+1 || seen && table.Early() != early:
				t.Fatalf("%d forgotten early, then %d", early, table.Early())
			}
			if !seen {
				kept = append(kept, capture{which, now})
			}
		}
	})
}
