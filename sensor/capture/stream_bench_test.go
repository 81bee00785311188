package capture

import (
	"encoding/binary"
	"io"
	"testing"

	"dnsmonster-sensor/userspace/packet"
)

// BenchmarkWalk is what it costs a lane to walk a packet of a mapped file: one
// that it keeps, and one of another lane.
func BenchmarkWalk(b *testing.B) {
	frames := make([][]byte, 100_000)
	for i := range frames {
		frames[i] = make([]byte, 90)
	}
	mine := func(*packet.Packet) packet.Hash { return 0 }
	f := func(name string, content []byte, lanes, lane int) {
		b.Run(name, func(b *testing.B) {
			path := write(b, content)
			packets := 0
			for b.Loop() {
				s, err := openFiles([]string{path}, lanes, mine)
				if err != nil {
					b.Fatal(err)
				}
				var batch packet.Batch
				for {
					if err := s.Lanes()[lane].Read(&batch); err == io.EOF {
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
	f("format=pcap/lane=own", little, 1, 0)
	f("format=pcap/lane=other", little, 2, 1)
	f("format=swapped/lane=own", pcapFile(binary.BigEndian, pcapMicros, 1, frames...), 1, 0)
	var ng ngFile
	ng.section(binary.LittleEndian)
	ng.iface(1)
	for _, frame := range frames {
		ng.packet(0, 1, frame)
	}
	f("format=pcapng/lane=own", ng.b, 1, 0)
	f("format=pcapng/lane=other", ng.b, 2, 1)
}
