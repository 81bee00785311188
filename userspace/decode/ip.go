package decode

import "encoding/binary"

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
	protoMobility = 135
	protoHIP      = 139
	protoShim6    = 140

	maxExtensions = 16
)

// ipv4 reads an IPv4 header (RFC 791).
func (l *Layers) ipv4(b []byte) Found {
	if len(b) < 20 {
		return FoundBad
	}
	header, total := int(b[0]&15)*4, int(binary.BigEndian.Uint16(b[2:]))
	if b[0]>>4 != 4 || header < 20 || header > len(b) {
		return FoundBad
	}
	l.Src, l.Dst = b[12:16], b[16:20]
	if total == 0 { // segmentation offload of more than 64 KiB, or by a card that fills it in
		total = len(b)
	}
	if total < header {
		return FoundBad
	}
	l.Missing = max(0, total-len(b))
	body := b[header:min(total, len(b))]
	if binary.BigEndian.Uint16(b[6:])&0x3fff != 0 { // MF or an offset
		l.Payload = body
		return FoundFragment
	}
	return l.transport(b[9], body)
}

// ipv6 reads an IPv6 header and its extension headers (RFC 8200).
func (l *Layers) ipv6(b []byte) Found {
	if len(b) < 40 || b[0]>>4 != 6 {
		return FoundBad
	}
	l.Src, l.Dst = b[8:24], b[24:40]
	next, length := b[6], int(binary.BigEndian.Uint16(b[4:]))
	body := b[40:]
	if length == 0 { // a jumbogram, or segmentation offload
		length = len(body)
	}
	l.Missing = max(0, length-len(body))
	body = body[:min(length, len(body))]
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
			if binary.BigEndian.Uint16(body[2:])&0xfff9 != 0 {
				l.Payload = body
				return FoundFragment
			}
			next, body = body[0], body[8:] // an atomic fragment (RFC 6946)
		default:
			return l.transport(next, body)
		}
	}
	return FoundUnread
}

// transport reads the UDP (RFC 768) or TCP (RFC 9293) header in an IP payload.
func (l *Layers) transport(proto uint8, b []byte) Found {
	switch proto {
	case protoUDP:
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
		l.ports(b)
		l.Missing = max(0, length-len(b))
		l.Payload = b[8:min(length, len(b))]
		return FoundUDP
	case protoTCP:
		if len(b) < 20 {
			return FoundBad
		}
		header := int(b[12]>>4) * 4
		if header < 20 || header > len(b) {
			return FoundBad
		}
		l.ports(b)
		l.Payload = b[header:]
		return FoundTCP
	case protoIPv4, protoIPv6, protoGRE:
		return FoundUnread
	}
	return FoundOther
}

func (l *Layers) ports(b []byte) {
	l.SrcPort, l.DstPort = binary.BigEndian.Uint16(b), binary.BigEndian.Uint16(b[2:])
}
