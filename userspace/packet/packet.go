// Package packet holds what every capture backend hands to the workers: one
// frame, when and where it was seen, and how much of it there is; or one DNS message
// that comes without a frame.
package packet

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
