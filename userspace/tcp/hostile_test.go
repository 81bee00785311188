//go:build linux

package tcp

import (
	"encoding/binary"
	"math/rand/v2"
	"strings"
	"testing"
	"unsafe"

	"dnsmonster-sensor/test/lab/tier"
	"dnsmonster-sensor/userspace/account"
)

// memory estimates what the table has taken from the system: a map entry costs twice
// its key and value, and a piece of the store has 256 bytes and a link.
func (t *Table) memory() int {
	entry := 2 * int(unsafe.Sizeof(key{})+unsafe.Sizeof(int32(0)))
	return len(t.segments)*int(unsafe.Sizeof(waiting{})) + len(t.streams)*(int(unsafe.Sizeof(stream{}))+entry) + t.store.Pieces()*260
}

// scale is the length of a flood: n in `make test-all`, less in `make test`.
func scale(n int) int {
	return tier.Length(n/20, n)
}

// TestHalfOpenFlood sends SYNs that nothing follows, and between them slow real streams.
func TestHalfOpenFlood(t *testing.T) {
	n := scale(1_000_000)
	const budget = 4 << 20
	b := newRig(t, Config{Bytes: budget})
	q := query(1, 300)
	real := 0
	for i := range n {
		g := syn(int64(i))
		g.Src = binary.BigEndian.AppendUint32(nil, 0xc6330000|uint32(i)&0xffff) // 198.51.0.0/16
		g.SrcPort = uint16(i >> 16)
		b.add(g)
		switch step := at(int64(i), 0, q); i % 2000 {
		case 0:
			step.Seq += uint32(real) << 24
			step.Seq--
			step.Data, step.Flags = nil, flagSYN
			b.add(step)
		case 500:
			step.Seq += uint32(real) << 24
			step.Data = step.Data[:100]
			b.add(step)
		case 1999:
			step.Seq += uint32(real)<<24 + 100
			step.Data = step.Data[100:]
			b.add(step)
			real++
		}
	}
	if len(b.got) != real {
		t.Errorf("%d real messages, want %d", len(b.got), real)
	}
	if memory := b.table.memory(); memory > budget {
		t.Errorf("the table takes %d bytes, limit %d", memory, budget)
	}
	b.flush()
}

// TestOneByteSegments sends a long stream byte by byte, out of order within each window.
func TestOneByteSegments(t *testing.T) {
	n := scale(2_000_000)
	var stream strings.Builder
	messages := 0
	for stream.Len() < n {
		stream.WriteString(query(uint16(messages), 40+messages%400))
		messages++
	}
	all := stream.String()
	rng := rand.New(rand.NewPCG(5, 6))
	b := newRig(t, Config{})
	b.add(syn(0))
	for off := 0; off < len(all); off += 300 {
		for _, i := range rng.Perm(min(300, len(all)-off)) {
			b.add(at(int64(off), off+i, all[off+i:off+i+1]))
		}
	}
	b.flush()
	if len(b.got) != messages || b.count(account.StreamGaps) != 0 {
		t.Errorf("%d messages, %d gaps; want %d and 0", len(b.got), b.count(account.StreamGaps), messages)
	}
}

// TestMessageWithoutRoom: a message that does not fit into the memory is delivered as far as
// it does. One segment counts as overflow, and the next message is read.
func TestMessageWithoutRoom(t *testing.T) {
	b := newRig(t, Config{Bytes: 8192})
	b.add(syn(0))
	data := query(1, 20000) + query(2, 40)
	for off := 0; off < len(data); off += 500 {
		b.add(at(int64(off), off, data[off:min(off+500, len(data))]))
	}
	b.flush()
	if len(b.got) != 2 || !strings.HasPrefix(b.got[0], "1@") || !strings.HasPrefix(b.got[1], "2@") || b.count(account.TCPOverflow) != 1 {
		t.Errorf("messages %q, %d segments without room; want 1, cut, and 2, and 1 segment", b.got, b.count(account.TCPOverflow))
	}
}

// TestOldestGapGivesWay: where room for a stream is needed, the one whose gap is oldest goes,
// even if it has got another segment since.
func TestOldestGapGivesWay(t *testing.T) {
	b := newRig(t, Config{Streams: 2})
	from := func(port uint16, g Segment) Segment { g.SrcPort = port; return g }
	for i, port := range []uint16{1, 2} {
		b.add(from(port, syn(int64(i))))
		b.add(from(port, at(int64(i), 100, query(port, 40))))
	}
	b.add(from(1, at(2, 300, "x")))
	b.add(from(3, syn(3)))
	if len(b.got) != 1 || !strings.HasPrefix(b.got[0], "1@") {
		t.Errorf("messages %q, want that of stream 1", b.got)
	}
	b.flush()
}

