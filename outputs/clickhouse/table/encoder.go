package table

import (
	"time"

	"dnsmonster-sensor/outputs/clickhouse/server"
	"dnsmonster-sensor/outputs/columns"
	"dnsmonster-sensor/outputs/format"
	"dnsmonster-sensor/userspace/dns"
	"dnsmonster-sensor/userspace/event"
)

// chunkRows is how many rows are read before each column takes its values from them. So
// a column's function is called once for all of them, and their events stay in the
// processor's cache. Rows one by one take 30 to 50 % longer, chunks of 32 5 to 15 %, and
// larger ones gain nothing.
const chunkRows = 128

// chunkAnswers limits the answers that are kept with the rows of a chunk.
const chunkAnswers = 1024

// Encoder encodes blocks for a table. It is for one goroutine.
type Encoder struct {
	plan        *Plan
	key         partitionKey
	sets        []*set
	parts       []Part
	periods     []span // of the partition key, in this block
	last        span   // the one that was needed last
	times       []timed
	withAnswers bool
	withRecords bool

	events  [chunkRows]event.Event
	rows    [chunkRows]row
	pending int // rows of the chunk
	answers []dns.Record
	sensor  []byte
}

// set is the columns of one part.
type set struct {
	columns []*column
	out     []server.Column
	idle    int // blocks since it was needed
}

// Part is rows of a block that are written by one INSERT. All is borrowed until the next
// Encode.
type Part struct {
	Columns []server.Column
	Rows    int
	Events  []int32 // positions in the block, ascending; nil: all events
	Suffix  string  // of the token; "" for a whole block; the same whenever the same events are encoded
	Clamped uint64  // values that the columns could not hold
	set     int
}

// NewEncoder makes an encoder with empty buffers.
func NewEncoder(p *Plan) *Encoder {
	e := &Encoder{plan: p, key: p.key, sensor: []byte(p.options.Server)}
	for _, c := range p.columns {
		if isOfAnswers(c.source) {
			e.withAnswers = true
		}
		if c.source == columns.FullRecord {
			e.withRecords = p.options.FullQuery
		}
	}
	for i := range e.rows {
		r := &e.rows[i]
		r.Sensor, r.AppendData, r.InterfaceName = e.sensor, format.AppendRecordData, p.options.Records.InterfaceName
	}
	return e
}

// isOfAnswers reports whether a column has an entry for each answer.
func isOfAnswers(id columns.ID) bool {
	switch id {
	case columns.AnswerName, columns.AnswerType, columns.AnswerTTL, columns.AnswerData:
		return true
	}
	return false
}

// Encode encodes all rows of a block. There is more than one part only if the rows belong
// to more partitions than a server accepts at once.
func (e *Encoder) Encode(b *event.Block, now time.Time) []Part {
	e.releaseSets()
	e.parts = e.parts[:0]
	if b.Len() == 0 {
		return nil
	}
	e.periods, e.last = e.periods[:0], span{}
	if p, ok := e.encode(b, now, Part{}, len(e.key.steps) > 0); ok {
		if p.Rows > 0 { // a server takes an empty block for the end of the data
			e.parts = append(e.parts, p)
		}
		return e.parts
	}
	e.split(b, now)
	return e.parts
}

// Clamped is how many values of the last block's parts the columns could not hold.
func (e *Encoder) Clamped() (n uint64) {
	for i := range e.parts {
		n += e.parts[i].Clamped
	}
	return n
}

// Memory is the bytes that the encoder keeps.
func (e *Encoder) Memory() int {
	n := cap(e.answers)*40 + cap(e.times)*16
	for _, s := range e.sets {
		for _, c := range s.columns {
			n += c.memory()
		}
	}
	return n
}

// setOf returns the columns for a part.
func (e *Encoder) setOf(i int) *set {
	for len(e.sets) <= i {
		s := &set{}
		for _, planned := range e.plan.columns {
			c, _, err := e.plan.open(planned.source, planned.def)
			if err != nil {
				panic("table: a column that was planned cannot be opened: " + err.Error()) // the plan has opened it
			}
			c.ofAnswers = isOfAnswers(planned.source)
			s.columns = append(s.columns, c)
			s.out = append(s.out, server.Column{Name: c.name, Type: c.typ})
		}
		e.sets = append(e.sets, s)
	}
	s := e.sets[i]
	s.idle = 0
	for _, c := range s.columns {
		c.reset()
	}
	return s
}

