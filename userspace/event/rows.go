package event

import "dnsmonster-sensor/userspace/dns"

// Row is one question of an event, for outputs that have a row for each.
type Row struct {
	Type, Class uint16
	HasQuestion bool // there is a question; AppendName gives its name
	Name        int  // where in the message it starts, if there is one
}

// Rows are an event's rows: one for each question that can be read and that the
// output's filter takes, or one without a name where there is no question. They
// borrow the event. A message can have ten thousand questions: what grows with
// the message, such as the whole record, belongs into the first row alone.
type Rows struct {
	e         *Event
	questions dns.Questions
	question  int // the next one
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
		if s.e.takes(i) {
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

// takes tells whether the output's filter takes a question.
func (e *Event) takes(question int) bool {
	return e.Selected == nil || question/8 < len(e.Selected) && e.Selected[question/8]>>(question%8)&1 == 1
}

// AppendName appends the row's name in presentation format, or nothing where it
// has none.
func (s *Rows) AppendName(dst []byte, row *Row) []byte {
	if row.HasQuestion {
		dst, _ = dns.AppendName(dst, s.e.Message, row.Name)
	}
	return dst
}
