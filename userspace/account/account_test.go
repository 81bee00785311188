package account

import (
	"fmt"
	"testing"
	"unsafe"
)

// Counters have a column for each name, and each shard has room for all of them.
func TestManyColumns(t *testing.T) {
	const n = 300
	names := make([]string, n)
	for i := range names {
		names[i] = fmt.Sprint("c", i)
	}
	c := NewCounters(names, n-1)
	s, u := c.Shard(), c.Shard()
	for column := range Column(n) {
		s.Add(column, uint64(column))
		u.Add(column, 1)
	}
	if got := c.Sum(n - 1); got != 0 {
		t.Errorf("%d before Publish, want 0", got)
	}
	s.Publish()
	u.Publish()
	for i, l := range c.Lines(0, n) {
		if l.Name != names[i] || l.Value != uint64(i)+1 || l.Lost != (i == n-1) || l.Unknown {
			t.Errorf("column %d is %+v", i, l)
		}
	}
}

// A column without a name was forgotten in the table of names.
func TestColumnsHaveNames(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("NewCounters accepts a column without a name")
		}
	}()
	NewCounters([]string{0: "first", 2: "third"})
}

// Two counting goroutines never write to the same cache line.
func TestShardsShareNoCacheLine(t *testing.T) {
	c := NewPacketCounters()
	owner := map[uintptr]int{}
	for shard := range 50 {
		s := c.Shard()
		for i := range s.own {
			for _, at := range []uintptr{uintptr(unsafe.Pointer(&s.own[i])), uintptr(unsafe.Pointer(&s.shared[i]))} {
				if other, taken := owner[at/64]; taken && other != shard {
					t.Fatalf("shards %d and %d share a line", other, shard)
				}
				owner[at/64] = shard
			}
		}
		first, end := uintptr(unsafe.Pointer(&s.own)), uintptr(unsafe.Pointer(&s.shared))+unsafe.Sizeof(s.shared)
		if start := uintptr(unsafe.Pointer(s)); first-start < 64 || start+unsafe.Sizeof(*s)-end < 64 {
			t.Fatal("others may write to the line that holds the address of a shard's numbers")
		}
	}
}

func TestCountingAllocatesNothing(t *testing.T) {
	s := NewPacketCounters().Shard()
	if n := testing.AllocsPerRun(100, func() { s.Add(PacketBytes, 80); s.Set(PacketHeld, 1); s.Publish() }); n != 0 {
		t.Errorf("counting allocates %v times, want 0", n)
	}
}

// Where a number is unknown there is no balance, and nothing is unaccounted for.
func TestUnknownIsNotUnaccounted(t *testing.T) {
	f := func(l Ledger, balanced bool, unaccounted int64) {
		t.Helper()
		if l.Balanced() != balanced || l.Unaccounted() != unaccounted {
			t.Errorf("%+v: balanced %v, unaccounted %d", l, l.Balanced(), l.Unaccounted())
		}
	}
	f(Ledger{In: 5, Outcomes: []Line{{Name: "a", Value: 2}}, Held: 1}, true, 2)
	f(Ledger{InUnknown: true, Outcomes: []Line{{Name: "a", Value: 2}}}, false, 0)
	f(Ledger{In: 5, Outcomes: []Line{{Name: "a", Value: 2}, {Name: "b", Unknown: true}}}, false, 0)
	f(Ledger{In: 2, Outcomes: []Line{{Name: "a", Value: 2}}, Meters: []Line{{Name: "m", Unknown: true}}}, true, 0)
}
