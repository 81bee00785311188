package decode

import (
	"testing"

	"dnsmonster-sensor/userspace/packet"
)

var found Found

func benchDecode(b *testing.B, p packet.Packet) {
	var l Layers
	for range b.N {
		found = Decode(&p, &l)
	}
	if found != FoundUDP {
		b.Fatalf("found %d", found)
	}
}

func frameUDP4() []byte {
	f := make([]byte, 14+20+8+40)
	f[12] = 8
	ip := f[14:]
	ip[0], ip[3], ip[9] = 0x45, 68, 17
	copy(ip[12:], "\xc0\x00\x02\x01\xc0\x00\x02\x35")
	ip[20], ip[21], ip[23], ip[25] = 0x9c, 0x40, 53, 48
	return f
}

func BenchmarkDecode(b *testing.B) {
	b.Run("ip=4", func(b *testing.B) { benchDecode(b, packet.Packet{Data: frameUDP4(), Link: packet.LinkEthernet}) })
	b.Run("ip=6", func(b *testing.B) { benchDecode(b, packet.Packet{Data: frameUDP6(), Link: packet.LinkEthernet}) })
}

func frameUDP6() []byte {
	f := make([]byte, 14+40+8+40)
	f[12], f[13] = 0x86, 0xdd
	ip := f[14:]
	ip[0], ip[5], ip[6] = 0x60, 48, 17
	ip[40], ip[41], ip[43], ip[45] = 0x9c, 0x40, 53, 48
	return f
}
