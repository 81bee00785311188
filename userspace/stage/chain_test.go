package stage

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"dnsmonster-sensor/userspace/account"
	"dnsmonster-sensor/userspace/event"
)

// enrich sets fields of each event to its own bytes.
type enrich struct{ fields event.Fields }

var ns1 = []byte("ns1")

func (s *enrich) Event(e *event.Event, emit func(*event.Event)) {
	s.fields = event.AppendField(append(s.fields[:0], e.Fields...), event.FirstField, []byte("asn 64496"))
	e.Fields, e.Identity = s.fields, ns1
	emit(e)
}
func (s *enrich) Expire(int64, func(*event.Event)) {}
func (s *enrich) Flush(func(*event.Event))         {}
func (s *enrich) Counts() Counts                   { return Counts{} }

// filter drops events with an even id.
type filter struct{ n Counts }

func (s *filter) Event(e *event.Event, emit func(*event.Event)) {
	if e.DNS.ID%2 == 0 {
		s.n.Dropped++
		return
	}
	emit(e)
}
func (s *filter) Expire(int64, func(*event.Event)) {}
func (s *filter) Flush(func(*event.Event))         {}
func (s *filter) Counts() Counts                   { return s.n }

// hold keeps events in a block for a second, and emits one more event when it releases
// them.
type hold struct {
	block *event.Block
	since int64
	now   int64
	n     Counts
	calls []string // of Expire and Flush
}

func newHold() *hold { return &hold{block: event.NewBlock(1 << 10)} }

func (s *hold) Event(e *event.Event, _ func(*event.Event)) {
	if s.block.Len() == 0 {
		s.since = s.now
	}
	s.block.Append(e)
	s.n.Held++
}

func (s *hold) Expire(now int64, emit func(*event.Event)) {
	s.now = now
	s.calls = append(s.calls, fmt.Sprint(now/1e6))
	if s.block.Len() > 0 && now-s.since >= 1e9 {
		s.release(emit)
	}
}

func (s *hold) Flush(emit func(*event.Event)) {
	s.calls = append(s.calls, "flush")
	s.release(emit)
}

func (s *hold) release(emit func(*event.Event)) {
	var e event.Event
	for r := s.block.Reader(); r.Next(&e); {
		again := e.DNS.ID == 1 && len(e.Version) == 0
		emit(&e)
		if again {
			e.Version = []byte("made")
			s.n.Made++
			emit(&e)
		}
	}
	s.n.Held -= uint64(s.block.Len())
	s.block.Reset()
}

func (s *hold) Counts() Counts { return s.n }

// query is an event with an id.
func query(id uint16) *event.Event {
	e := &event.Event{
		Time: 1700000000e9, Src: netip.MustParseAddrPort("192.0.2.1:5353"), Dst: netip.MustParseAddrPort("192.0.2.53:53"), Proto: event.UDP,
		Message: []byte{byte(id >> 8), byte(id), 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 1},
	}
	e.DNS.ID, e.DNS.QDCount = id, 1
	return e
}

// rig is a chain with its output and counters.
type rig struct {
	*Chain
	out      []string // ids
	counters Counters
	kinds    []Kind
	given    uint64
}

// newRig makes a chain of stages that are named in order, from a on.
func newRig(stages ...Stage) *rig {
	r := &rig{}
	for i, s := range stages {
		r.kinds = append(r.kinds, Kind{string(rune('a' + i)), func() Stage { return s }})
	}
	r.counters = NewCounters(r.kinds)
	r.Chain = NewChain(r.kinds, r.counters, func(e *event.Event) {
		text := fmt.Sprint(e.DNS.ID) + string(e.Version) + string(e.Identity)
		if v, ok := e.Fields.Get(event.FirstField); ok {
			text += string(v)
		}
		r.out = append(r.out, text)
	})
	return r
}

func (r *rig) give(e *event.Event) {
	r.given++ // as in the message ledger
	r.Event(e)
}

