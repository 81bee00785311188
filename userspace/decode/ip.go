package decode

import (
	"encoding/binary"

	"dnsmonster-sensor/userspace/packet"
)

// IP protocol numbers, https://www.iana.org/assignments/protocol-numbers.
const (
	protoHopByHop = 0
	protoIPv4     = 4
	protoTCP      = 6
	protoUDP      = 17
	protoIPv6     = 41
	protoRouting  = 43
	protoFragment = 44
	protoGRE      = 47
	protoAH       = 51
	protoDestOpts = 60
	protoEtherIP  = 97
	protoL2TP     = 115
	protoMobility = 135
	protoMPLS     = 137
	protoHIP      = 139
	protoShim6    = 140
	protoEthernet = 143

	maxExtensions = 16
)

// ip reads an IP header of either version.
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

// ipv4 reads an IPv4 header (RFC 791).
func (l *Layers) ipv4(b []byte) Found {
	if len(b) < 20 {
		return FoundBad
	}
	header, total := int(b[0]&15)*4, int(binary.BigEndian.Uint16(b[2:]))
	if b[0]>>4 != 4 || header < 20 || header > len(b) {
		return FoundBad
	}
	l.Src, l.Dst, l.ID = b[12:16], b[16:20], uint32(binary.BigEndian.Uint16(b[4:]))
	if total == 0 { // segmentation offload: more than 64 KiB, or the card fills it in
		total = len(b) + l.cut
	}
	if total < header {
		return FoundBad
	}
	l.Missing = max(0, total-len(b))
	body := b[header:min(total, len(b))]
	if frag := binary.BigEndian.Uint16(b[6:]); frag&0x3fff != 0 { // MF or an offset
		l.Payload = body
		l.FragOffset, l.FragMore, l.FragProto = int(frag&0x1fff)*8, frag&0x2000 != 0, b[9]
		return FoundFragment
	}
	if b[9] == protoUDP { // nearly always
		return l.udp(body)
	}
	return l.transport(b[9], body)
}

// ipv6 reads an IPv6 header and its extension headers (RFC 8200).
func (l *Layers) ipv6(b []byte) Found {
	if len(b) < 40 || b[0]>>4 != 6 {
		return FoundBad
	}
	l.Src, l.Dst, l.ID = b[8:24], b[24:40], 0
	length := int(binary.BigEndian.Uint16(b[4:]))
	body := b[40:]
	if length == 0 { // a jumbogram, or segmentation offload
		length = len(body) + l.cut
	}
	l.Missing = max(0, length-len(body))
	body = body[:min(length, len(body))]
	if b[6] == protoUDP { // nearly always
		return l.udp(body)
	}
	return l.extensions(b[6], body)
}

// extensions passes over the extension headers of IPv6.
func (l *Layers) extensions(next uint8, body []byte) Found {
	for range maxExtensions {
		switch next {
		case protoHopByHop, protoRouting, protoDestOpts, protoMobility, protoHIP, protoShim6:
			if len(body) < 8 || len(body) < 8+int(body[1])*8 {
				return FoundBad
			}
			next, body = body[0], body[8+int(body[1])*8:]
		case protoAH:
			if len(body) < 8 || len(body) < 8+int(body[1])*4 {
				return FoundBad
			}
			next, body = body[0], body[8+int(body[1])*4:]
		case protoFragment:
			if len(body) < 8 {
				return FoundBad
			}
			frag := binary.BigEndian.Uint16(body[2:])
			if frag&0xfff9 != 0 {
				l.ID = binary.BigEndian.Uint32(body[4:])
				l.FragOffset, l.FragMore, l.FragProto = int(frag&0xfff8), frag&1 != 0, body[0]
				l.Payload = body[8:]
				return FoundFragment
			}
			next, body = body[0], body[8:] // an atomic fragment (RFC 6946)
		default:
			return l.transport(next, body)
		}
	}
	return FoundTooDeep
}

// transport continues with what an IP header carries.
func (l *Layers) transport(proto uint8, b []byte) Found {
	switch proto {
	case protoUDP:
		return l.udp(b)
	case protoTCP:
		return l.tcp(b)
	case protoIPv4:
		if !l.enter(l.byVersion(packet.TunnelIPIP, packet.Tunnel4in6), 0) {
			return FoundTooDeep
		}
		return l.ipv4(b)
	case protoIPv6:
		if !l.enter(l.byVersion(packet.Tunnel6in4, packet.Tunnel6in6), 0) {
			return FoundTooDeep
		}
		return l.ipv6(b)
	case protoGRE:
		return l.gre(b)
	case protoMPLS: // RFC 4023
		if !l.enter(packet.TunnelMPLS, 0) {
			return FoundTooDeep
		}
		return l.mpls(b)
	case protoL2TP:
		return l.l2tp3(b, FoundOther)
	case protoEtherIP:
		return l.etherIP(b)
	case protoEthernet: // RFC 8986
		if !l.enter(packet.TunnelEtherIP, 0) {
			return FoundTooDeep
		}
		return l.ethernet(b)
	case protoAH:
		if len(b) < 8 || len(b) < 8+int(b[1])*4 {
			return FoundBad
		}
		if b[0] == protoAH {
			return FoundTooDeep
		}
		return l.transport(b[0], b[8+int(b[1])*4:])
	}
	return FoundOther
}

// byVersion returns v4 or v6, by the version of the IP header around the tunnel.
func (l *Layers) byVersion(v4, v6 packet.Tunnel) packet.Tunnel {
	if len(l.Src) == 4 {
		return v4
	}
	return v6
}

// udp reads a UDP header (RFC 768), and enters a tunnel in its payload.
func (l *Layers) udp(b []byte) Found {
	if len(b) < 8 {
		return FoundBad
	}
	length := int(binary.BigEndian.Uint16(b[4:]))
	if length == 0 { // a jumbogram, or segmentation offload
		length = len(b) + l.Missing
	}
	if length < 8 {
		return FoundBad
	}
	l.SrcPort, l.DstPort = binary.BigEndian.Uint16(b), binary.BigEndian.Uint16(b[2:])
	l.Missing = max(0, length-len(b))
	l.Payload = b[8:min(length, len(b))]
	if l.decoder.mayBeTunnel(l.SrcPort, l.DstPort) {
		return l.udpTunnel(l.decoder.tunnel(l.SrcPort, l.DstPort))
	}
	return FoundUDP
}

// tcp reads a TCP header (RFC 9293).
func (l *Layers) tcp(b []byte) Found {
	if len(b) < 20 {
		return FoundBad
	}
	header := int(b[12]>>4) * 4
	if header < 20 || header > len(b) {
		return FoundBad
	}
	l.SrcPort, l.DstPort = binary.BigEndian.Uint16(b), binary.BigEndian.Uint16(b[2:])
	l.Seq, l.TCPFlags = binary.BigEndian.Uint32(b[4:]), b[13]
	l.Payload = b[header:]
	return FoundTCP
}
