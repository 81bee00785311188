package decode

import (
	"encoding/binary"

	"dnsmonster-sensor/userspace/packet"
)

// overlay continues with a tunnel that has an Ethernet type of its own.
func (l *Layers) overlay(kind uint16, b []byte) Found {
	switch kind {
	case etherNSH:
		return l.nsh(b)
	case etherPBB:
		return l.pbb(b)
	case etherTRILL:
		return l.trill(b)
	case etherFabricPath:
		return l.fabricPath(b)
	}
	return FoundOther
}

// nsh reads a network service header (RFC 8300). The service path tells tunnels apart,
// the index on the path does not.
func (l *Layers) nsh(b []byte) Found {
	if len(b) < 8 {
		return FoundBad
	}
	if b[0]>>6 != 0 {
		return FoundOther
	}
	n, next := int(b[1]&0x3f)*4, b[3]
	if n < 8 || n > len(b) {
		return FoundBad
	}
	if next < nextIPv4 || next > nextMPLS {
		return FoundOther
	}
	if !l.enter(packet.TunnelNSH, binary.BigEndian.Uint32(b[4:])>>8) {
		return FoundTooDeep
	}
	return l.nextProtocol(next, b[n:])
}

// What follows a header of VXLAN-GPE, NSH or LISP.
const (
	nextIPv4 = 1 + iota
	nextIPv6
	nextEthernet
	nextNSH
	nextMPLS
)

func (l *Layers) nextProtocol(next byte, b []byte) Found {
	switch next {
	case nextEthernet:
		return l.ethernet(b)
	case nextNSH:
		return l.nsh(b)
	case nextMPLS:
		return l.mpls(b)
	}
	return l.ip(b)
}

// pbb reads an I-TAG (IEEE 802.1ah); a whole frame follows it.
func (l *Layers) pbb(b []byte) Found {
	if len(b) < 4 {
		return FoundBad
	}
	if !l.enter(packet.TunnelPBB, binary.BigEndian.Uint32(b)&0x00ff_ffff) {
		return FoundTooDeep
	}
	return l.ethernet(b[4:])
}

// trill reads a TRILL header (RFC 6325) with its options.
func (l *Layers) trill(b []byte) Found {
	if len(b) < 6 {
		return FoundBad
	}
	if b[0]>>6 != 0 {
		return FoundOther
	}
	n := 6 + int(binary.BigEndian.Uint16(b)>>6&0x1f)*4
	if len(b) < n {
		return FoundBad
	}
	if !l.enter(packet.TunnelTRILL, binary.BigEndian.Uint32(b[2:])) {
		return FoundTooDeep
	}
	return l.ethernet(b[n:])
}

// fabricPath reads Cisco's header: a forwarding tag and a time to live after the
// Ethernet type.
func (l *Layers) fabricPath(b []byte) Found {
	if len(b) < 2 {
		return FoundBad
	}
	if !l.enter(packet.TunnelFabricPath, 0) {
		return FoundTooDeep
	}
	return l.ethernet(b[2:])
}

// etherIP reads EtherIP's header (RFC 3378).
func (l *Layers) etherIP(b []byte) Found {
	if len(b) < 2 {
		return FoundBad
	}
	if b[0]>>4 != 3 {
		return FoundOther
	}
	if !l.enter(packet.TunnelEtherIP, 0) {
		return FoundTooDeep
	}
	return l.ethernet(b[2:])
}
