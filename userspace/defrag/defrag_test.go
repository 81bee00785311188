package defrag

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"unsafe"

	"dnsmonster-sensor/test/lab/tier"
	"dnsmonster-sensor/userspace/account"
)

var (
	src4, dst4 = []byte{192, 0, 2, 1}, []byte{192, 0, 2, 53}
	src6       = []byte{0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1}
	dst6       = []byte{0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 53}
)

// rig is a table with its ledgers: every fragment that goes in must come out.
type rig struct {
	t        *testing.T
	table    *Table
	counters *account.Counters
	shard    *account.Shard
	in       uint64
	got      []string // datagrams' data
	cut      []string // beginnings, and how much is missing; + where that is a lower bound
	last     Datagram
}

func newRig(t *testing.T, cfg Config) *rig {
	counters := account.NewPacketCounters()
	shard := counters.Shard()
	b := &rig{t: t, counters: counters, shard: shard}
	b.table = New(cfg, shard, b.beginning)
	return b
}

func (b *rig) beginning(d *Datagram, why account.Column) account.Column {
	text := fmt.Sprintf("%.40s-%d", d.Data, d.Missing)
	if d.EndUnknown {
		text += "+"
	}
	b.cut = append(b.cut, text)
	if why == account.FragmentOverlap || len(d.Data) == 0 || d.Missing <= 0 {
		b.t.Errorf("a beginning of %d bytes, %d missing, for reason %d", len(d.Data), d.Missing, why)
	}
	if d.Data[0] == 'x' { // as if no message could be read from it
		return why
	}
	return account.FragmentCut
}

func (b *rig) add(f Fragment) account.Column {
	b.in++
	b.table.Expire(sharedClock(f.Stamp))
	f.Packets = 1
	d, c := b.table.Add(&f)
	switch {
	case d != nil:
		b.got = append(b.got, string(d.Data))
		b.last = *d
		b.shard.Add(account.FragmentUsed, uint64(d.Packets))
		c = account.FragmentUsed
	case c != account.PacketHeld:
		b.shard.Add(c, 1)
	}
	b.shard.Set(account.PacketHeld, b.table.Held())
	return c
}

// sharedClock is a clock that shows now, for Expire.
func sharedClock(now int64) func(time int64) int64 {
	return func(time int64) int64 { return now - time }
}

func (b *rig) balance() {
	b.t.Helper()
	b.shard.Publish()
	l := account.PacketLedger(b.counters, func() uint64 { return b.in })
	if l.Unaccounted() != 0 {
		b.t.Errorf("%d packets unaccounted for: %+v", l.Unaccounted(), l)
	}
}

func (b *rig) flush() {
	b.t.Helper()
	b.table.Flush()
	b.shard.Set(account.PacketHeld, b.table.Held())
	b.balance()
	if b.table.Held() != 0 || b.table.store.Used() != 0 || b.table.piecesUsed != 0 || len(b.table.index) != 0 {
		b.t.Errorf("after Flush: held %d, bytes %d, pieces %d, datagrams %d", b.table.Held(),
			b.table.store.Used(), b.table.piecesUsed, len(b.table.index))
	}
}

func (b *rig) count(c account.Column) uint64 {
	b.shard.Publish()
	return b.counters.Sum(c)
}

func v4(off int, more bool, data string) Fragment {
	return Fragment{Src: src4, Dst: dst4, ID: 7, Proto: 17, Offset: off, More: more, Data: []byte(data)}
}

func v6(off int, more bool, data string) Fragment {
	return Fragment{Src: src6, Dst: dst6, ID: 7, Proto: 17, Offset: off, More: more, Data: []byte(data)}
}

const (
	held    = account.PacketHeld
	used    = account.FragmentUsed
	dup     = account.Duplicate
	overlap = account.FragmentOverlap
	bad     = account.PacketMalformed
)

