package decode

import "dnsmonster-sensor/userspace/packet"

// Lane returns the hash that chooses a packet's lane, with the default ports.
func Lane(p *packet.Packet) packet.Hash { return byDefault.Lane(p) }

// Lane returns the hash that chooses a packet's lane: a whole UDP datagram by
// its 5-tuple, everything else that has addresses by their pair. In a tunnel
// that is the outermost pair, so that a packet which the way through the tunnel
// has broken into fragments meets the whole ones of its stream. What has no
// addresses goes to one lane.
func (d *Decoder) Lane(p *packet.Packet) packet.Hash {
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
