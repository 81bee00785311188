package pipeline

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"testing"
	"time"

	"dnsmonster-sensor/outputs"
	"dnsmonster-sensor/sensor/capture"
	"dnsmonster-sensor/test/await"
	"dnsmonster-sensor/test/packets"
	"dnsmonster-sensor/userspace/account"
	"dnsmonster-sensor/userspace/event"
	"dnsmonster-sensor/userspace/packet"
	"dnsmonster-sensor/userspace/stage"
	"dnsmonster-sensor/userspace/worker"
)

// ledgerNamed is the first ledger of a name, nil if there is none.
func ledgerNamed(list []account.Ledger, name string) *account.Ledger {
	for i := range list {
		if list[i].Name == name {
			return &list[i]
		}
	}
	return nil
}

// manyLanes is a source that gives each of some lanes 100 packets.
func manyLanes(lanes int) capture.Source {
	s := &bare{}
	for range lanes {
		s.lanes = append(s.lanes, &bareLane{source: s, packets: frames(100)})
	}
	return s
}

// TestLimit: whatever the number of lanes, both outputs get exactly the records that were
// asked for. The others have their own outcome.
func TestLimit(t *testing.T) {
	f := func(lanes int, limit uint64, want int, stages ...stage.Kind) {
		t.Helper()
		p, first, second := toTwo(t, manyLanes(lanes), stages...)
		p.setLimit(limit)
		ledgers := goes(t, p)
		beyond := account.Line{}
		l := ledgerNamed(ledgers, "limit")
		if l != nil {
			beyond = l.Outcomes[account.BeyondCount]
		}
		if first.count() != want || second.count() != want || account.Unaccounted(ledgers) != 0 || l == nil || beyond.Value != l.In-uint64(want) || beyond.Lost {
			t.Errorf("%d lanes, limit %d: %d and %d records, want %d: %+v", lanes, limit, first.count(), second.count(), want, ledgers)
		}
		if reached := want == int(limit); p.limitReached() != reached {
			t.Errorf("%d lanes, limit %d: reached is %t", lanes, limit, !reached)
		}
	}
	for range 20 {
		f(1, 7, 7)
		f(4, 1, 1)
		f(4, 399, 399)
		f(4, 400, 400)
		f(4, 401, 400)
		f(4, 7, 7, stage.Kind{Name: "thin", New: newThin}, stage.Kind{Name: "hold", New: keepFor(time.Hour)})
	}
}

// TestLimitTakesTheFirst: with one lane these are the first records, in their order.
func TestLimitTakesTheFirst(t *testing.T) {
	p, first, _ := toTwo(t, manyLanes(1))
	p.setLimit(3)
	goes(t, p)
	if got := strings.Join(first.seen, ","); got != " 0, 1, 2" {
		t.Errorf("the output got %s", got)
	}
}

// named is a list of the names with certain endings of their first label.
type named string

func (n named) Match(name []byte) bool {
	label, _, _ := bytes.Cut(name, []byte("."))
	return bytes.ContainsAny(label[len(label)-1:], string(n))
}

// TestLimitCountsWhatAnOutputTakes: one output skips names that end in 1 to 9, the other
// those that end in 5 to 9 and 0.
func TestLimitCountsWhatAnOutputTakes(t *testing.T) {
	for _, lanes := range []int{1, 4} {
		first, second := &collector{}, &collector{}
		skip := func(endings named) outputs.Settings {
			return outputs.Settings{Type: outputs.Skip, Workers: 1, Skip: endings}
		}
		list := []Output{{first, skip("123456789")}, {second, skip("567890")}}
		p := join(t, manyLanes(lanes), worker.Config{}, nil, list, slog.New(slog.DiscardHandler))
		p.setLimit(50)
		ledgers := goes(t, p)
		if lanes == 1 && (first.count() != 10 || second.count() != 40) || first.count()+second.count() != 50 || account.Unaccounted(ledgers) != 0 {
			t.Errorf("%d lanes: %d and %d records, want 50 in all: %+v", lanes, first.count(), second.count(), ledgers)
		}
	}
}

// faster is a list that takes the room for a record while a lane asks it.
type faster struct{ of func() *limit }

func (f faster) Match([]byte) bool {
	f.of().claim()
	return false
}

