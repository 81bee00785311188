package dns

// Limits of a name. RFC 1035 does not limit the number of pointers. A name of MaxName
// bytes has at most 127 labels; miekg/dns allows one pointer fewer than that.
const (
	MaxName     = 255 // bytes of all labels with their lengths, and the final zero (RFC 1035 section 3.1)
	MaxPointers = 126
	MaxTarget   = 1<<14 - 1 // the highest offset that a pointer can have
	maxLabel    = 63
)

// NamePart is the kind of one part of a name: a label, a pointer or the end. The upper
// two bits of its first byte determine it (RFC 1035 section 4.1.4). With 00 the byte is
// the length of a label, or, if it is zero, the end of the name. With 11 it starts a
// pointer of two bytes, whose lower 14 bits are the offset in the message where the name
// goes on. 01 and 10 are reserved (RFC 6891 section 5).
type NamePart uint8

// The parts of a name.
const (
	NameEnd      NamePart = iota // the final zero
	NameLabel                    // a length and as many bytes
	NamePointer                  // two bytes
	NameReserved                 // no name can go on here
	NameShort                    // the message ends here, or within a pointer
)

// ReadNamePart reads the part at off. n is the length of a label, which may run past
// the end of the message, or the target of a pointer. All readers of names are built on
// it, except two that are faster without: skipName, for Read, and package format's for
// JSON.
func ReadNamePart(msg []byte, off int) (part NamePart, n int) {
	if uint(off) >= uint(len(msg)) {
		return NameShort, 0
	}
	c := int(msg[off])
	if c <= maxLabel {
		if c > 0 {
			return NameLabel, c
		}
		return NameEnd, 0
	}
	if c < 0xc0 {
		return NameReserved, 0
	}
	if off++; off < len(msg) {
		return NamePointer, c&0x3f<<8 | int(msg[off])
	}
	return NameShort, 0
}

// SkipName skips the labels at off, however many, and the final zero or the pointer
// after them, which it does not follow. next is the offset after the name, and target
// the offset to which the pointer leads. If part is neither NameEnd nor NamePointer, next
// is the offset where the name cannot go on, which may be past the end of msg.
func SkipName(msg []byte, off int) (part NamePart, next, target int) {
	for {
		part, n := ReadNamePart(msg, off)
		switch part {
		case NameLabel:
			off += 1 + n
		case NameEnd:
			return part, off + 1, 0
		case NamePointer:
			return part, off + 2, n
		default:
			return part, off, 0
		}
	}
}

// reader reads a message from front to back. good is the last pointer target that was
// checked: most pointers of a message share a few targets.
type reader struct {
	msg  []byte
	off  int
	good int
}

// skipName moves past the name at off and checks all of it, even where its pointer
// leads. It reads the parts itself: on top of ReadNamePart, reading a response takes 9 %
// longer. FuzzRead compares the two.
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
			if length+1 > MaxName {
				return FaultName
			}
			return FaultNone
		case c <= maxLabel:
			length += c + 1
			off += c + 1
		case c >= 0xc0:
			if off+2 > len(msg) {
				return FaultName
			}
			target := c&0x3f<<8 | int(msg[off+1])
			r.off = off + 2
			if length == 0 && target == r.good && target != 0 {
				return FaultNone
			}
			f := r.followPointer(target, length)
			if f == FaultNone {
				r.good = target
			}
			return f
		default:
			return FaultName
		}
	}
}

// followPointer checks the rest of a name, from off on. length is the number of bytes
// before that.
func (r *reader) followPointer(off, length int) Fault {
	for range MaxPointers {
		part, next, target := SkipName(r.msg, off)
		more := next - off
		if part == NamePointer {
			more -= 2
		}
		length += more
		switch {
		case more > 0 && length > MaxName, part == NameReserved:
			return FaultName
		case part == NameEnd:
			return FaultNone
		case part == NameShort:
			return FaultPointer
		}
		off = target
	}
	return FaultPointer
}

// AppendName appends the name at off to dst in presentation format, with its
// final dot, escaped as miekg/dns escapes it: a backslash before the characters
// that zone files treat as special, \DDD for bytes outside 0x20..0x7e. It
// returns the extended dst, and false if the name is bad: then it has appended the
// labels before the fault.
func AppendName(dst, msg []byte, off int) ([]byte, bool) {
	if dst, ok := appendPlainName(dst, msg, off); ok { // nearly all names of questions
		return dst, true
	}
	start := len(dst)
	for pointers, length := 0, 0; ; {
		part, n := ReadNamePart(msg, off)
		if part == NameLabel {
			end := off + 1 + n
			if length += n + 1; length >= MaxName || end > len(msg) {
				return dst, false
			}
			dst = append(AppendLabel(dst, msg[off+1:end]), '.')
			off = end
			continue
		}
		if part == NamePointer {
			if pointers++; pointers > MaxPointers {
				return dst, false
			}
			off = n
			continue
		}
		if len(dst) == start && part == NameEnd {
			dst = append(dst, '.')
		}
		return dst, part == NameEnd
	}
}

// appendPlainName is AppendName for a name without escapes whose labels lie together, at
// off or where a pointer there leads. ok is false if it is another one, or bad: then dst
// is as it was.
func appendPlainName(dst, msg []byte, off int) (_ []byte, ok bool) {
	if uint(off+1) < uint(len(msg)) && msg[off] >= 0xc0 { // as in most records
		off = int(msg[off])&0x3f<<8 | int(msg[off+1])
	}
	end := off
	for uint(end) < uint(len(msg)) && msg[end]-1 < maxLabel { // not 0
		end += 1 + int(msg[end])
	}
	if end >= len(msg) || msg[end] != 0 || end == off || end-off >= MaxName {
		return dst, false
	}
	at := len(dst)
	dst = append(dst, msg[off+1:end+1]...)
	text, labels := dst[at:], uint32(0)
	for n := int(msg[off]); n < len(text); labels++ {
		next := int(text[n])
		text[n] = '.'
		n += 1 + next
	}
	// One loop for all labels: a processor cannot guess where each of them ends.
	dots := uint32(0)
	for _, c := range text {
		dots += plain[c]
	}
	if dots != labels {
		return dst[:at], false
	}
	return dst, true
}

// plain is how many dots a byte is, and more than a name has for one that is escaped.
var plain = func() (t [256]uint32) {
	for c := range t {
		if written[c] != asIs {
			t[c] = MaxName
		}
	}
	t['.'] = 1
	return t
}()

// AppendLabel appends a label as AppendName does, without the dot.
func AppendLabel(dst, label []byte) []byte {
	at, odd := len(dst), uint8(asIs)
	dst = append(dst, label...)
	for _, c := range label {
		odd |= written[c]
	}
	if odd == asIs { // nearly all labels
		return dst
	}
	return appendOddLabel(dst[:at], label)
}

func appendOddLabel(dst, label []byte) []byte {
	for _, c := range label {
		switch written[c] {
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
	asIs = iota
	escaped
	decimal
)

// written says how each byte of a label is written.
var written = func() (t [256]uint8) {
	for c := range t {
		if c < ' ' || c > '~' {
			t[c] = decimal
		}
	}
	for _, c := range ` .'@;()"\` {
		t[c] = escaped
	}
	return t
}()
