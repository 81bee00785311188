package decode

import "dnsmonster-sensor/userspace/packet"

// Resume sets l to what Decode has found in front of a datagram's first fragment,
// for Reassembled. src and dst are those of the datagram.
func (d *Decoder) Resume(l *Layers, o *packet.Origin, depth uint8, id uint32, src, dst []byte) {
	*l = Layers{
		Src: src, Dst: dst, ID: id, VLAN: o.VLAN, HasVLAN: o.HasVLAN, Tunnel: o.Tunnel, Path: o.Path, Depth: depth, decoder: d,
	}
}