// ledgers is the text of the ledgers of all stages, in order.
func (r *rig) ledgers() string {
	var list []string
	in := r.given
	for i, b := range r.counters {
		l := account.StageLedger(r.kinds[i].Name, b, func() uint64 { return in })
		list = append(list, fmt.Sprintf("%s %s: in %d passed %d dropped %d held %d made %d unaccounted %d",
			l.Name, l.Label, l.In, l.Outcomes[0].Value, l.Outcomes[1].Value, l.Held, l.Meters[0].Value, l.Unaccounted()))
		in = b.Sum(account.StagePassed)
	}
	return strings.Join(list, "; ")
}

func (r *rig) want(t *testing.T, out, ledgers string) {
	t.Helper()
	r.Publish()
	if got := strings.Join(r.out, " "); got != out {
		t.Errorf("output %s, want %s", got, out)
	}
	if got := r.ledgers(); got != ledgers {
		t.Errorf("ledgers\n%s, want\n%s", got, ledgers)
	}
}

func TestOneStage(t *testing.T) {
	r := newRig(&enrich{})
	e := query(1)
	r.give(e)
	r.give(query(2))
	r.want(t, "1ns1asn 64496 2ns1asn 64496", "stage a: in 2 passed 2 dropped 0 held 0 made 0 unaccounted 0")
	if e.Fields != nil || e.Identity != nil {
		t.Errorf("the worker's own event was changed: %v", e) // the worker reuses it
	}

	r = newRig(&filter{})
	for id := range uint16(5) {
		r.give(query(id))
	}
	r.want(t, "1 3", "stage a: in 5 passed 2 dropped 3 held 0 made 0 unaccounted 0")

	r = newRig(newHold())
	r.Tick(5e9)
	r.give(query(1))
	r.give(query(2))
	r.want(t, "", "stage a: in 2 passed 0 dropped 0 held 2 made 0 unaccounted 0")
	r.Tick(6e9 - 1)
	r.want(t, "", "stage a: in 2 passed 0 dropped 0 held 2 made 0 unaccounted 0")
	r.Tick(6e9)
	r.give(query(3))
	r.want(t, "1 1made 2", "stage a: in 4 passed 3 dropped 0 held 1 made 1 unaccounted 0")
	r.Flush()
	r.want(t, "1 1made 2 3", "stage a: in 4 passed 4 dropped 0 held 0 made 1 unaccounted 0")
}

// TestTwoStages: events that a stage releases, with Expire or Flush, pass through the later
// ones.
func TestTwoStages(t *testing.T) {
	first, second := newHold(), newHold()
	r := newRig(first, &filter{}, &enrich{}, second)
	r.Tick(0)
	for id := range uint16(4) {
		r.give(query(id))
	}
	r.Tick(1e9) // the first stage releases its events, and the last one holds them
	r.want(t, "", "stage a: in 5 passed 5 dropped 0 held 0 made 1 unaccounted 0; stage b: in 5 passed 3 dropped 2 held 0 made 0 unaccounted 0; "+
		"stage c: in 3 passed 3 dropped 0 held 0 made 0 unaccounted 0; stage d: in 3 passed 0 dropped 0 held 3 made 0 unaccounted 0")
	r.give(query(5))
	r.Flush()
	r.want(t, "1ns1asn 64496 1madens1asn 64496 1madens1asn 64496 3ns1asn 64496 5ns1asn 64496",
		"stage a: in 6 passed 6 dropped 0 held 0 made 1 unaccounted 0; stage b: in 6 passed 4 dropped 2 held 0 made 0 unaccounted 0; "+
			"stage c: in 4 passed 4 dropped 0 held 0 made 0 unaccounted 0; stage d: in 5 passed 5 dropped 0 held 0 made 1 unaccounted 0")
	if want := []string{"0", "1000", "flush"}; !slices.Equal(first.calls, want) || !slices.Equal(second.calls, want) {
		t.Errorf("calls %v and %v, want %v", first.calls, second.calls, want)
	}
}

