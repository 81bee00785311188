package account

import (
	"fmt"
	"testing"
	"unsafe"
)

// A book has as many columns as it has names, and each page room for all.
func TestBookOfManyColumns(t *testing.T) {
	const n = 300
	names := make([]string, n)
	for i := range names {
		names[i] = fmt.Sprint("c", i)
	}
	b := NewBook(names, n-1)
	p, q := b.Page(), b.Page()
	for c := range Column(n) {
		p.Add(c, uint64(c))
		q.Add(c, 1)
	}
	if got := b.Sum(n - 1); got != 0 {
		t.Errorf("%d before Publish, want 0", got)
	}
	p.Publish()
	q.Publish()
	for i, l := range b.Lines(0, n) {
		if l.Name != names[i] || l.Value != uint64(i)+1 || l.Lost != (i == n-1) || l.Unknown {
			t.Errorf("column %d is %+v", i, l)
		}
	}
}

// A column without a name is one that somebody has forgotten.
func TestColumnsHaveNames(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("a book without a column's name is made")
		}
	}()
	NewBook([]string{0: "first", 2: "third"})
}

// Two goroutines that count never write to one cache line.
func TestPagesShareNoCacheLine(t *testing.T) {
	b := NewPacketBook()
	owner := map[uintptr]int{}
	for page := range 50 {
		p := b.Page()
		for i := range p.own {
			for _, at := range []uintptr{uintptr(unsafe.Pointer(&p.own[i])), uintptr(unsafe.Pointer(&p.shared[i]))} {
				if other, taken := owner[at/64]; taken && other != page {
					t.Fatalf("pages %d and %d share a line", other, page)
				}
				owner[at/64] = page
			}
		}
		first, end := uintptr(unsafe.Pointer(&p.own)), uintptr(unsafe.Pointer(&p.shared))+unsafe.Sizeof(p.shared)
		if start := uintptr(unsafe.Pointer(p)); first-start < 64 || start+unsafe.Sizeof(*p)-end < 64 {
			t.Fatal("others may write to the line that holds where a page's numbers are")
		}
	}
}

func TestCountingAllocatesNothing(t *testing.T) {
	p := NewPacketBook().Page()
	if n := testing.AllocsPerRun(100, func() { p.Add(PacketBytes, 80); p.Set(PacketHeld, 1); p.Publish() }); n != 0 {
		t.Errorf("counting allocates %v times, want 0", n)
	}
}

// What is not known is not in a balance, and makes no finding.
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
