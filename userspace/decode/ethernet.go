package decode

import (
	"encoding/binary"

	"dnsmonster-sensor/userspace/packet"
)

// Ethernet types, https://www.iana.org/assignments/ieee-802-numbers.
const (
	etherIPv4          = 0x0800
	etherERSPAN3       = 0x22eb
	etherTEB           = 0x6558
	etherVLAN          = 0x8100
	etherIPv6          = 0x86dd
	etherPPP           = 0x880b
	etherMPLS          = 0x8847
	etherMPLSMulticast = 0x8848
	etherPPPoE         = 0x8864
	etherERSPAN        = 0x88be
	etherQinQ          = 0x88a8
	etherOldQinQ       = 0x9100 // before IEEE 802.1ad

	etherTRILL      = 0x22f3
	etherPBB        = 0x88e7 // IEEE 802.1ah
	etherMACsec     = 0x88e5
	etherFabricPath = 0x8903
	etherCMD        = 0x8909 // Cisco's MetaData
	etherVNTag      = 0x8926
	etherHSR        = 0x892f
	etherETag       = 0x893f // IEEE 802.1BR
	etherNSH        = 0x894f
	etherRTag       = 0xf1c1 // IEEE 802.1CB

	lastLen   = 0x05dc // up to here the type field is a length (IEEE 802.3)
	maxVLANs  = 4
	maxLabels = 16
)

// PPP protocols, https://www.iana.org/assignments/ppp-numbers.
const (
	pppIPv4          = 0x0021
	pppIPv6          = 0x0057
	pppMPLS          = 0x0281
	pppMPLSMulticast = 0x0283
	pppFrame         = 0xff03 // address and control of HDLC-like framing (RFC 1662)
)

// Addresses of Cisco's HDLC.
const (
	hdlcUnicast   = 0x0f
	hdlcMulticast = 0x8f
)

// ethernet reads an Ethernet frame.
func (l *Layers) ethernet(b []byte) Found {
	if len(b) < 14 {
		return FoundBad
	}
	return l.ether(binary.BigEndian.Uint16(b[12:]), b[14:])
}

// ether continues by Ethernet type, after any tags.
func (l *Layers) ether(kind uint16, b []byte) Found {
	for range maxVLANs + 1 {
		switch kind {
		case etherIPv4:
			return l.ipv4(b)
		case etherIPv6:
			return l.ipv6(b)
		case etherVLAN, etherQinQ, etherOldQinQ:
			if len(b) < 4 {
				return FoundBad
			}
			if !l.HasVLAN {
				l.VLAN, l.HasVLAN = binary.BigEndian.Uint16(b), true
			}
			kind, b = binary.BigEndian.Uint16(b[2:]), b[4:]
		case etherMPLS, etherMPLSMulticast:
			return l.mpls(b)
		case etherPPPoE:
			return l.pppoe(b)
		default:
			if kind <= lastLen {
				return l.llc(b)
			}
			n := tagLen(kind, b)
			if n == 0 {
				return l.overlay(kind, b)
			}
			if len(b) < n+2 {
				return FoundBad
			}
			kind, b = binary.BigEndian.Uint16(b[n:]), b[n+2:]
		}
	}
	return FoundTooDeep
}

// tagLen returns how many bytes of a tag other than a VLAN's precede the next Ethernet
// type. It returns 0 if kind is no tag, or nothing readable follows.
func tagLen(kind uint16, b []byte) int {
	const version, encrypted, hasChannel = 0x80, 0x0c, 0x20 // of MACsec's first byte
	switch kind {
	case etherVNTag, etherHSR, etherRTag:
		return 4
	case etherETag:
		return 6
	case etherCMD:
		if len(b) < 2 {
			return 2
		}
		return 2 + int(b[1])*4
	case etherMACsec: // IEEE 802.1AE, authenticated but not encrypted
		switch {
		case len(b) == 0 || b[0]&(version|encrypted) == 0 && b[0]&hasChannel == 0:
			return 6
		case b[0]&(version|encrypted) == 0:
			return 14
		}
	}
	return 0
}

