package mask

import "encoding/binary"

const (
	headerLen    = 12
	typeOPT      = 41
	optionSubnet = 8
	familyV4     = 1
	familyV6     = 2
)

// walk finds the client subnets of a message.
type walk struct {
	msg      []byte
	off      int // of the next record
	records  int // still to come
	option   int // of the next option, in an OPT record that ends at end
	end      int
	from, to int // the address that next has found
	family   uint16
}

func newWalk(msg []byte) walk {
	w := walk{msg: msg, off: headerLen}
	if len(msg) < headerLen {
		return w
	}
	for range binary.BigEndian.Uint16(msg[4:]) {
		if !w.skipName() || w.off+4 > len(msg) {
			return w
		}
		w.off += 4
	}
	for at := 6; at < headerLen; at += 2 {
		w.records += int(binary.BigEndian.Uint16(msg[at:]))
	}
	return w
}

// next finds one more subnet.
func (w *walk) next() bool {
	for {
		for w.option+4 <= w.end {
			at := w.option
			code, n := binary.BigEndian.Uint16(w.msg[at:]), int(binary.BigEndian.Uint16(w.msg[at+2:]))
			w.option = at + 4 + n
			// An option that runs over its record is cut, and still an address.
			if end := min(w.option, w.end); code == optionSubnet && end > at+8 {
				w.family, w.from, w.to = binary.BigEndian.Uint16(w.msg[at+4:]), at+8, end
				return true
			}
		}
		if !w.nextOPT() {
			return false
		}
	}
}

// nextOPT goes to the next OPT record. One that runs over the message's end is
// cut there.
func (w *walk) nextOPT() bool {
	for w.records > 0 {
		w.records--
		if !w.skipName() || w.off+10 > len(w.msg) {
			w.records = 0
			return false
		}
		kind, n := binary.BigEndian.Uint16(w.msg[w.off:]), int(binary.BigEndian.Uint16(w.msg[w.off+8:]))
		data := w.off + 10
		w.off = data + n
		if kind == typeOPT {
			w.option, w.end = data, min(w.off, len(w.msg))
			return true
		}
	}
	return false
}

// skipName moves past a name; where a pointer leads does not matter.
func (w *walk) skipName() bool {
	for w.off < len(w.msg) {
		c := int(w.msg[w.off])
		switch {
		case c == 0:
			w.off++
			return true
		case c >= 0xc0:
			w.off += 2
			return w.off <= len(w.msg)
		case c >= 0x40:
			return false
		}
		w.off += 1 + c
	}
	return false
}