// odd treats its third event specially.
type odd struct {
	filter
	do   func(s *odd, e *event.Event, emit func(*event.Event))
	seen int
}

func (s *odd) Event(e *event.Event, emit func(*event.Event)) {
	if s.seen++; s.seen == 3 {
		s.do(s, e, emit)
		return
	}
	emit(e)
}

// TestLedgersFindStages: the ledger of a stage that loses, doubles or miscounts an event
// shows it, and those of its neighbours do not.
func TestLedgersFindStages(t *testing.T) {
	f := func(what string, want int64, do func(s *odd, e *event.Event, emit func(*event.Event))) {
		t.Helper()
		r := newRig(&enrich{}, &odd{do: do}, &enrich{})
		for id := range uint16(5) {
			r.give(query(id))
		}
		r.Flush()
		r.Publish()
		for i, l := range strings.Split(r.ledgers(), "; ") {
			unaccounted := int64(0)
			if i == 1 {
				unaccounted = want
			}
			if !strings.HasSuffix(l, fmt.Sprint(" unaccounted ", unaccounted)) {
				t.Errorf("%s: %s, want %d", what, l, unaccounted)
			}
		}
	}
	f("nothing", 0, func(_ *odd, e *event.Event, emit func(*event.Event)) { emit(e) })
	f("loses one", 1, func(*odd, *event.Event, func(*event.Event)) {})
	f("doubles one", -1, func(_ *odd, e *event.Event, emit func(*event.Event)) { emit(e); emit(e) })
	f("doubles one and counts it", 0, func(s *odd, e *event.Event, emit func(*event.Event)) { emit(e); emit(e); s.n.Made++ })
	f("counts one that it did not make", 1, func(s *odd, e *event.Event, emit func(*event.Event)) { emit(e); s.n.Made++ })
	f("emits one that it counts as dropped", -1, func(s *odd, e *event.Event, emit func(*event.Event)) { emit(e); s.n.Dropped++ })
	f("holds one and never releases it", 1, func(s *odd, _ *event.Event, _ func(*event.Event)) { s.n.Held++ })
}

// TestTimeOfPackets: without Tick, the time is that of events and packets. Stages get it
// in steps of at least 10 ms, and it does not go back.
func TestTimeOfPackets(t *testing.T) {
	const begin = int64(1700000000e9)
	s := newHold()
	r := newRig(s)
	at := func(ms int64) {
		e := query(2)
		e.Time = begin + ms*1e6
		r.give(e)
	}
	at(0)
	at(9)
	at(10)
	r.PacketTime(0, 0) // a packet without a time
	at(15)
	at(12)
	r.PacketTime(0, begin+40e6)
	at(500)
	var want []string
	for _, ms := range []int64{0, 10, 40, 500} {
		want = append(want, fmt.Sprint((begin+ms*1e6)/1e6))
	}
	if !slices.Equal(s.calls, want) {
		t.Errorf("Expire at %v ms, want %v", s.calls, want)
	}
	r.want(t, "", "stage a: in 6 passed 0 dropped 0 held 6 made 0 unaccounted 0")
	r.PacketTime(0, begin+1010e6)
	r.want(t, "2 2 2 2 2 2", "stage a: in 6 passed 6 dropped 0 held 0 made 0 unaccounted 0")
}

