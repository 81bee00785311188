//go:build linux

package bpf

import (
	"testing"

	"dnsmonster-sensor/userspace/decode"
	"dnsmonster-sensor/userspace/packet"
)

// taggedFrames returns frames with a tag other than a VLAN tag before an IP packet.
func taggedFrames(ip []byte) [][]byte {
	tagged := func(kind uint16, fields []byte) []byte { return eth(kind, join(fields, be16(etherType(ip)), ip)) }
	return [][]byte{
		tagged(0x8926, be32(0x80050007)), eth(0x8926, join(be32(0x00050007), be16(0x8100), vlan(5, etherType(ip), ip))),
		tagged(0x893f, be16(0x0007, 0x1005, 0)), tagged(0x8909, be16(0x0101, 1, 7)), tagged(0x892f, be32(0x10400001)), tagged(0xf1c1, be32(1)),
		tagged(0x88e5, be16(0x4000, 0, 1)), tagged(0x88e5, join(be16(0x2000, 0, 1), fill(8))), eth(0x8100, vlan(5, 0x893f, join(be16(0x0007, 0x1005, 0, etherType(ip)), ip))),
	}
}

// Tags are not tunnels: packets after them are captured without --decap.
func TestTagsNeedNoOption(t *testing.T) {
	s := newKit(t, Options{XDP: true})
	for _, prog := range ethPrograms {
		s.tags(prog)
	}
}

func (s *kit) tags(prog string) {
	s.t.Helper()
	for _, q := range [][]byte{ip4(a4, b4, 17, udp(40000, 53, fill(30))), ip6(a6, b6, 6, tcp(53, 40000, fill(30)))} {
		for _, frame := range taggedFrames(q) {
			s.want("delivered", prog, frame)
			p := packet.Packet{Data: frame, Link: packet.LinkEthernet}
			var l decode.Layers
			if found := decode.Decode(&p, &l); found > decode.FoundTCP || l.DstPort != 53 && l.SrcPort != 53 {
				s.t.Errorf("user space finds %d: % x", found, frame)
			}
		}
	}
	for _, other := range [][]byte{ip4(a4, b4, 17, udp(40000, 443, fill(30))), ip6(a6, b6, 58, fill(30))} {
		for _, frame := range taggedFrames(other) {
			s.want("not_dns", prog, frame)
		}
	}
	secret := join(be16(0x2c00, 0, 1), fill(8), be16(0x0800), ip4(a4, b4, 17, udp(40000, 53, fill(30))))
	s.want("not_dns", prog, eth(0x88e5, secret))
	s.want("not_dns", prog, eth(0x8926, be16(0)))
}