func TestReassembly(t *testing.T) {
	f := func(name string, frags []Fragment, outcomes []account.Column, want ...string) {
		t.Run(name, func(t *testing.T) {
			b := newRig(t, Config{})
			for i, frag := range frags {
				if got := b.add(frag); got != outcomes[i] {
					t.Errorf("fragment %d: outcome %d, want %d", i, got, outcomes[i])
				}
			}
			if len(b.got) != len(want) {
				t.Fatalf("%d datagrams %q, want %d", len(b.got), b.got, len(want))
			}
			for i := range want {
				if b.got[i] != want[i] {
					t.Errorf("datagram %d is %q, want %q", i, b.got[i], want[i])
				}
			}
			b.balance()
			b.flush()
		})
	}
	type fs = []Fragment
	type cs = []account.Column
	const whole = "aaaaaaaabbbbbbbbcc"
	for name, v := range map[string]func(int, bool, string) Fragment{"IPv4 ": v4, "IPv6 ": v6} {
		a, b, c := v(0, true, "aaaaaaaa"), v(8, true, "bbbbbbbb"), v(16, false, "cc")
		f(name+"in order", fs{a, b, c}, cs{held, held, used}, whole)
		f(name+"last first", fs{c, b, a}, cs{held, held, used}, whole)
		f(name+"middle last", fs{c, a, b}, cs{held, held, used}, whole)
		f(name+"middle first", fs{b, a, c}, cs{held, held, used}, whole)
		f(name+"duplicates", fs{a, a, c, c, b}, cs{held, dup, held, dup, used}, whole)
		f(name+"incomplete", fs{a, c}, cs{held, held})
		f(name+"not a multiple of 8", fs{v(0, true, "aaaaaaa")}, cs{bad})
		f(name+"empty", fs{v(8, false, "")}, cs{bad})
		f(name+"beyond 65535", fs{v(65528, false, "aaaaaaaa")}, cs{bad})
		f(name+"one after the other", fs{a, b, c, a, b, c}, cs{held, held, used, held, held, used}, whole, whole)
	}
	// RFC 5722: an overlap discards the datagram with its later fragments.
	f("IPv6 overlap", fs{v6(0, true, "aaaaaaaabbbbbbbb"), v6(8, true, "bbbbbbbb"), v6(16, false, "cc"), v6(0, true, "aaaaaaaabbbbbbbb")},
		cs{held, overlap, overlap, overlap})
	f("IPv6 overlap from the left", fs{v6(8, true, "bbbbbbbb"), v6(0, true, "aaaaaaaabbbbbbbb"), v6(16, false, "cc")}, cs{held, overlap, overlap})
	f("IPv6 same offset, other bytes", fs{v6(0, true, "aaaaaaaa"), v6(0, true, "xxxxxxxx"), v6(8, false, "b")}, cs{held, overlap, overlap})
	f("IPv6 two ends", fs{v6(8, false, "bb"), v6(8, false, "bbb"), v6(0, true, "aaaaaaaa")}, cs{held, overlap, overlap})
	f("IPv6 after the end", fs{v6(0, false, "aa"), v6(8, false, "aa")}, cs{used, held}, "aa")
	f("IPv6 odd length", fs{v6(0, true, "aaaaaaaabbb"), v6(8, false, "bb")}, cs{bad, held})
	f("IPv4 odd length", fs{v4(0, true, "aaaaaaaabbb"), v4(8, false, "cc")}, cs{held, used}, "aaaaaaaacc")
	// IPv4: what came first stays.
	f("IPv4 overlap, later loses", fs{v4(0, true, "aaaaaaaa"), v4(0, true, "xxxxxxxxbbbbbbbb"), v4(16, false, "cc")}, cs{held, held, used}, whole)
	f("IPv4 overlap from the left", fs{v4(8, true, "bbbbbbbb"), v4(0, true, "aaaaaaaaxxxxxxxx"), v4(16, false, "cc")}, cs{held, held, used}, whole)
	f("IPv4 fills two gaps", fs{v4(8, true, "bbbbbbbb"), v4(0, false, "aaaaaaaaxxxxxxxxcc")}, cs{held, used}, whole)
	f("IPv4 all covered", fs{v4(0, true, "aaaaaaaabbbbbbbb"), v4(8, true, "xxxxxxxx"), v4(16, false, "cc")}, cs{held, overlap, used}, whole)
	f("IPv4 covered, but the last", fs{v4(0, true, "aaaaaaaabbbbbbbb"), v4(8, false, "xxxxxxxx")}, cs{held, used}, "aaaaaaaabbbbbbbb")
	f("IPv4 second end is ignored", fs{v4(16, false, "cc"), v4(16, false, "ccc"), v4(8, false, "b"), v4(0, true, "aaaaaaaabbbbbbbb")},
		cs{held, overlap, overlap, used}, whole)
}

// TestDefect12PacketTime: timeouts count packet time, not the system's.
func TestDefect12PacketTime(t *testing.T) {
	b := newRig(t, Config{Timeout: 30e9})
	later := func(f Fragment, seconds int64) Fragment {
		f.InterfaceTime = 1_500_000_000e9 + seconds*1e9
		return f
	}
	b.add(later(v4(0, true, "aaaaaaaa"), 0))
	if got := b.add(later(v4(8, false, "b"), 30)); got != used {
		t.Errorf("completed after 30 s of packet time: outcome %d, want %d", got, used)
	}
	b.add(later(v4(0, true, "xxxxxxxx"), 40))
	if got := b.add(later(v4(8, false, "b"), 71)); got != held {
		t.Errorf("completed after 31 s of packet time: outcome %d, want %d", got, held)
	}
	if n := b.count(account.FragmentExpired); n != 1 {
		t.Errorf("%d expired, want 1", n)
	}
	b.table.Expire(sharedClock(30e9))
	if b.table.Held() != 1 {
		t.Errorf("%d held after 30 s of the shared clock, want 1", b.table.Held())
	}
	b.table.Expire(sharedClock(31e9))
	if b.table.Held() != 0 {
		t.Errorf("%d held after Expire", b.table.Held())
	}
	b.flush()
}

