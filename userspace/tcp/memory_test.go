//go:build linux

package tcp

import (
	"encoding/binary"
	"runtime"
	"strings"
	"testing"
)

// TestMemoryIsBounded measures the memory of a table that is full of half-open streams,
// of streams with gaps, or of streams within a message.
func TestMemoryIsBounded(t *testing.T) {
	const bytes, packets = 4 << 20, 100_000
	f := func(name, data string, next func(g *Segment, i int)) {
		t.Helper()
		before := heap()
		b := newRig(t, Config{Bytes: bytes})
		for i := range packets {
			g := at(int64(i), 0, data)
			g.Src = binary.BigEndian.AppendUint32(nil, 0xc6330000|uint32(i)&0xffff)
			g.SrcPort = uint16(i >> 16)
			next(&g, i)
			b.add(g)
		}
		taken := heap() - before
		t.Logf("%s: %d KiB of %d", name, taken>>10, bytes>>10)
		if taken > bytes || taken < bytes/4 {
			t.Errorf("%s: %d KiB taken, the bound is %d", name, taken>>10, bytes>>10)
		}
		b.flush()
	}
	gap := func(g *Segment, i int) {
		g.Src = binary.BigEndian.AppendUint32(nil, 0xc6330000|uint32(i/2))
		g.Seq += uint32(100 + i&1*1000)
	}
	f("half open", "", func(g *Segment, i int) { g.Flags = flagSYN })
	f("tiny behind gaps", "x", gap)
	f("small behind gaps", strings.Repeat("x", 256), gap)
	f("large behind gaps", strings.Repeat("x", 1400), gap)
	f("within a message", query(1, 600)[:500], func(g *Segment, i int) {})
}

func heap() int {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int(m.HeapAlloc)
}
