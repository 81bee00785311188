package account

import "testing"

func BenchmarkAdd(b *testing.B) {
	p := NewPacketCounters().Shard()
	columns := [...]Column{UDPMessage, PacketBytes, NotDNS, TCPUsed}
	for i := 0; b.Loop(); i++ {
		p.Add(columns[i&3], 1)
		p.Add(PacketBytes, 80)
	}
}

func BenchmarkPublish(b *testing.B) {
	p := NewPacketCounters().Shard()
	for b.Loop() {
		p.Add(PacketBytes, 80)
		p.Add(UDPMessage, 1)
		p.Publish()
	}
}
