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
		s.left = 0
		return false
	}
	s.left--
	fixed := s.r.msg[s.r.off:]
	*q = Question{name, binary.BigEndian.Uint16(fixed), binary.BigEndian.Uint16(fixed[2:])}
	s.r.off += 4
	return true
}
