package dns

import "encoding/binary"

// Question is one whole entry of the question section.
type Question struct {
	Name        int // where its name starts in the message; AppendName can read it
	Type, Class uint16
}

// Questions walks the question section of a message. It ends before the first
// entry that is not whole.
type Questions struct {
	r    reader
	left uint16
}

// QuestionsOf starts at the first question. It borrows msg, which holds at least
// a header.
func (h *Header) QuestionsOf(msg []byte) Questions {
	return Questions{r: reader{msg: msg, off: HeaderLen}, left: h.QDCount}
}

// Next reads one question. It returns false at the end; q is not changed then.
func (s *Questions) Next(q *Question) bool {
	name := s.r.off
	if s.left == 0 || name >= len(s.r.msg) || s.r.skipName() != FaultNone || s.r.off+4 > len(s.r.msg) {
		return false
	}
	s.left--
	fixed := s.r.msg[s.r.off:]
	*q = Question{name, binary.BigEndian.Uint16(fixed), binary.BigEndian.Uint16(fixed[2:])}
	s.r.off += 4
	return true
}

// Record is one whole resource record.
type Record struct {
	Name        int // where its name starts in the message
	Type, Class uint16
	TTL         uint32
	Data, End   int // where its data starts in the message, and the offset behind
}

// Records walks a section of a message. It ends before the first record that is
// not whole; whether its data fits its type is not looked at.
type Records struct {
	r      reader
	left   uint16
	broken bool // it ended at a record that is not whole
}

// AnswersOf starts at the first record of the answer section; there is none
// where the questions before are not whole. It borrows msg, which holds at
// least a header. A copy of what it returns starts there, too.
func (h *Header) AnswersOf(msg []byte) Records {
	if h.ANCount|h.NSCount|h.ARCount == 0 {
		return Records{}
	}
	questions := h.QuestionsOf(msg)
	var q Question
	for questions.Next(&q) {
	}
	if questions.left > 0 {
		return Records{}
	}
	return Records{r: questions.r, left: h.ANCount}
}

// Next reads one record. It returns false at the end; rec is not changed then.
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
