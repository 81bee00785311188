package event

import (
	"bytes"
	"math"
	"reflect"
	"testing"
	"time"
)

// open is an unsealed block of n events, numbered from first on.
func open(first, n int) *Block {
	b := NewBlock(64)
	for i := range n {
		b.Append(sample(first + i))
	}
	return b
}

// TestJoin: events move whole and in order, as many as the limits allow.
func TestJoin(t *testing.T) {
	one, two := open(0, 1).Size()-BlockHeaderLen, open(0, 2).Size()-BlockHeaderLen
	f := func(what string, events, size int, want ...int) {
		t.Helper()
		p, q := open(0, 5).Part(), open(5, 6).Part()
		var got []int
		next := 0
		for b := NewBlock(0); p.Len()+q.Len() > 0; b = NewBlock(0) {
			n := b.Join(&p, events, size)
			if p.Len() == 0 {
				n += b.Join(&q, events, size)
			}
			if n == 0 || n != b.Len() {
				t.Fatalf("%s: %d events were joined, the block has %d", what, n, b.Len())
			}
			if b.Cap() > max(size, BlockHeaderLen+two) {
				t.Errorf("%s: the block takes %d bytes", what, b.Cap())
			}
			got = append(got, n)
			b.Seal(NewIDs().Next(), time.Now())
			read, err := OpenBlock(bytes.Clone(b.Bytes()))
			if err != nil {
				t.Fatal(err)
			}
			var e Event
			for r := read.Reader(); r.Next(&e); next++ {
				if want := sample(next); !reflect.DeepEqual(&e, want) {
					t.Fatalf("%s: event %d is\n%+v\nwant\n%+v", what, next, &e, want)
				}
			}
		}
		if !reflect.DeepEqual(got, want) || next != 11 {
			t.Errorf("%s: blocks of %v events, want %v", what, got, want)
		}
	}
	f("no limit", math.MaxInt, 1<<20, 11)
	f("four events", 4, 1<<20, 4, 4, 3)
	f("six events, of both parts", 6, 1<<20, 6, 5)
	f("bytes for two events", math.MaxInt, BlockHeaderLen+two, 2, 2, 2, 2, 2, 1)
	f("one byte less", math.MaxInt, BlockHeaderLen+two-1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1)
	f("no room for one", math.MaxInt, BlockHeaderLen+one-1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1)
}

// TestJoinWithinItsMemory: joining does not allocate if the block has enough memory, and
// Compact copies only blocks that waste memory.
func TestJoinWithinItsMemory(t *testing.T) {
	b, from := NewBlock(64<<10), open(0, 200)
	if n := testing.AllocsPerRun(100, func() {
		b.Reset()
		p := from.Part()
		b.Join(&p, math.MaxInt, 64<<10)
	}); n != 0 {
		t.Errorf("Join allocates %v times, want 0", n)
	}
	if b.Compact(0); b.Cap() != NewBlock(64<<10).Cap() {
		t.Error("a block that is more than a quarter full was copied")
	}
	b = NewBlock(64 << 10)
	b.Append(sample(1))
	want := bytes.Clone(b.Bytes())
	if b.Compact(b.Cap()); b.Cap() == len(want) {
		t.Error("a block within the given size was copied")
	}
	if b.Compact(0); b.Cap() != len(want) || !bytes.Equal(b.Bytes(), want) {
		t.Errorf("%d bytes hold %d bytes of memory, want as many as they are", len(want), b.Cap())
	}
}

func BenchmarkJoin(b *testing.B) {
	from := open(0, 1400)
	into := NewBlock(16 << 20)
	b.SetBytes(int64(from.Size()))
	for b.Loop() {
		if into.Size() > 15<<20 {
			into.Reset()
		}
		p := from.Part()
		into.Join(&p, math.MaxInt, 16<<20)
	}
}

// TestAdopt: the events of adopted blocks follow, in order, in memory and as stored, and
// later ones are copied behind them.
func TestAdopt(t *testing.T) {
	b, second, empty := open(0, 5), open(5, 3), NewBlock(1000)
	b.Adopt(second)
	b.Adopt(empty)
	capacity := b.Cap()
	rest := open(8, 4).Part()
	if n := b.Join(&rest, 10, math.MaxInt); n != 2 || b.Len() != 10 {
		t.Errorf("%d events were joined, the block has %d", n, b.Len())
	}
	sum := 0
	for _, p := range []*Block{b, second, empty} {
		sum += cap(p.buf)
	}
	if b.Last() != empty || empty.Len() != 2 || b.Cap() != capacity || capacity != sum {
		t.Errorf("the last part has %d events, %d bytes of memory", empty.Len(), b.Cap()-capacity)
	}
	b.Seal(NewIDs().Next(), time.Now())
	stored := bytes.Join(b.Pieces(), nil)
	if len(b.Pieces()) != 3 || len(stored) != b.Size() || !bytes.Equal(stored, b.Bytes()) {
		t.Errorf("%d pieces of %d bytes, the block has %d", len(b.Pieces()), len(stored), b.Size())
	}
	read, err := OpenBlock(stored)
	if err != nil {
		t.Fatal(err)
	}
	for what, b := range map[string]*Block{"in memory": b, "stored": read} {
		next := 0
		var e Event
		for r := b.Reader(); r.Next(&e); next++ {
			if want := sample(next); !reflect.DeepEqual(&e, want) {
				t.Fatalf("%s: event %d is\n%+v\nwant\n%+v", what, next, &e, want)
			}
		}
		if next != 10 {
			t.Errorf("%s: %d events", what, next)
		}
	}
	var free []*Block
	b.Disband(func(b *Block) { free = append(free, b) })
	if !reflect.DeepEqual(free, []*Block{second, empty, b}) {
		t.Errorf("%d blocks are free", len(free))
	}
	for _, b := range free {
		if b.Len() != 0 || b.Size() != BlockHeaderLen {
			t.Errorf("a free block has %d events", b.Len())
		}
		b.Append(sample(1))
	}
}

// TestAdoptOnlyOpenBlocks: what would lose or mix events is a panic.
func TestAdoptOnlyOpenBlocks(t *testing.T) {
	f := func(what string, do func(b *Block)) {
		defer func() {
			if recover() == nil {
				t.Error(what + ": no panic")
			}
		}()
		b := open(0, 2)
		b.Adopt(open(2, 2))
		do(b)
	}
	sealed := open(0, 1)
	sealed.Seal(NewIDs().Next(), time.Now())
	f("a sealed block", func(b *Block) { b.Adopt(sealed) })
	f("after sealing", func(b *Block) { b.Seal(NewIDs().Next(), time.Now()); b.Adopt(open(0, 1)) })
	f("a block with parts", func(b *Block) { open(0, 1).Adopt(b) })
	f("an event after a part", func(b *Block) { b.Append(sample(1)) })
	f("a part of parts", func(b *Block) { b.Part() })
}
