// Package packet holds what every capture backend hands to the workers: one
// frame, when and where it was seen, and how much of it there is; or one DNS message
// that comes without a frame.
package packet

// LinkType says what Data starts with, in the numbers of
// https://www.tcpdump.org/linktypes.html, whatever the backend.
type LinkType uint16

// The link types that the decoder knows.
const (
	LinkNull      LinkType = 0   // BSD loopback: a 4-byte address family in the writer's byte order
	LinkEthernet  LinkType = 1   // Ethernet II and 802.3
	LinkPPP       LinkType = 9   // PPP, with or without HDLC framing
	LinkFDDI      LinkType = 10  // FDDI, LLC inside
	LinkPPPHDLC   LinkType = 50  // PPP with HDLC framing, or Cisco's HDLC
	LinkPPPoE     LinkType = 51  // a PPPoE session packet
	LinkRaw       LinkType = 101 // an IPv4 or IPv6 header, told apart by its version
	LinkHDLC      LinkType = 104 // Cisco's HDLC
	LinkWLAN      LinkType = 105 // IEEE 802.11
	LinkLoop      LinkType = 108 // OpenBSD loopback: as LinkNull, in network byte order
	LinkEnc       LinkType = 109 // OpenBSD's IPsec interface
	LinkSLL       LinkType = 113 // Linux cooked capture v1
	LinkPFLog     LinkType = 117 // pf's log
	LinkPrism     LinkType = 119 // IEEE 802.11 behind a Prism header
	LinkRadiotap  LinkType = 127 // IEEE 802.11 behind a radiotap header
	LinkAVS       LinkType = 163 // IEEE 802.11 behind an AVS header
	LinkJuniper   LinkType = 178 // a Juniper router's Ethernet
	LinkPPI       LinkType = 192 // per-packet information, in front of a header of another type
	LinkERF       LinkType = 197 // Endace's record of an Ethernet frame
	LinkPPPDir    LinkType = 204 // PPP behind a direction
	LinkMPLS      LinkType = 219 // a label stack
	LinkIPv4      LinkType = 228 // an IPv4 header
	LinkIPv6      LinkType = 229 // an IPv6 header
	LinkNFLog     LinkType = 239 // Linux' netfilter log
	LinkPacketTap LinkType = 258 // Apple's, in front of a header of another type
	LinkSLL2      LinkType = 276 // Linux cooked capture v2
)

// KnownLink reports whether the decoder knows a link type.
func KnownLink(l LinkType) bool {
	switch l {
	case LinkNull, LinkEthernet, LinkPPP, LinkFDDI, LinkPPPHDLC, LinkPPPoE, LinkRaw, LinkHDLC, LinkWLAN, LinkLoop, LinkEnc, LinkSLL, LinkPFLog,
		LinkPrism, LinkRadiotap, LinkAVS, LinkJuniper, LinkPPI, LinkERF, LinkPPPDir, LinkMPLS, LinkIPv4, LinkIPv6, LinkNFLog, LinkPacketTap, LinkSLL2:
		return true
	}
	return false
}

// Direction is the packet's, as seen by the host that captures.
type Direction uint8

// Directions. Files mostly do not know theirs.
const (
	DirectionUnknown Direction = iota
	DirectionIn
	DirectionOut
)

// String gives the word that records use, "" where the direction is unknown.
func (d Direction) String() string {
	switch d {
	case DirectionIn:
		return "in"
	case DirectionOut:
		return "out"
	}
	return ""
}

// Ratio is a sampling ratio: Keep of every Of packets were let through. The
// zero value, like 1:1, means that nothing was left out.
type Ratio struct{ Keep, Of uint32 }

// Packet is one captured frame. Data is borrowed from the lane that read it and
// valid until that lane's next Read.
type Packet struct {
	Data      []byte // starts with the header that Link names
	Time      int64  // nanoseconds since the Unix epoch
	WireLen   uint32 // bytes on the wire; more than len(Data) where the capture cut
	Interface uint32 // live: the kernel's ifindex; files: the same for all packets of one interface
	Sample    Ratio  // what the kernel left out before this packet
	Link      LinkType
	VLAN      uint16 // the tag that the kernel had taken out of the bytes: TCI, valid if HasVLAN
	HasVLAN   bool
	Direction Direction
	Segment   uint16 // payload bytes per wire packet, where the kernel shows several as one (GSO, GRO); else 0
}

// Batch is a caller-owned set of packets and messages that a lane fills. They are
// valid until the next Read with this batch. Most sources bring packets alone; of one
// that brings both, a batch's packets are handled first.
type Batch struct {
	Packets  []Packet
	Messages []Message
}

// Len is how many packets and messages there are.
func (b *Batch) Len() int { return len(b.Packets) + len(b.Messages) }

// Cut returns how many bytes of the frame the capture left out.
func (p *Packet) Cut() int {
	if int(p.WireLen) <= len(p.Data) {
		return 0
	}
	return int(p.WireLen) - len(p.Data)
}
