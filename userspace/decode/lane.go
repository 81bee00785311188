package decode

import (
	"encoding/binary"

	"dnsmonster-sensor/userspace/packet"
)

// Lane returns the hash that chooses a packet's lane, with the usual tunnel ports.
func Lane(p *packet.Packet) packet.Hash { return defaultDecoder.Lane(p) }

// Lane returns the hash that chooses a packet's lane: of the 5-tuple for a whole UDP
// datagram, of the address pair for everything else that has addresses. In a tunnel
// that is the outermost pair, so that a packet which was fragmented on the way meets the
// whole packets of its stream. All packets without addresses go to one lane.
func (d *Decoder) Lane(p *packet.Packet) packet.Hash {
	if h, ok := d.plainLane(p); ok {
		return h
	}
	return d.anyLane(p)
}

// anyLane is Lane for any packet.
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

// plainLane is Lane for plain datagrams. ok is false for others, and where a length is
// wrong.
func (d *Decoder) plainLane(p *packet.Packet) (packet.Hash, bool) {
	ip, ok := d.plain(p)
	if !ok {
		return 0, false
	}
	if ip[0] == 0x45 {
		h := (*[v4Len + udpLen]byte)(ip)
		from, to, length := ports((*[udpLen]byte)(h[v4Len:]))
		return packet.HashFlow4((*[4]byte)(h[12:]), (*[4]byte)(h[16:]), from, to), length >= udpLen && binary.BigEndian.Uint16(h[2:]) >= v4Len+udpLen
	}
	h := (*[v6Len + udpLen]byte)(ip)
	from, to, length := ports((*[udpLen]byte)(h[v6Len:]))
	return packet.HashFlow6((*[16]byte)(h[8:]), (*[16]byte)(h[24:]), from, to), length >= udpLen && binary.BigEndian.Uint16(h[4:]) >= udpLen
}

// Unpinned reports whether any lane may handle the packet, because reassembly keeps
// nothing of it: it is neither TCP nor a fragment, in a tunnel or not.
func (d *Decoder) Unpinned(p *packet.Packet) bool {
	if _, ok := d.plain(p); ok {
		return true
	}
	var l Layers
	found := d.Decode(p, &l)
	return found != FoundTCP && found != FoundFragment
}

const etherLen, v4Len, v6Len, udpLen = 14, 20, 40, 8

// plain recognises nearly all packets of a capture: UDP in IP in Ethernet, without
// options, tags, fragments or tunnels. ip starts with the headers of IP and UDP; the
// lengths in them may be wrong.
func (d *Decoder) plain(p *packet.Packet) (ip []byte, ok bool) {
	b := p.Data
	if p.Link != packet.LinkEthernet || len(b) < etherLen+v4Len+udpLen {
		return nil, false
	}
	ip = b[etherLen:]
	switch binary.LittleEndian.Uint32(b[12:]) & 0x00f0_ffff { // Ethernet type, IP version
	case 0x0040_0008:
		h := (*[v4Len + udpLen]byte)(ip)
		from, to, _ := ports((*[udpLen]byte)(h[v4Len:]))
		return ip, h[0] == 0x45 && h[9] == protoUDP && binary.BigEndian.Uint16(h[6:])&0x3fff == 0 && !d.mayBeTunnel(from, to)
	case 0x0060_dd86:
		if len(ip) < v6Len+udpLen {
			return nil, false
		}
		h := (*[v6Len + udpLen]byte)(ip)
		from, to, _ := ports((*[udpLen]byte)(h[v6Len:]))
		return ip, h[6] == protoUDP && !d.mayBeTunnel(from, to)
	}
	return nil, false
}

func ports(udp *[udpLen]byte) (from, to, length uint16) {
	return binary.BigEndian.Uint16(udp[:]), binary.BigEndian.Uint16(udp[2:]), binary.BigEndian.Uint16(udp[4:])
}
