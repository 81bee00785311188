// Package packet holds what every source hands to the workers: a frame, when and where
// it was seen, and how much of it was captured; or a DNS message that comes without a
// frame.
//
// In and out: nothing but these types, and what all steps need to know of them: link
// types, tunnels and transports, each in one table; the hash that chooses a lane; and
// the store of what reassembly keeps. It imports none of our packages. Its tests need no
// data.
package packet

import "math"

// Direction is a packet's direction, as the capturing host sees it.
type Direction uint8

// Directions. Most files do not have one.
const (
	DirectionUnknown Direction = iota
	DirectionIn
	DirectionOut
)

// String returns the word in records, "" if the direction is unknown.
func (d Direction) String() string {
	switch d {
	case DirectionIn:
		return "in"
	case DirectionOut:
		return "out"
	}
	return ""
}

// Ratio is a sampling ratio: Keep of every Of packets passed. The zero value, like 1:1,
// means that all did.
type Ratio struct{ Keep, Of uint32 }

// Packet is one captured frame. Data is borrowed from the lane that read it and
// valid until that lane's next Read.
type Packet struct {
	Data      []byte // starts with the header that Link names
	Time      int64  // nanoseconds since the Unix epoch; of a dnstap frame when it came, 0 if that is unknown
	WireLen   uint32 // bytes on the wire; more than len(Data) if the capture cut the frame
	Interface uint32 // live: the kernel's ifindex; files: a number for each interface
	Sample    Ratio  // at which the kernel sampled this packet
	Link      LinkType
	VLAN      uint16 // TCI of the tag that the kernel removed from Data, if HasVLAN
	HasVLAN   bool
	Direction Direction
	Segment   uint16 // payload bytes per wire packet, if the kernel shows several as one (GSO, GRO); else 0
}

// Batch is a caller-owned set of packets and messages that a lane fills. They are valid
// until the next Read with this batch. Most sources bring only packets. Where a source
// brings both, a batch's packets are handled first.
type Batch struct {
	Packets  []Packet
	Messages []Message
}

// Len is the number of packets and messages.
func (b *Batch) Len() int { return len(b.Packets) + len(b.Messages) }

// Cut returns how many bytes of the frame the capture left out.
func (p *Packet) Cut() int {
	return int(min(max(int64(p.WireLen)-int64(len(p.Data)), 0), math.MaxInt)) // a file may claim what an int of 32 bits cannot hold
}
