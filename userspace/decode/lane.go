package decode

import (
	"encoding/binary"

	"dnsmonster-sensor/userspace/packet"
)

// Lane returns the hash that chooses a packet's lane, with the default ports.
func Lane(p *packet.Packet) packet.Hash { return byDefault.Lane(p) }

// Lane returns the hash that chooses a packet's lane: a whole UDP datagram by
// its 5-tuple, everything else that has addresses by their pair. In a tunnel
// that is the outermost pair, so that a packet which the way through the tunnel
// has broken into fragments meets the whole ones of its stream. What has no
// addresses goes to one lane.
func (d *Decoder) Lane(p *packet.Packet) packet.Hash {
	if h, ok := d.plainLane(p); ok {
		return h
	}
	return d.anyLane(p)
}

func (d *Decoder) anyLane(p *packet.Packet) packet.Hash {
	var l Layers
	switch found := d.Decode(p, &l); {
	case found == FoundUDP:
		return packet.HashFlow(l.Src, l.Dst, l.SrcPort, l.DstPort)
	case l.Depth > 0 && l.OuterSrc != nil:
		return packet.HashPair(l.OuterSrc, l.OuterDst)
	case l.Src != nil:
		return packet.HashPair(l.Src, l.Dst)
	}
	return 0
}

// plainLane is Lane for what nearly all of a capture is: UDP in IP in Ethernet,
// without options, tags, fragments or tunnels. Every lane of a file asks for
// every packet.
func (d *Decoder) plainLane(p *packet.Packet) (packet.Hash, bool) {
	const ether, v4, v6, udp = 14, 20, 40, 8
	b := p.Data
	if p.Link != packet.LinkEthernet || len(b) < ether+v4+udp {
		return 0, false
	}
	switch binary.LittleEndian.Uint32(b[12:]) & 0x00f0_ffff { // Ethernet type, IP version
	case 0x0040_0008:
		ip := (*[v4 + udp]byte)(b[ether:])
		from, to, ok := d.plainUDP((*[udp]byte)(ip[v4:]))
		ok = ok && ip[0] == 0x45 && ip[9] == protoUDP && binary.BigEndian.Uint16(ip[6:])&0x3fff == 0 && binary.BigEndian.Uint16(ip[2:]) >= v4+udp
		return packet.HashFlow4((*[4]byte)(ip[12:]), (*[4]byte)(ip[16:]), from, to), ok
	case 0x0060_dd86:
		if len(b) < ether+v6+udp {
			return 0, false
		}
		ip := (*[v6 + udp]byte)(b[ether:])
		from, to, ok := d.plainUDP((*[udp]byte)(ip[v6:]))
		ok = ok && ip[6] == protoUDP && binary.BigEndian.Uint16(ip[4:]) >= udp
		return packet.HashFlow6((*[16]byte)(ip[8:]), (*[16]byte)(ip[24:]), from, to), ok
	}
	return 0, false
}

// plainUDP reads the ports of a UDP header; it is not plain where they may be a
// tunnel's.
func (d *Decoder) plainUDP(h *[8]byte) (from, to uint16, plain bool) {
	from, to = binary.BigEndian.Uint16(h[:]), binary.BigEndian.Uint16(h[2:])
	return from, to, binary.BigEndian.Uint16(h[4:]) >= 8 && !d.mayBeTunnel(from, to)
}
