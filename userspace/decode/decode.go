// Package decode finds the UDP or TCP payload in a frame.
//
// In: a packet of any link type. Out: addresses, ports, payload, tunnel, and how many
// bytes the capture left out, in a Layers; and the hash of the lane that handles the
// packet. No header is read beyond its bounds, and nothing is copied or allocated. The
// package imports packet alone. Its tests build their frames;
// real captures are read in package worker.
package decode

import (
	"encoding/binary"
	"math/rand/v2"

	"dnsmonster-sensor/userspace/packet"
)

// Found says what a frame carries.
type Found uint8

// What Decode finds.
const (
	FoundUDP         Found = iota // a whole datagram
	FoundTCP                      // a segment
	FoundFragment                 // a fragment of an IP datagram
	FoundOther                    // nothing that can carry DNS
	FoundBad                      // headers that contradict themselves or end early
	FoundTooDeep                  // more tunnels, VLAN tags, labels or extension headers than are followed
	FoundUnknownLink              // a link type that is not known
)

// Layers is the result of Decode. Its slices are borrowed from the frame. Fields that do
// not belong to what was found keep the values of an earlier call.
type Layers struct {
	Src, Dst         []byte // 4 or 16 bytes, of the innermost IP header; nil if there is none
	SrcPort, DstPort uint16 // UDP and TCP
	Payload          []byte // of UDP or TCP; of a fragment, without its headers
	Missing          int    // bytes that the headers announce beyond Payload
	VLAN             uint16 // outermost tag's TCI, if HasVLAN
	HasVLAN          bool
	Tunnel           packet.Tunnel // the innermost one
	Depth            uint8         // how many tunnels are nested

	// OuterSrc and OuterDst are of the outermost IP header, if Depth > 0; nil around a
	// pseudowire without one.
	OuterSrc, OuterDst []byte
	Path               uint64 // as in packet.Origin
	ID                 uint32 // IPv4: the IP ID; a fragment of IPv6: its fragment header's
	FragOffset         int    // fragments, in bytes
	FragMore           bool   // fragments: not the last
	FragProto          uint8  // fragments: the protocol that the whole datagram carries
	Seq                uint32 // TCP
	TCPFlags           uint8  // TCP, as on the wire

	decoder *Decoder
	cut     int // bytes of the frame that the capture left out
}

// maxTunnels is how many nested tunnels are followed.
const maxTunnels = 4

// Decoder knows which UDP ports carry tunnels. It is read-only once made.
type Decoder struct {
	ports    []packet.TunnelPort
	portBits [4]uint64         // has a bit for each of ports; other ports share these bits
	key      uint64            // of Layers.Path, random so that nobody can make two tunnels look like one
	dns      func(uint16) bool // whether a port carries DNS
}

var defaultDecoder = NewDecoder(packet.UsualTunnelPorts(), func(port uint16) bool { return port == 53 })

// NewDecoder makes a decoder for these tunnel ports. A datagram with a port that carries
// DNS is never taken for a tunnel: a client that sends from a tunnel's port could choose
// an ID that makes its query look like one.
func NewDecoder(ports []packet.TunnelPort, dns func(port uint16) bool) *Decoder {
	d := &Decoder{ports: ports, key: rand.Uint64(), dns: dns}
	for _, p := range ports {
		bit := portBit(p.Number)
		d.portBits[bit>>6] |= 1 << (bit & 63)
	}
	return d
}

// portBit maps a port to its bit in Decoder.portBits. No usual port shares one with port 53.
func portBit(port uint16) uint8 { return uint8(port ^ port>>6) }

// mayBeTunnel rules out most datagrams at once.
func (d *Decoder) mayBeTunnel(src, dst uint16) bool {
	s, t := portBit(src), portBit(dst)
	return (d.portBits[s>>6]>>(s&63)|d.portBits[t>>6]>>(t&63))&1 != 0
}

// tunnel returns the tunnel that a datagram between two ports may belong to.
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

// Decode walks a frame, with the usual tunnel ports.
func Decode(p *packet.Packet, l *Layers) Found { return defaultDecoder.Decode(p, l) }

// Decode walks a frame and fills l as far as the result says.
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

// Reassembled continues with the payload of a datagram that was put together from
// fragments. l holds what Decode found in front of one of them; the caller has replaced
// Src and Dst if that packet is no longer valid.
func (l *Layers) Reassembled(proto uint8, b []byte, missing int) Found {
	l.Missing, l.cut = missing, missing
	if len(l.Src) == 16 {
		return l.extensions(proto, b)
	}
	return l.transport(proto, b)
}

// Resume sets l to what Decode found in front of a datagram's first fragment, so that
// Reassembled can continue from there. src and dst are the datagram's.
func (d *Decoder) Resume(l *Layers, o *packet.Origin, depth uint8, id uint32, src, dst []byte) {
	*l = Layers{
		Src: src, Dst: dst, ID: id, VLAN: o.VLAN, HasVLAN: o.HasVLAN, Tunnel: o.Tunnel, Path: o.Path, Depth: depth, decoder: d,
	}
}

// enter notes that what follows is inside a tunnel. id tells tunnels of this kind
// between the same end points apart. It returns false if that is one tunnel too many.
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
