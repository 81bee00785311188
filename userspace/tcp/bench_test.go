//go:build linux

package tcp

import (
	"encoding/binary"
	"strings"
	"testing"

	"dnsmonster-sensor/userspace/account"
)

func BenchmarkAdd(b *testing.B) {
	f := func(name string, segments []Segment, length uint32) {
		b.Run(name, func(b *testing.B) {
			messages := 0
			table := New(Config{}, account.NewPacketCounters().Shard(), func(*Message) { messages++ })
			start := syn(1)
			table.Add(&start)
			b.ReportAllocs()
			for b.Loop() {
				for i := range segments {
					table.Add(&segments[i])
					segments[i].Seq += length
				}
			}
			if messages == 0 {
				b.Fatal("no message was read")
			}
		})
	}
	q := query(1, 300)
	n := uint32(len(q))
	f("a message in each segment", []Segment{at(2, 0, q)}, n)
	f("in order", []Segment{at(2, 0, q[:100]), at(2, 100, q[100:200]), at(2, 200, q[200:])}, n)
	f("out of order", []Segment{at(2, 0, q[:100]), at(2, 200, q[200:]), at(2, 100, q[100:200])}, n)
	f("ten messages in a segment", []Segment{at(2, 0, strings.Repeat(q, 10))}, 10*n)
}

// BenchmarkConnections opens a stream for each query.
func BenchmarkConnections(b *testing.B) {
	messages := 0
	table := New(Config{}, account.NewPacketCounters().Shard(), func(*Message) { messages++ })
	first, data, last := syn(1), at(1, 0, query(1, 60)), flags(at(1, 62, ""), flagFIN)
	port := uint32(0)
	b.ReportAllocs()
	for b.Loop() {
		port++
		for _, g := range [3]*Segment{&first, &data, &last} {
			g.Src = binary.BigEndian.AppendUint32(g.Src[:0:4], 0xc0000000|port>>16)
			g.SrcPort = uint16(port)
			table.Add(g)
		}
	}
	if messages == 0 {
		b.Fatal("no message was read")
	}
}

// BenchmarkSearch searches a segment of a transfer, out of sync, for a message.
func BenchmarkSearch(b *testing.B) {
	data := []byte(strings.Repeat("\x07example\x03org\x00\x00\x10\x00\x01\x00\x00\x0e\x10\x00\x14", 50))
	b.SetBytes(int64(len(data)))
	for b.Loop() {
		for off := range data {
			if assess(data[off:], anywhere) == plausible {
				b.Fatal("a message is found")
			}
		}
	}
}
