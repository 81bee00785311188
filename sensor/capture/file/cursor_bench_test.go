//go:build linux

package file

import (
	"encoding/binary"
	"io"
	"testing"

	"dnsmonster-sensor/userspace/packet"
)

// BenchmarkCursor measures the cost per packet of reading a mapped file, with one lane
// and with a choice of lanes.
func BenchmarkCursor(b *testing.B) {
	frames := make([][]byte, 100_000)
	for i := range frames {
		frames[i] = make([]byte, 90)
	}
	first := func(*packet.Packet) packet.Hash { return 0 }
	f := func(name string, content []byte, lanes int) {
		b.Run(name, func(b *testing.B) {
			path := write(b, content)
			packets := 0
			for b.Loop() {
				s, err := openFiles([]string{path}, lanes, first)
				if err != nil {
					b.Fatal(err)
				}
				var batch packet.Batch
				for {
					if err := s.Lanes()[0].Read(&batch); err == io.EOF {
						break
					}
				}
				packets += len(frames)
				s.unmap()
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(packets), "ns/packet")
		})
	}
	little := pcapFile(binary.LittleEndian, pcapMicros, 1, frames...)
	f("format=pcap/lanes=1", little, 1)
	f("format=pcap/lanes=2", little, 2)
	f("format=swapped/lanes=1", pcapFile(binary.BigEndian, pcapMicros, 1, frames...), 1)
	var ng ngFile
	ng.section(binary.LittleEndian)
	ng.iface(1)
	for _, frame := range frames {
		ng.packet(0, 1, frame)
	}
	f("format=pcapng/lanes=1", ng.b, 1)
	f("format=pcapng/lanes=2", ng.b, 2)
}