// releaseSets forgets the columns of parts that no block of a period needed.
func (e *Encoder) releaseSets() {
	for i := len(e.sets) - 1; i > 0; i-- {
		if e.sets[i].idle++; e.sets[i].idle > keepPeriod && i == len(e.sets)-1 {
			e.sets = e.sets[:i]
		}
	}
}

// encode encodes the events of a part. With limited set it returns false if the rows
// belong to too many partitions.
func (e *Encoder) encode(b *event.Block, now time.Time, p Part, limited bool) (Part, bool) {
	s := e.setOf(p.set)
	events := b.Len()
	if p.Events != nil {
		events = len(p.Events)
	}
	for _, c := range s.columns {
		c.expect(events)
	}
	e.begin(now)
	at, rest, n := int32(-1), p.Events, 0
	for r := b.Reader(); r.Next(&e.events[n]); {
		ev := &e.events[n]
		if at++; p.Events != nil {
			if len(rest) == 0 {
				break
			}
			if rest[0] != at {
				continue
			}
			rest = rest[1:]
		}
		if limited && !e.last.has(ev.Time) {
			if e.period(ev.Time); len(e.periods) > partitionsOfPart {
				return p, false
			}
		}
		p.Rows += e.add(s, ev)
		if n++; e.pending == chunkRows || n == chunkRows || len(e.answers) >= chunkAnswers {
			e.flush(s)
			n = 0
		}
	}
	e.flush(s)
	return e.finish(s, p), true
}

// begin begins a part.
func (e *Encoder) begin(now time.Time) {
	e.pending, e.answers = 0, e.answers[:0]
	ns := now.UnixNano()
	for i := range e.rows {
		e.rows[i].Now = ns
	}
}

// period returns the period of the partition key around ns. It remembers as many as a part
// may have: events of several sources are not in the order of their times.
func (e *Encoder) period(ns int64) span {
	if e.last.has(ns) {
		return e.last
	}
	for _, s := range e.periods {
		if s.has(ns) {
			e.last = s
			return s
		}
	}
	e.last = e.key.period(ns)
	if len(e.periods) <= partitionsOfPart {
		e.periods = append(e.periods, e.last)
	}
	return e.last
}

// add appends the rows of an event to the chunk. The columns take them when it is full.
func (e *Encoder) add(s *set, ev *event.Event) (n int) {
	if d := &ev.DNS; d.QDCount == 1 && d.HasQuestion && ev.Selected == nil { // nearly all, at half the cost
		r := &e.rows[e.pending]
		r.Question = event.Row{Type: d.QType, Class: d.QClass, HasQuestion: true, Name: dns.HeaderLen}
		e.setRow(r, ev, true)
		return 1
	}
	for rows := ev.Rows(); ; n++ {
		if e.pending == chunkRows {
			e.flush(s)
		}
		r := &e.rows[e.pending]
		if !rows.Next(&r.Question) {
			return n
		}
		e.setRow(r, ev, n == 0)
	}
}

// setRow sets what beside its question a row takes from its event.
func (e *Encoder) setRow(r *row, ev *event.Event, first bool) {
	r.Event, r.first = ev, first && e.withRecords
	if e.plan.options.UseIdentity {
		r.Sensor = ev.Identity
		if len(ev.Identity) == 0 {
			r.Sensor = e.sensor
		}
	}
	if e.withAnswers {
		e.setAnswers(r, first)
	}
	e.pending++
}

func (e *Encoder) setAnswers(r *row, first bool) {
	if first {
		e.answers = r.ReadAnswers(e.answers)
	} else {
		r.ForgetAnswers()
	}
}

// flush lets the columns take the rows of the chunk.
func (e *Encoder) flush(s *set) {
	if e.pending > 0 {
		rows := e.rows[:e.pending]
		for _, c := range s.columns {
			c.cut()
			c.fill(c, rows)
		}
	}
	e.pending, e.answers = 0, e.answers[:0]
}

func (e *Encoder) finish(s *set, p Part) Part {
	p.Clamped = 0
	for i, c := range s.columns {
		out := &s.out[i]
		out.Rows = p.Rows
		out.State, out.Data = c.finish()
		p.Clamped += c.clamps()
	}
	p.Columns = s.out
	return p
}
