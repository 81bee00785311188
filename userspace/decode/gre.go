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

// greUDP reads a GRE header in UDP (RFC 8086). Encrypted datagrams (DTLS) use the same
// ports, so IP must look like IP. Where reserved bits are set, the only other payload
// accepted is Ethernet that looks like it.
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

// pastGRE returns the bytes after a GRE header, and the key; nil if the header is cut.
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

// skipRoutes returns the offset after source route entries (RFC 1701), the last of
// which is empty; -1 if they do not end.
func skipRoutes(b []byte, off int) int {
	for off+4 <= len(b) {
		n := int(b[off+3])
		if off += 4 + n; n == 0 {
			return off
		}
	}
	return -1
}

// greBody enters the tunnel and continues with what it carries.
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

// erspan removes the header of type II or III, and returns the session as well. Type I
// has no header and no GRE sequence number (draft-foschiano-erspan).
func erspan(kind, flags uint16, b []byte) ([]byte, uint32) {
	if kind == etherERSPAN && flags&greSequence == 0 {
		return b, 0
	}
	n := 8
	if kind == etherERSPAN3 {
		n = 12
		if len(b) >= n && b[11]&1 != 0 { // a platform-specific subheader
			n += 8
		}
	}
	if len(b) < n {
		return nil, 0
	}
	return b[n:], uint32(binary.BigEndian.Uint16(b[2:]) & 0x03ff)
}
