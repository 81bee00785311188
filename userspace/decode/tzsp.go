package decode

import (
	"encoding/binary"

	"dnsmonster-sensor/userspace/packet"
)

// tzsp reads the header and tags that remote sniffers put in front of a frame (TaZmen
// Sniffer Protocol, version 1).
func (l *Layers) tzsp(b []byte) Found {
	const keepAlive, portOpener = 4, 5
	if len(b) < 5 || b[0] != 1 || b[1] == keepAlive || b[1] >= portOpener {
		return FoundUDP
	}
	kind := binary.BigEndian.Uint16(b[2:])
	b = pastTags(b[4:])
	if len(b) == 0 {
		return FoundUDP
	}
	link, known := tzspLink(kind)
	if !known {
		return FoundUDP
	}
	if !l.enter(packet.TunnelTZSP, 0) {
		return FoundTooDeep
	}
	return l.link(link, b)
}

// pastTags returns the bytes after the last tag; nil if the tags do not end.
func pastTags(b []byte) []byte {
	const padding, end = 0, 1
	for len(b) > 0 {
		switch {
		case b[0] == end:
			return b[1:]
		case b[0] == padding:
			b = b[1:]
		case len(b) < 2 || len(b) < 2+int(b[1]):
			return nil
		default:
			b = b[2+int(b[1]):]
		}
	}
	return nil
}

// tzspLink maps TZSP's number of an encapsulation to its link type.
func tzspLink(kind uint16) (packet.LinkType, bool) {
	switch kind {
	case 1:
		return packet.LinkEthernet, true
	case 4:
		return packet.LinkPPP, true
	case 5:
		return packet.LinkFDDI, true
	case 7:
		return packet.LinkRaw, true
	case 18:
		return packet.LinkWLAN, true
	case 119:
		return packet.LinkPrism, true
	case 127:
		return packet.LinkAVS, true
	}
	return 0, false
}
