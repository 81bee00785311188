package packet

import (
	"bytes"
	"math/rand/v2"
	"testing"
)

// TestStoreKeepsBytes grows and frees chains at random, and compares them with plain
// slices.
func TestStoreKeepsBytes(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	const limit = 64 * 1024
	s := NewStore(limit)
	chains, want := make([]Chain, 40), make([][]byte, 40)
	refused := 0
	for range 20000 {
		i := rng.IntN(len(chains))
		if rng.IntN(4) == 0 {
			s.Free(&chains[i])
			want[i] = nil
			continue
		}
		b := make([]byte, rng.IntN(700))
		for j := range b {
			b[j] = byte(rng.Uint32())
		}
		if s.Append(&chains[i], b) {
			want[i] = append(want[i], b...)
		} else {
			refused++
		}
		if got := s.AppendTo(nil, chains[i]); !bytes.Equal(got, want[i]) || chains[i].Len() != len(want[i]) {
			t.Fatalf("chain %d holds %d bytes, want %d", i, len(got), len(want[i]))
		}
		if !s.Equal(chains[i], want[i]) || s.Equal(chains[i], append([]byte{1}, want[i]...)) {
			t.Fatalf("Equal is wrong for chain %d", i)
		}
		if s.Used() > limit {
			t.Fatalf("used %d bytes, limit %d", s.Used(), limit)
		}
	}
	if refused == 0 {
		t.Error("the limit was never reached: the test shows nothing about it")
	}
	for i := range chains {
		s.Free(&chains[i])
	}
	if s.Used() != 0 {
		t.Errorf("%d bytes used after everything was freed", s.Used())
	}
}

func TestStoreLimitIsExact(t *testing.T) {
	s := NewStore(1024)
	var a, b Chain
	if !s.Append(&a, make([]byte, 1023)) || !s.Append(&a, make([]byte, 1)) {
		t.Fatal("1024 bytes do not fit into a store of 1024")
	}
	if s.Append(&a, make([]byte, 1)) || s.Append(&b, make([]byte, 1)) {
		t.Error("one byte more than the limit was taken")
	}
	if a.Len() != 1024 || b.Len() != 0 {
		t.Errorf("a refused append changed a chain: %d, %d", a.Len(), b.Len())
	}
}

func TestStoreAllocatesNothing(t *testing.T) {
	s := NewStore(1 << 20)
	var c Chain
	b := make([]byte, 1480)
	run := func() {
		s.Append(&c, b)
		s.Free(&c)
	}
	run()
	if n := testing.AllocsPerRun(1000, run); n != 0 {
		t.Errorf("Append and Free allocate %v times, want 0", n)
	}
}
