package decode

import (
	"encoding/binary"

	"dnsmonster-sensor/userspace/packet"
)

// lisp reads a header of LISP's data plane (RFC 9300), or of its extension that
// says what follows (RFC 9305).
func (l *Layers) lisp(b []byte) Found {
	const hasInstance, hasNext, secret = 0x08, 0x04, 0x03
	if len(b) < 8 || b[0]&secret != 0 {
		return FoundUDP
	}
	id := uint32(0)
	if b[0]&hasInstance != 0 {
		id = binary.BigEndian.Uint32(b[4:]) >> 8
	}
	frame := b[0]&hasNext != 0 && b[3] == 3
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