// TestKey: a fragment that differs in any part of the key belongs to another datagram.
func TestKey(t *testing.T) {
	f := func(name string, change func(*Fragment), same bool) {
		b := newRig(t, Config{})
		b.add(v4(0, true, "aaaaaaaa"))
		second := v4(8, false, "b")
		change(&second)
		if got := b.add(second); got == used != same {
			t.Errorf("%s: outcome %d, same datagram: want %v", name, got, same)
		}
		b.flush()
	}
	f("nothing", func(*Fragment) {}, true)
	f("source", func(f *Fragment) { f.Src = []byte{192, 0, 2, 2} }, false)
	f("destination", func(f *Fragment) { f.Dst = []byte{192, 0, 2, 2} }, false)
	f("id", func(f *Fragment) { f.ID = 8 }, false)
	f("protocol", func(f *Fragment) { f.Proto = 6 }, false)
	f("VLAN", func(f *Fragment) { f.Origin.VLAN, f.Origin.HasVLAN = 1, true }, false)
	f("tunnel", func(f *Fragment) { f.Origin.Path = 1 }, false)
	f("interface", func(f *Fragment) { f.Origin.Interface = 1 }, false)
	b := newRig(t, Config{})
	b.add(v6(0, true, "aaaaaaaa"))
	second := v6(8, false, "b")
	second.Proto = 99
	if got := b.add(second); got != used || b.last.Proto != 17 {
		t.Errorf("IPv6: outcome %d, protocol %d: want the first fragment's, 17", got, b.last.Proto)
	}
}

func TestCutByTheCapture(t *testing.T) {
	b := newRig(t, Config{})
	first := v4(0, true, "aaaa")
	first.Missing = 4
	b.add(first)
	b.add(v4(8, true, "bbbbbbbb"))
	b.add(v4(16, false, "cc"))
	if b.last.Missing != 14 || string(b.last.Data) != "aaaa" {
		t.Errorf("data %q, missing %d: want the bytes before the cut, aaaa, and 14", b.last.Data, b.last.Missing)
	}
	end := v4(8, false, "b")
	end.Missing = 1
	b.add(v4(0, true, "aaaaaaaa"))
	b.add(end)
	if b.last.Missing != 1 || string(b.last.Data) != "aaaaaaaab" {
		t.Errorf("data %q, missing %d: want aaaaaaaab and 1", b.last.Data, b.last.Missing)
	}
	b.flush()
}

func TestBounds(t *testing.T) {
	t.Run("fragments of a datagram", func(t *testing.T) {
		b := newRig(t, Config{Fragments: 4})
		for i := range 4 {
			b.add(v4(i*8, true, "aaaaaaaa"))
		}
		if got := b.add(v4(32, true, "aaaaaaaa")); got != account.FragmentOverflow || b.table.Held() != 0 {
			t.Errorf("fifth fragment: outcome %d, held %d", got, b.table.Held())
		}
		if n := b.count(account.FragmentOverflow); n != 1 || b.count(account.FragmentCut) != 4 {
			t.Errorf("overflow %d, cut %d, want 1 and 4", n, b.count(account.FragmentCut))
		}
		b.flush()
	})
	t.Run("datagrams, oldest first", func(t *testing.T) {
		b := newRig(t, Config{Datagrams: 2})
		for id := range uint32(3) {
			f := v4(0, true, "xxxxxxxx")
			f.ID = id
			b.add(f)
		}
		for id, want := range []account.Column{held, used, used} {
			f := v4(8, false, "b")
			f.ID = uint32(id)
			if id == 0 {
				continue
			}
			if got := b.add(f); got != want {
				t.Errorf("datagram %d: outcome %d, want %d", id, got, want)
			}
		}
		if n := b.count(account.FragmentOverflow); n != 1 {
			t.Errorf("overflow %d, want 1: the oldest", n)
		}
		b.flush()
	})
	t.Run("bytes, oldest first", func(t *testing.T) {
		b := newRig(t, Config{Bytes: 8192}) // 4096 for fragments
		big := strings.Repeat("x", 2048)
		for id := range uint32(3) {
			f := v4(0, true, big)
			f.ID = id
			b.add(f)
		}
		if n := b.count(account.FragmentOverflow); n != 1 || b.table.Held() != 2 {
			t.Errorf("overflow %d, held %d: want 1 and 2", n, b.table.Held())
		}
		f := v4(0, true, string(make([]byte, 8000)))
		f.ID = 9
		if got := b.add(f); got != account.FragmentOverflow {
			t.Errorf("larger than the table: outcome %d", got)
		}
		b.flush()
	})
}