// llc reads what follows a length field: a SNAP header with an Ethernet type
// (RFC 1042), or IP's own service access point.
func (l *Layers) llc(b []byte) Found {
	switch {
	case len(b) >= 8 && string(b[:6]) == "\xaa\xaa\x03\x00\x00\x00":
		if kind := binary.BigEndian.Uint16(b[6:]); kind > lastLen {
			return l.ether(kind, b[8:])
		}
	case len(b) >= 3 && string(b[:3]) == "\x06\x06\x03":
		return l.ipv4(b[3:])
	}
	return FoundOther
}

// ppp reads a PPP frame (RFC 1661), with or without HDLC-like framing; the
// protocol may be compressed to one byte.
func (l *Layers) ppp(b []byte) Found {
	if len(b) >= 2 && binary.BigEndian.Uint16(b) == pppFrame {
		b = b[2:]
	}
	if len(b) < 2 {
		return FoundBad
	}
	proto := uint16(b[0])
	if proto&1 != 0 { // only the last byte of a protocol number is odd
		b = b[1:]
	} else {
		proto, b = binary.BigEndian.Uint16(b), b[2:]
	}
	switch proto {
	case pppIPv4:
		return l.ipv4(b)
	case pppIPv6:
		return l.ipv6(b)
	case pppMPLS, pppMPLSMulticast:
		return l.mpls(b)
	}
	return FoundOther
}

// hdlc reads a frame of Cisco's HDLC: address, control and an Ethernet type.
func (l *Layers) hdlc(b []byte) Found {
	if len(b) < 4 {
		return FoundBad
	}
	return l.ether(binary.BigEndian.Uint16(b[2:]), b[4:])
}

// pppoe reads a session packet (RFC 2516).
func (l *Layers) pppoe(b []byte) Found {
	if len(b) < 6 {
		return FoundBad
	}
	if b[0] != 0x11 || b[1] != 0 {
		return FoundOther
	}
	length := int(binary.BigEndian.Uint16(b[4:]))
	return l.ppp(b[6 : 6+min(length, len(b)-6)])
}

// mpls walks a label stack (RFC 3032). Nothing says what follows: IP is recognised by
// its version, and an Ethernet pseudowire (RFC 4448), with or without a control word, by
// its Ethernet type.
func (l *Layers) mpls(b []byte) Found {
	for range maxLabels {
		if len(b) < 4 {
			return FoundBad
		}
		label := binary.BigEndian.Uint32(b)
		b = b[4:]
		if label&0x100 == 0 { // not the bottom
			continue
		}
		if looksLikeIP(b) {
			return l.ip(b)
		}
		frame := pseudowireFrame(b)
		if frame == nil {
			return FoundOther
		}
		if !l.enter(packet.TunnelMPLS, label>>12) {
			return FoundTooDeep
		}
		return l.ethernet(frame)
	}
	return FoundTooDeep
}

// pseudowireFrame returns the Ethernet frame at the start of b, or after a control word;
// nil if there is none.
func pseudowireFrame(b []byte) []byte {
	switch {
	case len(b) > 4 && b[0]>>4 == 0 && looksLikeEthernet(b[4:]):
		return b[4:]
	case looksLikeEthernet(b):
		return b
	}
	return nil
}

// looksLikeIP reports whether b starts with a whole IP header. The capture may have cut
// what follows.
func looksLikeIP(b []byte) bool {
	switch {
	case len(b) >= 20 && b[0]>>4 == 4:
		total := int(binary.BigEndian.Uint16(b[2:]))
		return b[0]&15 >= 5 && (total == 0 || total >= int(b[0]&15)*4)
	case len(b) >= 40 && b[0]>>4 == 6:
		return true
	}
	return false
}

// looksLikeEthernet reports whether b starts with a frame that carries IP, or tags,
// labels or PPPoE in front of it.
func looksLikeEthernet(b []byte) bool {
	if len(b) < 14 {
		return false
	}
	switch binary.BigEndian.Uint16(b[12:]) {
	case etherIPv4, etherIPv6:
		return looksLikeIP(b[14:])
	case etherVLAN, etherQinQ, etherOldQinQ, etherMPLS, etherMPLSMulticast, etherPPPoE:
		return true
	}
	return false
}
