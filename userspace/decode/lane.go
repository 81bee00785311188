package decode

import "dnsmonster-sensor/userspace/packet"

// Lane returns the hash that chooses the packet's lane: a whole UDP datagram by
// its 5-tuple, everything else that has addresses by their pair. What has none
// goes to one lane.
func Lane(p *packet.Packet) packet.Hash {
	var l Layers
	switch found := Decode(p, &l); {
	case found == FoundUDP:
		return packet.HashFlow(l.Src, l.Dst, l.SrcPort, l.DstPort)
	case l.Src != nil:
		return packet.HashPair(l.Src, l.Dst)
	}
	return 0
}
