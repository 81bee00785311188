package defrag

import (
	"encoding/binary"
	"runtime"
	"strings"
	"testing"

	"dnsmonster-sensor/userspace/account"
)

// TestMemoryIsBounded measures the memory of a table that is full of many datagrams, or
// of many pieces of few.
func TestMemoryIsBounded(t *testing.T) {
	const bytes, packets = 4 << 20, 100_000
	f := func(name, data string, next func(g *Fragment, i int)) {
		t.Helper()
		before := heap()
		b := newRig(t, Config{Bytes: bytes})
		b.table.beginning = func(_ *Datagram, why account.Column) account.Column { return why }
		g := v4(0, true, data)
		for i := range packets {
			g.Stamp = int64(i)
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
	other := func(g *Fragment, i int) { g.ID, g.Src = uint32(i), binary.BigEndian.AppendUint32(nil, uint32(i>>16)) }
	piece := func(g *Fragment, i int) { other(g, i/100); g.Offset = i % 100 * 600 }
	f("tiny ones", "12345678", other)
	f("small ones", strings.Repeat("x", 520), other)
	f("large ones", strings.Repeat("x", 1480), other)
	f("tiny pieces", "12345678", piece)
	f("large pieces", strings.Repeat("x", 520), piece)
}

func heap() int {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int(m.HeapAlloc)
}