// TestFloodKeepsRealDatagrams sends fragments of datagrams that stay incomplete, and
// real datagrams between them.
func TestFloodKeepsRealDatagrams(t *testing.T) {
	n := tier.Length(250_000, 5_000_000)
	const budget = 1 << 20
	b := newRig(t, Config{Bytes: budget})
	data := make([]byte, 1480)
	real := 0
	for i := range n {
		f := Fragment{Src: src4, Dst: dst4, Proto: 17, ID: uint32(i), Offset: i % 40 * 1480, More: true, Data: data[:8+i%184*8], InterfaceTime: int64(i) * 1000, Stamp: int64(i) * 1000}
		b.add(f)
		if i%1000 == 0 {
			b.add(v6(8, false, "b"))
			b.add(v6(0, true, "aaaaaaaa"))
			real++
		}
	}
	if len(b.got) != real {
		t.Errorf("%d real datagrams, want %d", len(b.got), real)
	}
	if memory := b.table.memory(); memory > budget {
		t.Errorf("the table takes %d bytes, limit %d", memory, budget)
	}
	b.balance()
	b.flush()
}

// memory estimates what the table has taken from the system: a map entry costs twice
// its key and value, and a piece of the store has 256 bytes and a link.
func (t *Table) memory() int {
	entry := 2 * int(unsafe.Sizeof(key{})+unsafe.Sizeof(int32(0)))
	return len(t.pieces)*int(unsafe.Sizeof(piece{})) + len(t.datagrams)*(int(unsafe.Sizeof(datagram{}))+entry) + t.store.Pieces()*260
}

func TestAllocatesNothing(t *testing.T) {
	b := newRig(t, Config{})
	first, last := v6(0, true, "aaaaaaaa"), v6(8, false, "b")
	run := func() {
		b.table.Add(&first)
		b.table.Add(&last)
	}
	run()
	if n := testing.AllocsPerRun(1000, run); n != 0 {
		t.Errorf("two fragments allocate %v times, want 0", n)
	}
}

// TestRandomDatagrams shuffles the fragments of random datagrams: each comes out as it was.
func TestRandomDatagrams(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	b := newRig(t, Config{})
	for id := range uint32(500) {
		want := make([]byte, 1+rng.IntN(4000))
		for i := range want {
			want[i] = byte(rng.Uint32())
		}
		var frags []Fragment
		for off := 0; off < len(want); {
			n := min(8*(1+rng.IntN(60)), len(want)-off)
			f := v4(off, off+n < len(want), string(want[off:off+n]))
			f.ID = id
			frags = append(frags, f)
			off += n
		}
		rng.Shuffle(len(frags), func(i, j int) { frags[i], frags[j] = frags[j], frags[i] })
		for _, f := range frags {
			b.add(f)
		}
		if len(b.got) != int(id)+1 || b.got[id] != string(want) {
			t.Fatalf("datagram %d differs", id)
		}
	}
	b.flush()
}

// FuzzAdd plays any sequence of fragments: no panic, the ledgers balance, and no
// completed datagram is longer than its fragments said.
func FuzzAdd(f *testing.F) {
	f.Add([]byte{0, 1, 8, 0, 1, 0, 4, 0, 0, 1, 8, 1})
	f.Add([]byte{1, 0, 16, 7, 1, 1, 16, 7, 1, 0, 16, 7, 1, 2, 3, 2})
	f.Fuzz(func(t *testing.T, script []byte) {
		b := newRig(t, Config{Bytes: 16384, Datagrams: 3, Fragments: 5, Timeout: 100})
		data := bytes.Repeat([]byte("0123456789"), 300)
		for now := int64(0); len(script) >= 4; script = script[4:] {
			x := binary.LittleEndian.Uint32(script)
			g := v4(int(x>>8&0xff)*8, x&4 != 0, string(data[x>>16&7:][:x>>16&0x3ff]))
			if x&1 != 0 {
				g.Src, g.Dst = src6, dst6
			}
			if x&2 != 0 {
				g.Offset = 0
			}
			g.ID, g.Missing = x>>26&3, int(x>>28&3)
			now += int64(x >> 30)
			g.InterfaceTime, g.Stamp = now, now
			b.add(g)
			if len(b.last.Data)+b.last.Missing > maxDatagram {
				t.Fatalf("a datagram of %d bytes", len(b.last.Data)+b.last.Missing)
			}
		}
		b.balance()
		b.flush()
	})
}
