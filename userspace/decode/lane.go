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
	be, b := binary.BigEndian, p.Data
	if p.Link != packet.LinkEthernet || len(b) < ether+v4+udp {
		return 0, false
	}
	var src, dst, ports []byte
	switch be.Uint16(b[12:]) {
	case etherIPv4:
		if b[14] != 0x45 || b[23] != protoUDP || be.Uint16(b[20:])&0x3fff != 0 || be.Uint16(b[16:]) < v4+udp {
			return 0, false
		}
		src, dst, ports = b[26:30], b[30:34], b[34:42]
	case etherIPv6:
		if len(b) < ether+v6+udp || b[14]>>4 != 6 || b[20] != protoUDP || be.Uint16(b[18:]) < udp {
			return 0, false
		}
		src, dst, ports = b[22:38], b[38:54], b[54:62]
	default:
		return 0, false
	}
	from, to := be.Uint16(ports), be.Uint16(ports[2:])
	if be.Uint16(ports[4:]) < udp || d.mayBeTunnel(from, to) {
		return 0, false
	}
	return packet.HashFlow(src, dst, from, to), true
}