// TestSharedBetweenLanes: stages of one kind join a query on one lane with its response on
// another, and share a ledger.
func TestSharedBetweenLanes(t *testing.T) {
	waiting := map[uint16]bool{} // by id, of both lanes
	kinds := []Kind{{"pairs", func() Stage { return &pairs{waiting: waiting} }}}
	counters, out := NewCounters(kinds), 0
	first := NewChain(kinds, counters, func(*event.Event) { out++ })
	second := NewChain(kinds, counters, func(*event.Event) { out++ })
	ledger := func(in uint64) account.Ledger {
		first.Publish()
		second.Publish()
		return account.StageLedger("pairs", counters[0], func() uint64 { return in })
	}
	first.Event(query(7))
	first.Event(query(8))
	second.Event(query(7))
	if l := ledger(3); out != 1 || l.Held != 1 || l.Unaccounted() != 0 {
		t.Errorf("%d pairs, held %d, unaccounted %d", out, l.Held, l.Unaccounted())
	}
	first.Flush()
	second.Event(query(8))
	second.Flush()
	if l := ledger(4); out != 2 || l.Held != 0 || l.Unaccounted() != 0 {
		t.Errorf("%d pairs, held %d, unaccounted %d", out, l.Held, l.Unaccounted())
	}
}

// pairs emits the second of two events with one id, and drops the first.
type pairs struct {
	waiting map[uint16]bool
	n       Counts
}

func (s *pairs) Event(e *event.Event, emit func(*event.Event)) {
	if !s.waiting[e.DNS.ID] {
		s.waiting[e.DNS.ID] = true
		s.n.Held++
		return
	}
	delete(s.waiting, e.DNS.ID)
	s.n.Held-- // another lane may have counted it: the sum is right
	s.n.Dropped++
	emit(e)
}
func (s *pairs) Expire(int64, func(*event.Event)) {}
func (s *pairs) Flush(func(*event.Event))         {}
func (s *pairs) Counts() Counts                   { return s.n }

// TestBorrowsNothing: when the worker reuses its memory, an event that a stage was given
// does not change, whatever its size.
func TestBorrowsNothing(t *testing.T) {
	var got *event.Event
	r := newRig(&odd{do: func(_ *odd, e *event.Event, _ func(*event.Event)) { got = e }})
	r.give(query(1))
	r.give(query(2))
	e := query(3)
	e.Message = append(e.Message, make([]byte, 60_000)...)
	e.Identity, e.Version, e.Fields = []byte("id"), []byte("version"), event.AppendField(nil, event.FirstField, []byte("value"))
	r.give(e)
	for _, b := range [][]byte{e.Message, e.Identity, e.Version, e.Fields} {
		clear(b)
	}
	v, _ := got.Fields.Get(event.FirstField)
	if got.Message[1] != 3 || len(got.Message) != 60_017 || string(got.Identity) != "id" || string(got.Version) != "version" || string(v) != "value" {
		t.Errorf("the event is now %.100v", got)
	}
}

// TestRunning: during a panic, the name of the stage is known.
func TestRunning(t *testing.T) {
	var r *rig
	r = newRig(&enrich{}, &odd{do: func(_ *odd, e *event.Event, emit func(*event.Event)) {
		if emit(e); r.Running() != "b" {
			t.Errorf("%q is running, want b", r.Running())
		}
		panic("broken")
	}})
	r.sink = func(*event.Event) {
		if r.Running() != "" {
			t.Errorf("%q is running, want none: the outputs are", r.Running())
		}
	}
	r.give(query(1))
	r.give(query(2))
	if r.Running() != "" {
		t.Errorf("%q is running between events", r.Running())
	}
	defer func() {
		if recover() == nil || r.Running() != "b" {
			t.Errorf("%q is running in the panic, want b", r.Running())
		}
	}()
	r.give(query(3))
}

func TestAllocatesNothing(t *testing.T) {
	r := newRig(&enrich{}, &filter{}, &odd{do: func(_ *odd, e *event.Event, emit func(*event.Event)) { emit(e) }})
	r.sink = func(*event.Event) {}
	e := query(1)
	e.Version = []byte("1.0")
	n := testing.AllocsPerRun(1000, func() {
		e.Time += 20e6
		r.give(e)
		r.Publish()
	})
	if n != 0 {
		t.Errorf("an event allocates %v times, want 0", n)
	}
}