// TestGapFlood opens streams that wait for what never comes: the bounds hold
// and no packet is missing from the ledgers.
func TestGapFlood(t *testing.T) {
	const budget = 1 << 20
	b := newRig(t, Config{Bytes: budget})
	for i := range scale(500_000) {
		g := at(int64(i)*1000, 100+i%7*1000, strings.Repeat("x", 1+i%1000))
		g.SrcPort = uint16(i)
		b.add(g)
	}
	if memory := b.table.memory(); memory > budget {
		t.Errorf("the table takes %d bytes, limit %d", memory, budget)
	}
	if b.count(account.TCPOverflow) == 0 {
		t.Error("nothing overflowed: the test shows nothing about the bound")
	}
	b.flush()
}

// TestResynchronise picks up a long stream at many offsets: nearly all messages after
// the offset are read.
func TestResynchronise(t *testing.T) {
	var stream strings.Builder
	for i := range 200 {
		stream.WriteString(query(uint16(i), 200+i))
	}
	all := stream.String()
	for start := 1; start < 2000; start += 37 {
		b := newRig(t, Config{})
		for off := start; off < len(all); off += 1000 {
			b.add(at(1, off, all[off:min(off+1000, len(all))]))
		}
		b.flush()
		if len(b.got) < 185 {
			t.Errorf("picked up at %d: %d messages", start, len(b.got))
		}
	}
}

// FuzzStream plays any segments: no panic, the ledgers balance.
func FuzzStream(f *testing.F) {
	f.Add([]byte(query(1, 40)), []byte{2, 0, 0, 0, 0, 0, 42, 0, 1, 0, 9, 1})
	f.Add([]byte(query(1, 40)+query(2, 50)+transfer(3, 40)), []byte{0, 5, 40, 0, 0, 90, 30, 0, 0, 0, 9, 0, 4, 60, 60, 0})
	f.Fuzz(func(t *testing.T, stream, script []byte) {
		if len(stream) == 0 {
			return
		}
		b := newRig(t, Config{Bytes: 8192, Streams: 3, Segments: 4, WaitingBytes: 2000, GapTimeout: 50, IdleTimeout: 200})
		for now := int64(0); len(script) >= 4; script = script[4:] {
			from := int(script[1]) % len(stream)
			to := min(from+int(script[2]), len(stream))
			g := at(now, from, string(stream[from:to]))
			g.Flags = script[0] & 7
			g.SrcPort = uint16(script[0] >> 3 & 3)
			g.Missing = int(script[3] & 3)
			if script[0]&0x80 != 0 {
				g.Seq += uint32(script[3]) << 24
			}
			now += int64(script[3] >> 2)
			b.add(g)
		}
		b.balance()
		b.flush()
	})
}

// FuzzInOrder: a whole stream gives the same messages however it is cut into segments,
// and in whatever order they come.
func FuzzInOrder(f *testing.F) {
	f.Add([]byte(query(1, 40)+query(2, 50)), uint64(1), uint8(7))
	f.Add([]byte("\x00\x00\x00\x01a\x00"), uint64(2), uint8(1))
	f.Fuzz(func(t *testing.T, stream []byte, seed uint64, size uint8) {
		if len(stream) > 500 {
			stream = stream[:500]
		}
		read := func(cuts []int) string {
			b := newRig(t, Config{})
			b.add(syn(0))
			for _, c := range cuts {
				b.add(at(0, c, string(stream[c:min(c+int(size)+1, len(stream))])))
			}
			b.flush()
			return strings.Join(b.got, " ")
		}
		var cuts []int
		for off := 0; off < len(stream); off += int(size) + 1 {
			cuts = append(cuts, off)
		}
		plain := read(cuts)
		rng := rand.New(rand.NewPCG(seed, 0))
		rng.Shuffle(len(cuts), func(i, j int) { cuts[i], cuts[j] = cuts[j], cuts[i] })
		if mixed := read(cuts); mixed != plain {
			t.Errorf("in order %q, shuffled %q", plain, mixed)
		}
	})
}
