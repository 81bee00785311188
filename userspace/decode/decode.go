// Package decode finds the transport payload in a frame: link, tunnel, network
// and transport headers are walked with bounds, and nothing is copied or
// allocated.
package decode

import (
	"encoding/binary"
	"math/rand/v2"

	"dnsmonster-sensor/userspace/packet"
)

// Found says what a frame turned out to carry.
type Found uint8

// What Decode finds.
const (
	FoundUDP         Found = iota // a whole datagram
	FoundTCP                      // a segment
	FoundFragment                 // a piece of an IP datagram
	FoundOther                    // nothing that can carry DNS
	FoundBad                      // headers that contradict themselves or end early
	FoundTooDeep                  // more tunnels, VLAN tags, labels or extension headers than are followed
	FoundUnknownLink              // a link type that is not known
)

// Layers is what Decode tells of a frame. The slices are borrowed from it. What
// does not belong to the result keeps the values of an earlier call.
type Layers struct {
	Src, Dst         []byte // 4 or 16 bytes, of the innermost IP header; nil where there is none
	SrcPort, DstPort uint16 // UDP and TCP
	Payload          []byte // of UDP or TCP; for a fragment, of IP behind the fragment header
	Missing          int    // bytes that the headers promise beyond Payload
	VLAN             uint16 // outermost tag's TCI, if HasVLAN
	HasVLAN          bool
	Tunnel           packet.Tunnel // the innermost one
	Depth            uint8         // how many tunnels there are around each other

	// OuterSrc and OuterDst are those of the outermost IP header, if Depth > 0; nil
	// where there is none around a pseudowire.
	OuterSrc, OuterDst []byte
	Path               uint64 // as in packet.Origin
	ID                 uint32 // IPv4: the IP id; a fragment of IPv6: its fragment header's
	FragOffset         int    // fragments, in bytes
	FragMore           bool   // fragments: not the last
	FragProto          uint8  // fragments: the protocol of what they are pieces of
	Seq                uint32 // TCP
	TCPFlags           uint8  // TCP, as on the wire

	decoder *Decoder
	cut     int // bytes of the frame that the capture left out
}

// maxTunnels is how many tunnels within each other are followed.
const maxTunnels = 4

// Decoder knows which UDP ports carry tunnels. It is read-only once made.
type Decoder struct {
	ports []packet.TunnelPort
	few   [4]uint64         // a bit for each port that is set, several ports to a bit
	key   uint64            // of Layers.Path, drawn at random: nobody can make two tunnels look like one
	dns   func(uint16) bool // whether a port carries DNS
}

var byDefault = NewDecoder(packet.UsualTunnelPorts(), func(port uint16) bool { return port == 53 })

// NewDecoder makes a decoder for these ports of tunnels. A datagram of which one
// port carries DNS is none: a client that asks from a tunnel's port could choose
// an id that makes its question look like one.
func NewDecoder(ports []packet.TunnelPort, dns func(port uint16) bool) *Decoder {
	d := &Decoder{ports: ports, key: rand.Uint64(), dns: dns}
	for _, p := range ports {
		bit := fewBit(p.Number)
		d.few[bit>>6] |= 1 << (bit & 63)
	}
	return d
}

// fewBit maps ports to bits such that the default ones share none with port 53.
func fewBit(port uint16) uint8 { return uint8(port ^ port>>6) }

// mayBeTunnel rules most datagrams out at once.
func (d *Decoder) mayBeTunnel(src, dst uint16) bool {
	s, t := fewBit(src), fewBit(dst)
	return (d.few[s>>6]>>(s&63)|d.few[t>>6]>>(t&63))&1 != 0
}

// tunnel returns what a datagram between two ports may be.
func (d *Decoder) tunnel(src, dst uint16) packet.Tunnel {
	if d.dns(src) || d.dns(dst) {
		return packet.TunnelNone
	}
	for _, p := range d.ports {
		if p.Number == dst || p.Number == src {
			return p.Tunnel
		}
	}
	return packet.TunnelNone
}

// Decode walks a frame with the default ports. l is filled as far as the result
// says.
func Decode(p *packet.Packet, l *Layers) Found { return byDefault.Decode(p, l) }

// Decode walks a frame. l is filled as far as the result says.
func (d *Decoder) Decode(p *packet.Packet, l *Layers) Found {
	l.decoder = d
	l.Src, l.Dst, l.Missing = nil, nil, 0
	l.VLAN, l.HasVLAN = p.VLAN, p.HasVLAN
	l.Tunnel, l.Depth, l.Path = packet.TunnelNone, 0, 0
	l.cut = p.Cut()
	if p.Link == packet.LinkEthernet { // nearly always
		return l.ethernet(p.Data)
	}
	return l.link(p.Link, p.Data)
}

// Reassembled goes on with a datagram that was put together from fragments: of
// the headers in front of it, l holds what Decode found for the last fragment.
// The caller has replaced Src and Dst where the packet is not valid any more.
func (l *Layers) Reassembled(proto uint8, b []byte, missing int) Found {
	l.Missing, l.cut = missing, missing
	if len(l.Src) == 16 {
		return l.extensions(proto, b)
	}
	return l.transport(proto, b)
}

// enter notes that what follows is inside a tunnel. id is what tells tunnels of
// this kind between the same end points apart. It returns false where that is
// one tunnel too many.
func (l *Layers) enter(t packet.Tunnel, id uint32) bool {
	if l.Depth == maxTunnels {
		return false
	}
	if l.Depth == 0 || l.OuterSrc == nil { // a pseudowire has no IP header around it
		l.OuterSrc, l.OuterDst = l.Src, l.Dst
	}
	l.Depth++
	l.Tunnel = t
	h := (l.Path ^ l.decoder.key ^ uint64(t)<<32 ^ uint64(id)) * 0x9e3779b97f4a7c15
	for _, a := range [2][]byte{l.Src, l.Dst} {
		for ; len(a) >= 4; a = a[4:] {
			h = (h ^ h>>29 ^ uint64(binary.BigEndian.Uint32(a))) * 0xd6e8feb86659fd93
		}
	}
	l.Path = h | 1 // not 0: that is outside
	return true
}