// TestLimitOfLanesThatMeet: a lane that has found room loses it to another one that is
// faster. Its record is one beyond the limit.
func TestLimitOfLanesThatMeet(t *testing.T) {
	first := &collector{}
	var p *pipeline
	skip := faster{func() *limit { return p.limit }}
	p = join(t, manyLanes(1), worker.Config{}, nil, []Output{{first, outputs.Settings{Type: outputs.Skip, Workers: 1, Skip: skip}}}, slog.New(slog.DiscardHandler))
	p.setLimit(1)
	ledgers := goes(t, p)
	l := ledgerNamed(ledgers, "limit")
	if first.count() != 0 || l == nil || l.In == 0 || l.Outcomes[account.BeyondCount].Value != l.In || account.Unaccounted(ledgers) != 0 {
		t.Errorf("%d records: %+v", first.count(), ledgers)
	}
}

// rows is an output that remembers the first labels of the questions that it was given.
type rows struct {
	collector
	text string
}

func (r *rows) Open(context.Context) (outputs.Writer, error) { return r, nil }

func (r *rows) Write(_ context.Context, b *event.Block) (int, error) {
	var e event.Event
	for blocks := b.Reader(); blocks.Next(&e); {
		var row event.Row
		for list := e.Rows(); list.Next(&row); {
			label, _, _ := strings.Cut(string(list.AppendName(nil, &row)), ".")
			r.text += label + " "
		}
	}
	return 0, nil
}

// TestLimitKeepsTheChoiceOfQuestions: of a message with several questions each output gets
// those that its own filter accepts.
func TestLimitKeepsTheChoiceOfQuestions(t *testing.T) {
	file, err := packets.Read(packets.Asking("h1.example.org h2.example.org h3.example.org", "h2.example.org h3.example.org"))
	if err != nil {
		t.Fatal(err)
	}
	s := &bare{}
	var list []packet.Packet
	for _, f := range file {
		list = append(list, packet.Packet{Data: f.Data, WireLen: f.WireLen, Link: packet.LinkRaw, Time: 1})
	}
	s.lanes = []capture.Lane{&bareLane{source: s, packets: list}}
	first, second := &rows{}, &rows{}
	p := join(t, s, worker.Config{}, nil, []Output{
		{first, outputs.Settings{Type: outputs.Skip, Workers: 1, Skip: named("1")}}, {second, outputs.Settings{Type: outputs.Skip, Workers: 1, Skip: named("23")}},
	}, slog.New(slog.DiscardHandler))
	p.setLimit(2)
	goes(t, p)
	if first.text != "h2 h3 h2 h3 " || second.text != "h1 " {
		t.Errorf("the outputs got %q and %q", first.text, second.text)
	}
}

// TestLimitEndsACapture: an interface that becomes silent is closed by the last record.
func TestLimitEndsACapture(t *testing.T) {
	source := newSilent(frames(20))
	p, first, _ := toTwo(t, source)
	p.setLimit(20)
	defer p.closeAtLimit()()
	ended := p.start(t.Context())
	select {
	case <-ended:
	case <-time.After(await.Limit):
		t.Fatal("the capture goes on")
	}
	p.deliver(t.Context())
	if first.count() != 20 || account.Unaccounted(ledgersOf(t, p)) != 0 {
		t.Errorf("%d records: %+v", first.count(), ledgersOf(t, p))
	}
}

// TestWithoutLimit: a lane calls what it called before there were limits, and no ledger
// is added.
func TestWithoutLimit(t *testing.T) {
	p, _, _ := toTwo(t, manyLanes(1))
	p.setLimit(0)
	if l := p.newLane(&bareLane{source: &bare{}}); l.limited != nil || p.limitReached() {
		t.Error("a limit that nobody has set")
	}
	if l := ledgerNamed(goes(t, p), "limit"); l != nil {
		t.Errorf("a ledger of no limit: %+v", l)
	}
}

// TestLimitAllocatesNothing before and beyond it.
func TestLimitAllocatesNothing(t *testing.T) {
	p := toNowhere(t, manyLanes(1))
	p.setLimit(1000)
	l := p.newLane(&bareLane{source: &bare{}})
	e := event.Event{Message: make([]byte, 12)}
	if n := testing.AllocsPerRun(500, func() { l.emit(&e) }); n != 0 {
		t.Errorf("an event within the limit allocates %v times", n)
	}
	for range 1000 {
		l.emit(&e)
	}
	if n := testing.AllocsPerRun(500, func() { l.emit(&e) }); n != 0 || !p.limitReached() {
		t.Errorf("an event beyond the limit allocates %v times", n)
	}
}
