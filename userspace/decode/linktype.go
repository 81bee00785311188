package decode

import (
	"encoding/binary"

	"dnsmonster-sensor/userspace/packet"
)

// This file reads what capture programs write in front of a packet,
// https://www.tcpdump.org/linktypes.html.

// link reads a frame of any link type.
func (l *Layers) link(t packet.LinkType, b []byte) Found {
	switch t {
	case packet.LinkEthernet:
		return l.ethernet(b)
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
		// The family's number differs between systems, and its byte order between
		// machines; the IP version says the same.
		return l.ipBehind(4, b)
	case packet.LinkEnc:
		return l.ipBehind(12, b)
	case packet.LinkPFLog:
		if len(b) == 0 {
			return FoundBad
		}
		return l.ipBehind((int(b[0])+3)&^3, b)
	case packet.LinkNFLog:
		return l.nflog(b)
	case packet.LinkPPP:
		return l.ppp(b)
	case packet.LinkPPPHDLC:
		if len(b) > 0 && (b[0] == hdlcUnicast || b[0] == hdlcMulticast) {
			return l.hdlc(b)
		}
		return l.ppp(b)
	case packet.LinkPPPDir:
		if len(b) == 0 {
			return FoundBad
		}
		return l.ppp(b[1:])
	case packet.LinkPPPoE:
		return l.pppoe(b)
	case packet.LinkHDLC:
		return l.hdlc(b)
	case packet.LinkMPLS:
		return l.mpls(b)
	case packet.LinkFDDI:
		return l.fddi(b)
	case packet.LinkWLAN:
		return l.wlan(b, false)
	case packet.LinkRadiotap:
		return l.radiotap(b)
	case packet.LinkPrism, packet.LinkAVS:
		return l.prism(b)
	case packet.LinkERF:
		return l.erf(b)
	case packet.LinkJuniper:
		return l.juniper(b)
	case packet.LinkPPI:
		return l.ppi(b)
	case packet.LinkPacketTap:
		return l.packetTap(b)
	}
	return FoundUnknownLink
}

// ipBehind reads an IP packet after n bytes.
func (l *Layers) ipBehind(n int, b []byte) Found {
	if len(b) < n {
		return FoundBad
	}
	return l.ip(b[n:])
}

// fddi reads an FDDI frame with LLC inside.
func (l *Layers) fddi(b []byte) Found {
	if len(b) < 13 {
		return FoundBad
	}
	return l.llc(b[13:])
}

// nflog reads the attributes of a packet that netfilter logged. They are in the byte
// order of the machine that wrote them, which is recognised because all types are small.
func (l *Layers) nflog(b []byte) Found {
	const header, payloadType = 4, 9
	if len(b) < header+4 {
		return FoundBad
	}
	b = b[header:]
	var order binary.ByteOrder = binary.LittleEndian
	if order.Uint16(b[2:])&0x7fff > 0xff { // the highest bit: nested
		order = binary.BigEndian
	}
	for len(b) >= 4 {
		n := int(order.Uint16(b))
		if n < 4 {
			return FoundBad
		}
		if order.Uint16(b[2:])&0x7fff == payloadType {
			return l.ip(b[4:min(n, len(b))])
		}
		b = b[min((n+3)&^3, len(b)):]
	}
	return FoundOther // logged without its packet
}

// packetTap reads a header of macOS that announces the link type of what follows.
func (l *Layers) packetTap(b []byte) Found {
	if len(b) < 12 {
		return FoundBad
	}
	n, dlt := binary.LittleEndian.Uint32(b), binary.LittleEndian.Uint32(b[8:])
	if n < 12 || uint64(n) > uint64(len(b)) {
		return FoundBad
	}
	return l.announced(dlt, b[n:])
}

// ppi reads a header of Kismet and others that announces the link type of what follows.
func (l *Layers) ppi(b []byte) Found {
	if len(b) < 8 {
		return FoundBad
	}
	n, dlt := int(binary.LittleEndian.Uint16(b[2:])), binary.LittleEndian.Uint32(b[4:])
	if n < 8 || n > len(b) {
		return FoundBad
	}
	return l.announced(dlt, b[n:])
}

// announced continues with the link type that a header announced, unless that is another
// such header.
func (l *Layers) announced(number uint32, b []byte) Found {
	t := packet.LinkTypeOf(uint16(number))
	if number > 0xffff || t == packet.LinkPacketTap || t == packet.LinkPPI {
		return FoundUnknownLink
	}
	return l.link(t, b)
}

// juniper reads what a router's own capture puts in front of a frame, or of a packet
// whose link header it has removed.
func (l *Layers) juniper(b []byte) Found {
	const magic, noFrame, extended = "MGC", 0x02, 0x80
	if len(b) < 4 || string(b[:3]) != magic {
		return FoundBad
	}
	flags, n := b[3], 4
	if flags&extended != 0 {
		if len(b) < 6 {
			return FoundBad
		}
		n = 6 + int(binary.BigEndian.Uint16(b[4:]))
	}
	if flags&noFrame != 0 {
		return l.ipBehind(n+4, b) // the protocol family is in between
	}
	if len(b) < n {
		return FoundBad
	}
	return l.ethernet(b[n:])
}

// erf reads a record of an Endace card that holds an Ethernet frame.
func (l *Layers) erf(b []byte) Found {
	const header, more = 16, 0x80
	if len(b) < header {
		return FoundBad
	}
	kind, off := b[8], header
	for next := kind; next&more != 0; {
		if len(b) < off+8 {
			return FoundBad
		}
		next = b[off]
		off += 8
	}
	switch kind &^ more {
	case 2, 11, 16, 20: // Ethernet, with or without the card's colors and counters
		if len(b) < off+2 {
			return FoundBad
		}
		return l.ethernet(b[off+2:])
	case 22, 23: // IPv4, IPv6
		return l.ip(b[off:])
	}
	return FoundOther
}
