package event

import "dnsmonster-sensor/userspace/dns"

// Row is one question of an event, for outputs that have a row for each.
type Row struct {
	Type, Class uint16
	Named       bool // there is a question; AppendName gives its name
	name        int
}

// Rows are an event's rows: one for each question that can be read, or one
// without a name. They borrow the event. A message can have ten thousand
// questions: what grows with the message, such as the whole record, belongs into
// the first row alone.
type Rows struct {
	e         *Event
	questions dns.Questions
	some      bool
	done      bool
}

// Rows starts at the first row.
func (e *Event) Rows() Rows {
	return Rows{e: e, questions: e.DNS.QuestionsOf(e.Message)}
}

// Next reads one row. It returns false at the end.
func (s *Rows) Next(row *Row) bool {
	var q dns.Question
	if !s.done && s.e.DNS.HasQuestion && s.questions.Next(&q) {
		*row = Row{q.Type, q.Class, true, q.Name}
		s.some = true
		return true
	}
	if s.done || s.some {
		return false
	}
	s.done = true
	*row = Row{}
	return true
}

// AppendName appends the row's name in presentation format, or nothing where it
// has none.
func (s *Rows) AppendName(dst []byte, row *Row) []byte {
	if row.Named {
		dst, _ = dns.AppendName(dst, s.e.Message, row.name)
	}
	return dst
}
