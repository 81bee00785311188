package event

import (
	"bytes"
	"math/rand/v2"
	"net/netip"
	"reflect"
	"testing"
	"time"

	"dnsmonster-sensor/userspace/dns"
	"dnsmonster-sensor/userspace/packet"
)

// query is an A query for example.org with an OPT record that sets DO.
var query = []byte("\x00\x07\x01\x00\x00\x01\x00\x00\x00\x00\x00\x01\x07example\x03org\x00\x00\x01\x00\x01" +
	"\x00\x00\x29\x04\xd0\x00\x00\x80\x00\x00\x00")

func sample(i int) *Event {
	e := &Event{
		Time: 1700000000_000000000 + int64(i), Proto: UDP, Direction: packet.DirectionOut,
		Src: netip.MustParseAddrPort("192.0.2.1:53"), Dst: netip.MustParseAddrPort("[2001:db8::2]:40000"),
		HasVLAN: true, VLAN: 7, Interface: 3, Sample: packet.Ratio{Keep: 1, Of: 10}, CaptureCut: 5,
		Identity: []byte("ns1"), Version: []byte("v2"), Message: query,
	}
	if i%2 == 1 {
		e.Selected = []byte{5, 1}
		e.Src, e.Identity, e.HasVLAN, e.VLAN = netip.MustParseAddrPort("[::ffff:192.0.2.1]:53"), nil, false, 0
	}
	dns.Read(e.Message, false, &e.DNS)
	return e
}

func sealed(n int) *Block {
	b := NewBlock(1024)
	for i := range n {
		b.Append(sample(i))
	}
	b.Seal(NewIDs().Next(), time.Unix(1700000001, 0))
	return b
}

func TestBlockGivesBackWhatWasAppended(t *testing.T) {
	b := sealed(100)
	opened, err := OpenBlock(bytes.Clone(b.Bytes()))
	if err != nil {
		t.Fatal(err)
	}
	if opened.ID() != b.ID() || !opened.Sealed().Equal(b.Sealed()) || opened.Len() != 100 {
		t.Errorf("id %s, sealed %s, %d events", opened.ID(), opened.Sealed(), opened.Len())
	}
	var e Event
	r := opened.Reader()
	for i := range 100 {
		if !r.Next(&e) {
			t.Fatalf("event %d is missing", i)
		}
		if want := sample(i); !reflect.DeepEqual(&e, want) {
			t.Fatalf("event %d is\n%+v\nwant\n%+v", i, &e, want)
		}
	}
	if r.Next(&e) {
		t.Error("the block has more events than were appended")
	}
}

func TestBlockIDsDiffer(t *testing.T) {
	a, b := NewIDs(), NewIDs()
	seen := map[ID]bool{}
	for range 100 {
		seen[a.Next()], seen[b.Next()] = true, true
	}
	if len(seen) != 200 {
		t.Errorf("%d different ids of 200", len(seen))
	}
}

func TestDamagedBlockIsNeverOpened(t *testing.T) {
	whole := sealed(10).Bytes()
	r := rand.New(rand.NewPCG(1, 2))
	for range 5000 {
		damaged := bytes.Clone(whole)
		if r.IntN(4) == 0 {
			damaged = damaged[:r.IntN(len(damaged))]
		} else {
			damaged[r.IntN(len(damaged))] ^= 1 << r.IntN(8)
		}
		if _, err := OpenBlock(damaged); err == nil {
			t.Fatal("a damaged block was opened")
		}
	}
}

// TestForgedQuestion: a block with an event that claims a missing question is not
// opened, although all checksums are right.
func TestForgedQuestion(t *testing.T) {
	for n := dns.HeaderLen; n <= len(query); n++ {
		e := sample(0)
		whole := n >= dns.HeaderLen+len("\x07example\x03org\x00")+4
		e.Message = query[:n]
		b := NewBlock(1024)
		b.Append(sample(0))
		b.Append(e)
		b.Seal(NewIDs().Next(), time.Now())
		if _, err := OpenBlock(b.Bytes()); (err == nil) != whole {
			t.Errorf("with %d bytes of %d: %v", n, len(query), err)
		}
	}
}

func TestAppendDoesNotAllocate(t *testing.T) {
	b, e := NewBlock(256<<10), sample(0)
	if n := testing.AllocsPerRun(1000, func() { b.Reset(); b.Append(e) }); n != 0 {
		t.Errorf("Append allocates %v times, want 0", n)
	}
	all := append(version1Events(), version2Events()...)
	if n := testing.AllocsPerRun(100, func() {
		b.Reset()
		for i := range all {
			b.Append(&all[i])
		}
	}); n != 0 {
		t.Errorf("Append of every kind allocates %v times, want 0", n)
	}
	var got Event
	for _, name := range []string{"block-v1", "block-v2"} {
		stored, err := OpenBlock(readFile(t, name))
		if err != nil {
			t.Fatal(err)
		}
		if n := testing.AllocsPerRun(100, func() {
			r := stored.Reader()
			for r.Next(&got) {
			}
		}); n != 0 {
			t.Errorf("%s: Next allocates %v times, want 0", name, n)
		}
	}
}

func FuzzOpenBlock(f *testing.F) {
	f.Add(sealed(3).Bytes())
	f.Add(readFile(f, "block-v1"))
	f.Add(storedBlock(append(version1Events(), version2Events()...)))
	f.Fuzz(func(t *testing.T, stored []byte) {
		b, err := OpenBlock(stored)
		if err != nil {
			return
		}
		var e Event
		n := 0
		for r := b.Reader(); r.Next(&e); n++ {
		}
		if n != b.Len() {
			t.Fatalf("%d events, header says %d", n, b.Len())
		}
		for range e.Fields.All() {
		}
	})
}

func BenchmarkAppend(b *testing.B) {
	f := func(name string, e *Event) {
		b.Run(name, func(b *testing.B) {
			block := NewBlock(256 << 10)
			b.SetBytes(int64(len(e.Message)))
			for b.Loop() {
				if block.Size() > 200<<10 {
					block.Reset()
				}
				block.Append(e)
			}
		})
	}
	f("core", captured())
	f("identity", sample(0))
}

// captured is an event of a packet.
func captured() *Event {
	e := sample(0)
	e.Identity, e.Version = nil, nil
	return e
}

func BenchmarkReader(b *testing.B) {
	f := func(name string, e *Event) {
		b.Run(name, func(b *testing.B) {
			block := NewBlock(256 << 10)
			for range 1000 {
				block.Append(e)
			}
			var got Event
			b.ReportAllocs()
			for b.Loop() {
				for r := block.Reader(); r.Next(&got); {
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/1000, "ns/event")
		})
	}
	f("core", captured())
	f("identity", sample(0))
}
