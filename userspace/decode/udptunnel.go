package decode

import (
	"encoding/binary"

	"dnsmonster-sensor/userspace/packet"
)

// udpTunnel enters the tunnel in a datagram on its port. A datagram that does not look
// like the tunnel is an ordinary one.
func (l *Layers) udpTunnel(t packet.Tunnel) Found {
	b := l.Payload
	switch t {
	case packet.TunnelVXLAN:
		return l.vxlan(b)
	case packet.TunnelVXLANGPE:
		return l.vxlanGPE(b)
	case packet.TunnelGENEVE:
		return l.geneve(b)
	case packet.TunnelTeredo:
		return l.teredo(b)
	case packet.TunnelGTP:
		return l.gtp(b)
	case packet.TunnelGREUDP:
		return l.greUDP(b)
	case packet.TunnelMPLSUDP:
		return l.mplsUDP(b)
	case packet.TunnelTZSP:
		return l.tzsp(b)
	case packet.TunnelL2TP:
		return l.l2tp(b)
	case packet.TunnelLISP:
		return l.lisp(b)
	}
	return FoundUDP
}

// mplsUDP reads labels in UDP (RFC 7510). The payload must look like IP or Ethernet.
func (l *Layers) mplsUDP(b []byte) Found {
	off := 0
	for deep := 0; deep < maxLabels; deep++ {
		if len(b) < off+4 {
			return FoundUDP
		}
		off += 4
		if b[off-2]&1 == 0 { // not the bottom
			continue
		}
		if in := b[off:]; !looksLikeIP(in) && pseudowireFrame(in) == nil {
			return FoundUDP
		}
		break
	}
	if !l.enter(packet.TunnelMPLSUDP, 0) {
		return FoundTooDeep
	}
	return l.mpls(b)
}

// vxlan reads a VXLAN header (RFC 7348), with or without a group policy. Other reserved
// bits are to be ignored; where one is set, the payload must look like Ethernet.
func (l *Layers) vxlan(b []byte) Found {
	if len(b) < 8+14 || b[0]&0x08 == 0 {
		return FoundUDP
	}
	plain := b[0] == 0x08 && b[1]|b[2]|b[3]|b[7] == 0 || b[0] == 0x88 && b[1]&^0x48|b[7] == 0
	if !plain && !looksLikeEthernet(b[8:]) {
		return FoundUDP
	}
	if !l.enter(packet.TunnelVXLAN, binary.BigEndian.Uint32(b[4:])>>8) {
		return FoundTooDeep
	}
	return l.ethernet(b[8:])
}

// vxlanGPE reads a VXLAN header that says what follows
// (draft-ietf-nvo3-vxlan-gpe).
func (l *Layers) vxlanGPE(b []byte) Found {
	if len(b) < 8+14 || b[0]&0x08 == 0 {
		return FoundUDP
	}
	next := byte(nextEthernet) // without the flag it is plain VXLAN
	if b[0]&0x04 != 0 {
		next = b[3]
	}
	plain := b[0]&^0x07 == 0x08 && b[1]|b[2]|b[7] == 0
	switch {
	case next < nextIPv4 || next > nextMPLS:
		return FoundUDP
	case next < nextEthernet && !looksLikeIP(b[8:]), next == nextEthernet && !plain && !looksLikeEthernet(b[8:]), next > nextEthernet && !plain:
		return FoundUDP
	}
	if !l.enter(packet.TunnelVXLANGPE, binary.BigEndian.Uint32(b[4:])>>8) {
		return FoundTooDeep
	}
	return l.nextProtocol(next, b[8:])
}

// geneve reads a GENEVE header (RFC 8926). Reserved bits are to be ignored; where one is
// set, the payload must look like what the header announces.
func (l *Layers) geneve(b []byte) Found {
	if len(b) < 8 || b[0]>>6 != 0 {
		return FoundUDP
	}
	header, kind := 8+int(b[0]&0x3f)*4, binary.BigEndian.Uint16(b[2:])
	if len(b) < header || kind <= lastLen {
		return FoundUDP
	}
	plain := b[1]&0x3f|b[7] == 0
	switch kind {
	case etherIPv4, etherIPv6:
		if !looksLikeIP(b[header:]) {
			return FoundUDP
		}
	case etherTEB:
		if !plain && !looksLikeEthernet(b[header:]) {
			return FoundUDP
		}
	default:
		if !plain {
			return FoundUDP
		}
	}
	if !l.enter(packet.TunnelGENEVE, binary.BigEndian.Uint32(b[4:])>>8) {
		return FoundTooDeep
	}
	if kind == etherTEB {
		return l.ethernet(b[header:])
	}
	return l.ether(kind, b[header:])
}

// teredo reads the headers that can precede the IPv6 packet (RFC 4380 section 5.1.1).
func (l *Layers) teredo(b []byte) Found {
	if len(b) >= 13 && b[0] == 0 && b[1] == 1 { // authentication
		b = b[min(len(b), 13+int(b[2])+int(b[3])):]
	}
	if len(b) >= 8 && b[0] == 0 && b[1] == 0 { // origin
		b = b[8:]
	}
	if len(b) < 40 || b[0]>>4 != 6 || 40+int(binary.BigEndian.Uint16(b[4:])) > len(b)+l.Missing {
		return FoundUDP
	}
	if !l.enter(packet.TunnelTeredo, 0) {
		return FoundTooDeep
	}
	return l.ipv6(b)
}

// gtp reads a GTP-U header and its extension headers (3GPP TS 29.281).
func (l *Layers) gtp(b []byte) Found {
	const packetType = 0xff
	if len(b) < 8 || b[0]>>4 != 3 || b[1] != packetType || 8+int(binary.BigEndian.Uint16(b[2:])) > len(b)+l.Missing {
		return FoundUDP
	}
	id, off := binary.BigEndian.Uint32(b[4:]), 8
	if b[0]&7 != 0 { // sequence number, N-PDU number and extension: all three or none
		off += 4
		next := byte(0)
		if len(b) >= off && b[0]&4 != 0 {
			next = b[off-1]
		}
		for next != 0 {
			if len(b) <= off || b[off] == 0 || len(b) < off+int(b[off])*4 {
				return FoundUDP
			}
			off += int(b[off]) * 4
			next = b[off-1]
		}
	}
	if len(b) < off || !looksLikeIP(b[off:]) {
		return FoundUDP
	}
	if !l.enter(packet.TunnelGTP, id) {
		return FoundTooDeep
	}
	return l.ip(b[off:])
}

// lisp reads a header of LISP's data plane (RFC 9300), or of its extension that announces
// what follows (RFC 9305).
func (l *Layers) lisp(b []byte) Found {
	const hasInstance, hasNext, encrypted = 0x08, 0x04, 0x03
	if len(b) < 8 || b[0]&encrypted != 0 {
		return FoundUDP
	}
	id := uint32(0)
	if b[0]&hasInstance != 0 {
		id = binary.BigEndian.Uint32(b[4:]) >> 8
	}
	frame := b[0]&hasNext != 0 && b[3] == nextEthernet
	if frame && !looksLikeEthernet(b[8:]) || !frame && !looksLikeIP(b[8:]) {
		return FoundUDP
	}
	if !l.enter(packet.TunnelLISP, id) {
		return FoundTooDeep
	}
	if frame {
		return l.ethernet(b[8:])
	}
	return l.ip(b[8:])
}
