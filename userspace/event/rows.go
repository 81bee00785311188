package event

import "dnsmonster-sensor/userspace/dns"

// Row is one question of an event, for outputs that have a row for each.
type Row struct {
	Type, Class uint16
	HasQuestion bool // AppendName appends its name
	Name        int  // offset of the name in the message, if HasQuestion
}

// Rows iterates over the rows of an event: one for each question that can be read and
// that the output's filter selects, or one without a question if the message has none.
// It borrows the event. A message can have ten thousand questions: values that grow
// with the message, such as the whole record, belong in the first row only.
type Rows struct {
	e         *Event
	questions dns.Questions
	question  int // index of the next one
	done      bool
}

// Rows starts at the first row.
func (e *Event) Rows() Rows {
	return Rows{e: e, questions: e.DNS.QuestionsOf(e.Message)}
}

// Next reads one row. It returns false at the end.
func (s *Rows) Next(row *Row) bool {
	var q dns.Question
	for !s.done && s.e.DNS.HasQuestion && s.questions.Next(&q) {
		i := s.question
		s.question++
		if s.e.selects(i) {
			*row = Row{q.Type, q.Class, true, q.Name}
			return true
		}
	}
	if s.done || s.question > 0 {
		return false
	}
	s.done = true
	*row = Row{}
	return true
}

// selects reports whether the output's filter selects a question.
func (e *Event) selects(question int) bool {
	return e.Selected == nil || question/8 < len(e.Selected) && e.Selected[question/8]>>(question%8)&1 == 1
}

// AppendName appends the name of the row's question in presentation format, or nothing
// if it has none.
func (s *Rows) AppendName(dst []byte, row *Row) []byte {
	if row.HasQuestion {
		dst, _ = dns.AppendName(dst, s.e.Message, row.Name)
	}
	return dst
}
