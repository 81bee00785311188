package dns

import "encoding/binary"

// Question is one whole entry of the question section.
type Question struct {
	Name        int // offset of its name in the message; AppendName can read it
	Type, Class uint16
}

// Questions iterates over the question section of a message, up to the first entry
// that is not whole.
type Questions struct {
	r    reader
	left uint16
}

// QuestionsOf starts at the first question. It borrows msg, which holds at least
// a header.
func (h *Header) QuestionsOf(msg []byte) Questions {
	return Questions{r: reader{msg: msg, off: HeaderLen}, left: h.QDCount}
}

// Next reads one question. At the end it returns false and leaves q as it is.
func (s *Questions) Next(q *Question) bool {
	name := s.r.off
	if s.left == 0 || !s.r.skipQuestion() {
		return false
	}
	s.left--
	fixed := s.r.msg[s.r.off-4:]
	*q = Question{name, binary.BigEndian.Uint16(fixed), binary.BigEndian.Uint16(fixed[2:])}
	return true
}

// skipQuestion moves past the question at off, if it is whole.
func (r *reader) skipQuestion() bool {
	if r.off >= len(r.msg) || r.skipName() != FaultNone || r.off+4 > len(r.msg) {
		return false
	}
	r.off += 4
	return true
}

// Record is one whole resource record.
type Record struct {
	Name        int // offset of its name in the message
	Type, Class uint16
	TTL         uint32
	Data, End   int // offsets in the message where its data starts and ends
}

// Records iterates over a section of a message, up to the first record that is not
// whole. It does not check whether data fit their type.
type Records struct {
	r      reader
	left   uint16
	broken bool // it ended at a record that is not whole
}

// AnswersOf starts at the first record of the answer section. It has no records if
// the question section is not whole. It borrows msg, which holds at least a
// header. A copy of the result iterates on its own.
func (h *Header) AnswersOf(msg []byte) Records {
	if h.ANCount|h.NSCount|h.ARCount == 0 {
		return Records{}
	}
	r := reader{msg: msg, off: HeaderLen}
	for range h.QDCount {
		if !r.skipQuestion() {
			return Records{}
		}
	}
	return Records{r: r, left: h.ANCount}
}

// RecordsOf starts at the first record of a section after the questions. It has no
// records if what is before them is not whole. Otherwise it is like AnswersOf.
func (h *Header) RecordsOf(msg []byte, s Section) Records {
	r := h.AnswersOf(msg)
	counts := [...]uint16{h.NSCount, h.ARCount}
	for _, n := range counts[:s-SectionAnswer] {
		var rec Record
		for r.Next(&rec) {
		}
		if r.left > 0 || r.broken {
			return Records{}
		}
		r.left = n
	}
	return r
}

// Next reads one record. At the end it returns false and leaves rec as it is.
func (s *Records) Next(rec *Record) bool {
	name := s.r.off
	if s.left == 0 || name >= len(s.r.msg) {
		return false
	}
	if s.r.skipName() != FaultNone || s.r.off+10 > len(s.r.msg) {
		return s.stop()
	}
	fixed, data := s.r.msg[s.r.off:], s.r.off+10
	end := data + int(binary.BigEndian.Uint16(fixed[8:]))
	if end > len(s.r.msg) {
		return s.stop()
	}
	s.left--
	*rec = Record{
		Name: name, Type: binary.BigEndian.Uint16(fixed), Class: binary.BigEndian.Uint16(fixed[2:]),
		TTL: binary.BigEndian.Uint32(fixed[4:]), Data: data, End: end,
	}
	s.r.off = end
	return true
}

func (s *Records) stop() bool {
	s.left, s.broken = 0, true
	return false
}

// skipRecords moves past n resource records, and reads OPT records into edns unless
// that is nil. With a fault it returns the index of the record.
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
		if edns != nil && binary.BigEndian.Uint16(fixed) == TypeOPT {
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
