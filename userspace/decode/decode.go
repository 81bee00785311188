// Package decode finds the transport payload in a frame: link, network and
// transport headers are walked with bounds and nothing is copied or allocated.
package decode

import (
	"encoding/binary"

	"dnsmonster-sensor/userspace/packet"
)

// Found says what a frame turned out to carry.
type Found uint8

// What Decode finds.
const (
	FoundUDP      Found = iota // a whole datagram
	FoundTCP                   // a segment
	FoundFragment              // a piece of an IP datagram
	FoundOther                 // nothing that can carry DNS
	FoundUnread                // a carrier that this build cannot decode
	FoundBad                   // headers that contradict themselves or end early
)

// Layers is what Decode tells of a frame. The slices are borrowed from it.
type Layers struct {
	Src, Dst         []byte // 4 or 16 bytes, of the innermost IP header
	SrcPort, DstPort uint16
	Payload          []byte // of UDP or TCP; for a fragment, of IP
	Missing          int    // bytes that the headers promise beyond Payload
	VLAN             uint16 // outermost tag's TCI, if HasVLAN
	HasVLAN          bool
}

// Ethernet types, https://www.iana.org/assignments/ieee-802-numbers.
const (
	etherIPv4 = 0x0800
	etherVLAN = 0x8100
	etherIPv6 = 0x86dd
	etherMPLS = 0x8847
	etherMPLM = 0x8848
	etherPPPS = 0x8864
	etherQinQ = 0x88a8
	etherOldQ = 0x9100
	etherTEB  = 0x6558
	lastLen   = 0x05dc // up to here the field is a length (IEEE 802.3)
	maxVLANs  = 4
)

// Decode walks a frame. l is filled as far as the result says: the addresses,
// ports and payload for FoundUDP and FoundTCP, addresses for FoundFragment.
func Decode(p *packet.Packet, l *Layers) Found {
	*l = Layers{VLAN: p.VLAN, HasVLAN: p.HasVLAN}
	b := p.Data
	switch p.Link {
	case packet.LinkEthernet:
		if len(b) < 14 {
			return FoundBad
		}
		return l.ether(binary.BigEndian.Uint16(b[12:]), b[14:])
	case packet.LinkRaw, packet.LinkIPv4, packet.LinkIPv6:
		return l.ip(b)
	case packet.LinkSLL:
		if len(b) < 16 {
			return FoundBad
		}
		return l.ether(binary.BigEndian.Uint16(b[14:]), b[16:])
	case packet.LinkSLL2:
		if len(b) < 20 {
			return FoundBad
		}
		return l.ether(binary.BigEndian.Uint16(b), b[20:])
	case packet.LinkNull, packet.LinkLoop:
		// The family's number differs between systems, its byte order between
		// machines; the IP version says the same and is always right.
		if len(b) < 4 {
			return FoundBad
		}
		return l.ip(b[4:])
	}
	return FoundUnread
}

// ether goes on by Ethernet type, through VLAN tags.
func (l *Layers) ether(kind uint16, b []byte) Found {
	for range maxVLANs + 1 {
		switch kind {
		case etherIPv4:
			return l.ipv4(b)
		case etherIPv6:
			return l.ipv6(b)
		case etherVLAN, etherQinQ, etherOldQ:
			if len(b) < 4 {
				return FoundBad
			}
			if !l.HasVLAN {
				l.VLAN, l.HasVLAN = binary.BigEndian.Uint16(b), true
			}
			kind, b = binary.BigEndian.Uint16(b[2:]), b[4:]
		case etherMPLS, etherMPLM, etherPPPS, etherTEB:
			return FoundUnread
		default:
			return l.llc(kind, b)
		}
	}
	return FoundUnread
}

// llc reads 802.3 frames whose LLC header is SNAP with an Ethernet type
// (RFC 1042); others carry no IP.
func (l *Layers) llc(kind uint16, b []byte) Found {
	if kind > lastLen || len(b) < 8 || string(b[:6]) != "\xaa\xaa\x03\x00\x00\x00" {
		return FoundOther
	}
	switch binary.BigEndian.Uint16(b[6:]) {
	case etherIPv4:
		return l.ipv4(b[8:])
	case etherIPv6:
		return l.ipv6(b[8:])
	}
	return FoundOther
}

func (l *Layers) ip(b []byte) Found {
	if len(b) == 0 {
		return FoundBad
	}
	switch b[0] >> 4 {
	case 4:
		return l.ipv4(b)
	case 6:
		return l.ipv6(b)
	}
	return FoundOther
}
