package dns

import "encoding/binary"

const (
	maxNameWire = 255 // RFC 1035 section 3.1
	maxPointers = 126 // a name of 255 bytes has at most 127 labels, and a pointer each
	typeA       = 1
	typeAAAA    = 28
	typeOPT     = 41
)

// reader walks a message. good is a pointer target that has been checked
// already: most pointers of a message go to the same few places.
type reader struct {
	msg  []byte
	off  int
	good int
}

// skipName moves past the name at off and checks all of it, behind pointers
// too: RFC 1035 section 4.1.4 leaves no way to read a name that fails here.
func (r *reader) skipName() Fault {
	msg, off := r.msg, r.off
	length := 0
	for {
		if off >= len(msg) {
			return FaultName
		}
		c := int(msg[off])
		switch {
		case c == 0:
			r.off = off + 1
			if length+1 > maxNameWire {
				return FaultName
			}
			return FaultNone
		case c < 64:
			length += c + 1
			off += c + 1
		case c >= 0xc0:
			if off+2 > len(msg) {
				return FaultName
			}
			target := int(binary.BigEndian.Uint16(msg[off:])) & 0x3fff
			r.off = off + 2
			if length == 0 && target == r.good && target != 0 {
				return FaultNone
			}
			f := r.followPointer(target, length)
			if f == FaultNone {
				r.good = target
			}
			return f
		default: // 0x40 and 0x80 are reserved (RFC 6891 section 5)
			return FaultName
		}
	}
}

// followPointer checks a name's rest, of which length bytes are known.
func (r *reader) followPointer(off, length int) Fault {
	msg := r.msg
	for hops := 1; ; {
		if off >= len(msg) {
			return FaultPointer
		}
		c := int(msg[off])
		switch {
		case c == 0:
			if length+1 > maxNameWire {
				return FaultName
			}
			return FaultNone
		case c < 64:
			length += c + 1
			if length > maxNameWire {
				return FaultName
			}
			off += c + 1
		case c >= 0xc0:
			if off+2 > len(msg) {
				return FaultPointer
			}
			if hops++; hops > maxPointers {
				return FaultPointer
			}
			off = int(binary.BigEndian.Uint16(msg[off:])) & 0x3fff
		default:
			return FaultName
		}
	}
}

// skipRecords moves past n resource records. Where edns is given, OPT records
// are read into it. On a fault it tells the record's index.
func (r *reader) skipRecords(n uint16, edns *EDNS) (Fault, uint16) {
	for i := range n {
		if r.off == len(r.msg) {
			return FaultShort, i
		}
		if f := r.skipName(); f != FaultNone {
			return f, i
		}
		if r.off+10 > len(r.msg) {
			return FaultRecord, i
		}
		fixed := r.msg[r.off : r.off+10]
		data := int(binary.BigEndian.Uint16(fixed[8:]))
		if r.off+10+data > len(r.msg) {
			return FaultRecord, i
		}
		if edns != nil && binary.BigEndian.Uint16(fixed) == typeOPT {
			*edns = EDNS{
				Present:   true,
				UDPSize:   binary.BigEndian.Uint16(fixed[2:]),
				ExtRcode:  fixed[4],
				Version:   fixed[5],
				DO:        fixed[6]&0x80 != 0,
				DataStart: uint16(r.off + 10),
				DataLen:   uint16(data),
			}
		}
		r.off += 10 + data
	}
	return FaultNone, 0
}

// AppendName appends the name at off to dst in presentation format, with its
// final dot, escaped as miekg/dns escapes it: a backslash before the characters
// that zone files treat as special, \DDD for bytes outside 0x20..0x7e. It
// returns the extended dst and false where the name is bad; then what was
// appended is the part that can be read.
func AppendName(dst, msg []byte, off int) ([]byte, bool) {
	start := len(dst)
	for hops, length := 0, 0; ; {
		if off >= len(msg) {
			return dst, false
		}
		c := int(msg[off])
		switch {
		case c == 0:
			if len(dst) == start {
				dst = append(dst, '.')
			}
			return dst, true
		case c < 64:
			if length += c + 1; length >= maxNameWire || off+1+c > len(msg) {
				return dst, false
			}
			dst = AppendLabel(dst, msg[off+1:off+1+c])
			dst = append(dst, '.')
			off += c + 1
		case c >= 0xc0:
			if hops++; hops > maxPointers || off+2 > len(msg) {
				return dst, false
			}
			off = int(binary.BigEndian.Uint16(msg[off:])) & 0x3fff
		default:
			return dst, false
		}
	}
}

// AppendLabel appends a label as AppendName writes it, without a dot.
func AppendLabel(dst, label []byte) []byte {
	for _, c := range label {
		switch plain[c] {
		case asIs:
			dst = append(dst, c)
		case escaped:
			dst = append(dst, '\\', c)
		default:
			dst = append(dst, '\\', '0'+c/100, '0'+c/10%10, '0'+c%10)
		}
	}
	return dst
}

const (
	decimal = iota
	asIs
	escaped
)

// plain says how each byte of a label is written.
var plain = func() (t [256]uint8) {
	for c := ' '; c <= '~'; c++ {
		t[c] = asIs
	}
	for _, c := range ` .'@;()"\` {
		t[c] = escaped
	}
	return t
}()
