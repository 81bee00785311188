package decode

import (
	"encoding/binary"

	"dnsmonster-sensor/userspace/packet"
)

// Bits of the GRE header's first 16 (RFC 2784, RFC 2890, RFC 2637).
const (
	greChecksum = 0x8000
	greRouting  = 0x4000
	greKey      = 0x2000
	greSequence = 0x1000
	greAck      = 0x0080 // version 1
	greVersion  = 0x0007

	greEoIP = 0x6400 // MikroTik's, with version 1's key
)

// gre reads a GRE header, of version 0 or, as PPTP uses it, 1.
func (l *Layers) gre(b []byte) Found {
	if len(b) < 4 {
		return FoundBad
	}
	flags, kind := binary.BigEndian.Uint16(b), binary.BigEndian.Uint16(b[2:])
	if flags&greVersion > 1 {
		return FoundOther
	}
	b, id := pastGRE(flags, b)
	switch {
	case b == nil:
		return FoundBad
	case len(b) == 0: // keep-alives and acknowledgements carry nothing
		return FoundOther
	}
	return l.greBody(packet.TunnelGRE, kind, flags, id, b)
}

// greUDP reads a GRE header in UDP (RFC 8086). What follows must look like what
// it announces where reserved bits are set, and IP always: encrypted datagrams
// (DTLS) come to the same ports.
func (l *Layers) greUDP(b []byte) Found {
	if len(b) < 4 {
		return FoundUDP
	}
	flags, kind := binary.BigEndian.Uint16(b), binary.BigEndian.Uint16(b[2:])
	if flags&greVersion != 0 || kind <= lastLen {
		return FoundUDP
	}
	b, id := pastGRE(flags, b)
	plain := flags&^(greChecksum|greKey|greSequence) == 0
	switch {
	case len(b) == 0:
		return FoundUDP
	case kind == etherIPv4 || kind == etherIPv6:
		if !looksLikeIP(b) {
			return FoundUDP
		}
	case !plain && !(kind == etherTEB && looksLikeEthernet(b)):
		return FoundUDP
	}
	return l.greBody(packet.TunnelGREUDP, kind, flags, id, b)
}

// pastGRE returns what stands behind a GRE header, and the key; nil where the
// header is cut.
func pastGRE(flags uint16, b []byte) ([]byte, uint32) {
	version := flags & greVersion
	off, id := 4, uint32(0)
	if version == 0 && flags&(greChecksum|greRouting) != 0 {
		off += 4
	}
	if flags&greKey != 0 {
		if len(b) < off+4 {
			return nil, 0
		}
		id = binary.BigEndian.Uint32(b[off:])
		if version == 1 {
			id &= 0xffff // the upper half is the payload's length
		}
		off += 4
	}
	if flags&greSequence != 0 {
		off += 4
	}
	if version == 1 && flags&greAck != 0 {
		off += 4
	}
	if version == 0 && flags&greRouting != 0 {
		if off = skipRoutes(b, off); off < 0 {
			return nil, 0
		}
	}
	return b[min(off, len(b)):], id
}

// skipRoutes moves past source route entries (RFC 1701), the last of which is
// empty. It returns -1 where they do not end.
func skipRoutes(b []byte, off int) int {
	for off+4 <= len(b) {
		n := int(b[off+3])
		if off += 4 + n; n == 0 {
			return off
		}
	}
	return -1
}

func (l *Layers) greBody(t packet.Tunnel, kind, flags uint16, id uint32, b []byte) Found {
	if kind == etherERSPAN || kind == etherERSPAN3 {
		t = packet.TunnelERSPAN
		if b, id = erspan(kind, flags, b); b == nil {
			return FoundBad
		}
	}
	if !l.enter(t, id) {
		return FoundTooDeep
	}
	switch kind {
	case etherTEB, etherERSPAN, etherERSPAN3, greEoIP:
		return l.ethernet(b)
	case etherPPP:
		return l.ppp(b)
	}
	return l.ether(kind, b)
}

// erspan takes the header of type II or III away; type I has none, and no GRE
// sequence number either (draft-foschiano-erspan). It returns the session, too.
func erspan(kind, flags uint16, b []byte) ([]byte, uint32) {
	if kind == etherERSPAN && flags&greSequence == 0 {
		return b, 0
	}
	n := 8
	if kind == etherERSPAN3 {
		n = 12
		if len(b) >= n && b[11]&1 != 0 { // a subheader of the platform
			n += 8
		}
	}
	if len(b) < n {
		return nil, 0
	}
	return b[n:], uint32(binary.BigEndian.Uint16(b[2:]) & 0x03ff)
}

// udpTunnel goes on in a datagram on a tunnel's port. One that does not look
// like the tunnel stays what it is: a datagram.
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

// mplsUDP reads labels in UDP (RFC 7510).
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
		if in := b[off:]; !looksLikeIP(in) && !looksLikeEthernet(in) && (len(in) < 4 || in[0]>>4 != 0 || !looksLikeEthernet(in[4:])) {
			return FoundUDP
		}
		break
	}
	if !l.enter(packet.TunnelMPLSUDP, 0) {
		return FoundTooDeep
	}
	return l.mpls(b)
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

// vxlan reads a VXLAN header (RFC 7348), with or without a group policy. Other
// reserved bits are to be ignored, but then the frame must look like one.
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
	next := byte(3) // without the flag it is plain VXLAN
	if b[0]&0x04 != 0 {
		next = b[3]
	}
	plain := b[0]&^0x07 == 0x08 && b[1]|b[2]|b[7] == 0
	switch {
	case next < 1 || next > 5:
		return FoundUDP
	case next < 3 && !looksLikeIP(b[8:]), next == 3 && !plain && !looksLikeEthernet(b[8:]), next > 3 && !plain:
		return FoundUDP
	}
	if !l.enter(packet.TunnelVXLANGPE, binary.BigEndian.Uint32(b[4:])>>8) {
		return FoundTooDeep
	}
	switch next {
	case 3:
		return l.ethernet(b[8:])
	case 4:
		return l.nsh(b[8:])
	case 5:
		return l.mpls(b[8:])
	}
	return l.ip(b[8:])
}

// geneve reads a GENEVE header (RFC 8926). Reserved bits are to be ignored, but
// then what follows must look like what the header says.
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

// teredo reads the headers that can stand before the IPv6 packet (RFC 4380
// section 5.1.1).
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
