package tcp

import "encoding/binary"

// A verdict on whether a message begins somewhere.
type verdict uint8

const (
	no verdict = iota
	yes
	more // too few bytes to tell
)

// place says how much evidence a guess needs.
type place uint8

const (
	atSegment place = iota // messages mostly begin where segments do: the header is enough
	inside                 // anywhere: the question, too, or the next message's length
)

const (
	headerLen  = 12
	maxName    = 255
	mostToKnow = 2 + headerLen + maxName + 4
	opcodeDSO  = 6 // the highest that is registered
)

// judge tells whether b starts with a message's length and the message.
func judge(b []byte, p place) verdict {
	if len(b) < 2+headerLen {
		if len(b) >= 2 && binary.BigEndian.Uint16(b) < headerLen {
			return no
		}
		return more
	}
	n := int(binary.BigEndian.Uint16(b))
	if !plausibleHeader(b[2:], n) {
		return no
	}
	question := no
	if binary.BigEndian.Uint16(b[6:]) == 1 {
		question = plausibleQuestion(b[2+headerLen : min(len(b), 2+n)])
		if question == more && len(b) >= 2+n {
			question = no
		}
		if question == no {
			return no
		}
	}
	if p == atSegment {
		return yes
	}
	if rest := len(b) - 2 - n; rest == 0 || rest >= 2 && binary.BigEndian.Uint16(b[2+n:]) >= headerLen {
		if rest < 2+headerLen || plausibleHeader(b[2+n+2:], int(binary.BigEndian.Uint16(b[2+n:]))) {
			return yes
		}
		return no
	}
	return question
}

// plausibleHeader tells whether b can be the beginning of a message of n bytes.
func plausibleHeader(b []byte, n int) bool {
	if len(b) < headerLen || n < headerLen {
		return false
	}
	flags := binary.BigEndian.Uint16(b[2:])
	opcode := flags >> 11 & 15
	if opcode > opcodeDSO || flags&0x0040 != 0 {
		return false
	}
	qd, an := int(binary.BigEndian.Uint16(b[4:])), int(binary.BigEndian.Uint16(b[6:]))
	ns, ar := int(binary.BigEndian.Uint16(b[8:])), int(binary.BigEndian.Uint16(b[10:]))
	// The smallest question has 5 bytes, the smallest record 11. A header alone
	// is an answer that refuses; DSO has no sections (RFC 8490).
	return qd <= 1 && headerLen+5*qd+11*(an+ns+ar) <= n && (qd+an > 0 || flags&0x8000 != 0 || opcode == opcodeDSO && ns+ar == 0)
}

// plausibleQuestion tells whether b starts with a name, a type and a class.
func plausibleQuestion(b []byte) verdict {
	for off := 0; off < maxName; {
		if off >= len(b) {
			return more
		}
		c := int(b[off])
		if c > 63 {
			return no
		}
		off += 1 + c
		if c > 0 {
			continue
		}
		if len(b) < off+4 {
			return more
		}
		class := binary.BigEndian.Uint16(b[off+2:])
		if binary.BigEndian.Uint16(b[off:]) != 0 && (class >= 1 && class <= 4 || class == 254 || class == 255) {
			return yes
		}
		return no
	}
	return no
}
