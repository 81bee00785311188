package decode

import (
	"encoding/binary"

	"dnsmonster-sensor/userspace/packet"
)

// Bits of the L2TP header's first 16 (RFC 2661, RFC 3931).
const (
	l2tpControl  = 0x8000
	l2tpLength   = 0x4000
	l2tpSequence = 0x0800
	l2tpOffset   = 0x0200
	l2tpVersion  = 0x000f
)

// l2tp reads a datagram of version 2, which carries PPP, or of version 3.
func (l *Layers) l2tp(b []byte) Found {
	if len(b) < 8 {
		return FoundUDP
	}
	flags := binary.BigEndian.Uint16(b)
	if flags&l2tpControl != 0 {
		return FoundUDP
	}
	switch flags & l2tpVersion {
	case 2:
		return l.l2tp2(flags, b)
	case 3:
		return l.l2tp3(b[4:], FoundUDP)
	}
	return FoundUDP
}

func (l *Layers) l2tp2(flags uint16, b []byte) Found {
	off := 2
	if flags&l2tpLength != 0 {
		off += 2
	}
	ids := off
	off += 4
	if flags&l2tpSequence != 0 {
		off += 4
	}
	if flags&l2tpOffset != 0 {
		if len(b) < off+2 {
			return FoundUDP
		}
		off += 2 + int(binary.BigEndian.Uint16(b[off:]))
	}
	if len(b) < off || !looksLikePPP(b[off:]) {
		return FoundUDP
	}
	if !l.enter(packet.TunnelL2TP, binary.BigEndian.Uint32(b[ids:])) {
		return FoundTooDeep
	}
	return l.ppp(b[off:])
}

// looksLikePPP reports whether b starts with a PPP frame that carries IP.
func looksLikePPP(b []byte) bool {
	if len(b) >= 2 && binary.BigEndian.Uint16(b) == pppFrame {
		b = b[2:]
	}
	switch {
	case len(b) > 1 && (b[0] == pppIPv4 || b[0] == pppIPv6): // compressed to one byte
		return looksLikeIP(b[1:])
	case len(b) > 2:
		switch binary.BigEndian.Uint16(b) {
		case pppIPv4, pppIPv6:
			return looksLikeIP(b[2:])
		case pppMPLS, pppMPLSMulticast:
			return true
		}
	}
	return false
}

// l2tp3 reads from the session ID on, in UDP or in IP. A cookie of 0, 4 or 8 bytes, a
// sublayer of 0 or 4, and a frame of some kind follow. The two ends have agreed on these,
// and no packet says so: the frame is looked for at each possible offset. If there is
// none, l2tp3 returns other.
func (l *Layers) l2tp3(b []byte, other Found) Found {
	if len(b) < 4 {
		return other
	}
	id := binary.BigEndian.Uint32(b)
	if id == 0 { // a control message
		return other
	}
	kind, off := l.findFrame(b[4:])
	if kind == wireNone {
		return other
	}
	if !l.enter(packet.TunnelL2TP, id) {
		return FoundTooDeep
	}
	switch b = b[4+off:]; kind {
	case wirePPP:
		return l.ppp(b)
	case wireHDLC:
		return l.hdlc(b)
	case wireIP:
		return l.ip(b)
	}
	return l.ethernet(b)
}

// pseudowire is the kind of frames that a session of L2TPv3 carries.
type pseudowire uint8

const (
	wireNone pseudowire = iota
	wireEthernet
	wirePPP
	wireHDLC
	wireIP
)

// frameOffsets are the distances from the end of a session ID at which its frame can
// begin.
var frameOffsets = [...]int{0, 4, 8, 8 + 4}

// findFrame looks for the frame after a session ID. Ethernet is tried before other
// frames, and those before IP alone.
func (l *Layers) findFrame(b []byte) (kind pseudowire, off int) {
	if off = l.ethernetAt(b); off >= 0 {
		return wireEthernet, off
	}
	for _, off := range frameOffsets {
		if len(b) < off+4 {
			break
		}
		switch f := b[off:]; {
		case binary.BigEndian.Uint16(f) == pppFrame && looksLikePPP(f):
			return wirePPP, off
		case (f[0] == hdlcUnicast || f[0] == hdlcMulticast) && f[1] == 0 && looksLikeIP(f[4:]) && l.endsWith(f[4:], nil):
			return wireHDLC, off
		case f[0] == 0 && looksLikePPP(f) && l.endsWith(f[2:], nil):
			return wirePPP, off
		}
	}
	for _, off := range frameOffsets {
		if off < len(b) && looksLikeIP(b[off:]) && l.endsWith(b[off:], nil) {
			return wireIP, off
		}
	}
	return wireNone, 0
}

// ethernetAt returns the offset of an Ethernet frame with an IP packet: the first one
// whose packet ends with the datagram, or else the first one; -1 if there is none.
func (l *Layers) ethernetAt(b []byte) int {
	first := -1
	for _, off := range frameOffsets {
		if off >= len(b) {
			break
		}
		p := insideEthernet(b[off:])
		switch {
		case !looksLikeIP(p):
		case l.endsWith(p, b[off:]):
			return off
		case first < 0:
			first = off
		}
	}
	return first
}

// insideEthernet returns the IP packet in an Ethernet frame, even after VLAN tags and
// then a PPPoE header or labels; nil if there is none.
func insideEthernet(b []byte) []byte {
	if len(b) < 14 || b[6]&1 != 0 { // a group address is never a source
		return nil
	}
	kind, b := binary.BigEndian.Uint16(b[12:]), b[14:]
	for range maxVLANs {
		if kind != etherVLAN && kind != etherQinQ || len(b) < 4 {
			break
		}
		kind, b = binary.BigEndian.Uint16(b[2:]), b[4:]
	}
	switch {
	case kind == etherPPPoE && len(b) >= 8 && b[0] == 0x11 && b[1] == 0:
		proto := binary.BigEndian.Uint16(b[6:])
		if b = b[8:]; proto == pppIPv4 || proto == pppIPv6 {
			return b
		}
	case kind == etherMPLS || kind == etherMPLSMulticast:
		for range maxLabels {
			if len(b) < 4 {
				break
			}
			bottom := b[2]&1 != 0
			if b = b[4:]; bottom {
				return b
			}
		}
	case len(b) > 0 && (kind == etherIPv4 && b[0]>>4 == 4 || kind == etherIPv6 && b[0]>>4 == 6):
		return b
	}
	return nil
}

// endsWith reports whether an IP packet, which looksLikeIP accepts, ends where the
// datagram does. The frame around it, if given, may have Ethernet's padding or checksum.
func (l *Layers) endsWith(p, frame []byte) bool {
	n := int(binary.BigEndian.Uint16(p[2:]))
	if p[0]>>4 == 6 {
		n = 40 + int(binary.BigEndian.Uint16(p[4:]))
	}
	rest := len(p) + l.Missing - n
	return rest == 0 || frame != nil && (rest == 4 || rest > 0 && len(frame) <= 64)
}
