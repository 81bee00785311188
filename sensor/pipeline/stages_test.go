package pipeline

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/urfave/cli/v2"

	"dnsmonster-sensor/outputs"
	"dnsmonster-sensor/sensor/capture"
	"dnsmonster-sensor/sensor/capture/file"
	"dnsmonster-sensor/sensor/lists"
	"dnsmonster-sensor/sensor/metrics"
	"dnsmonster-sensor/test/await"
	"dnsmonster-sensor/test/packets"
	"dnsmonster-sensor/test/testlog"
	"dnsmonster-sensor/userspace/account"
	"dnsmonster-sensor/userspace/event"
	"dnsmonster-sensor/userspace/mask"
	"dnsmonster-sensor/userspace/packet"
	"dnsmonster-sensor/userspace/stage"
	"dnsmonster-sensor/userspace/worker"
)

// labels is a stage that sets a field of each event.
type labels struct{ identity []byte }

func newLabel() stage.Stage { return &labels{[]byte("labelled")} }

func (s *labels) Event(e *event.Event, emit func(*event.Event)) {
	e.Identity = s.identity
	emit(e)
}
func (s *labels) Expire(int64, func(*event.Event)) {}
func (s *labels) Flush(func(*event.Event))         {}
func (s *labels) Counts() stage.Counts             { return stage.Counts{} }

// thin is a stage that drops every third event.
type thin struct {
	seen int
	n    stage.Counts
}

func newThin() stage.Stage { return &thin{} }

func (s *thin) Event(e *event.Event, emit func(*event.Event)) {
	if s.seen++; s.seen%3 == 0 {
		s.n.Dropped++
		return
	}
	emit(e)
}
func (s *thin) Expire(int64, func(*event.Event)) {}
func (s *thin) Flush(func(*event.Event))         {}
func (s *thin) Counts() stage.Counts             { return s.n }

// keeps is a stage that holds all events for a time.
type keeps struct {
	long  int64
	block *event.Block
	since int64
	now   int64
}

func keepFor(long time.Duration) func() stage.Stage {
	return func() stage.Stage { return &keeps{long: int64(long), block: event.NewBlock(1 << 10)} }
}

func (s *keeps) Event(e *event.Event, _ func(*event.Event)) {
	if s.block.Len() == 0 {
		s.since = s.now
	}
	s.block.Append(e)
}

func (s *keeps) Expire(now int64, emit func(*event.Event)) {
	if s.now = now; s.block.Len() > 0 && now-s.since >= s.long {
		s.Flush(emit)
	}
}

func (s *keeps) Flush(emit func(*event.Event)) {
	var e event.Event
	for r := s.block.Reader(); r.Next(&e); {
		emit(&e)
	}
	s.block.Reset()
}

func (s *keeps) Counts() stage.Counts { return stage.Counts{Held: uint64(s.block.Len())} }

// collector is an output that remembers what it was given.
type collector struct {
	mu   sync.Mutex
	seen []string // identity and length of each event
}

func (*collector) Name() string      { return "collector" }
func (*collector) Flags() []cli.Flag { return nil }
func (*collector) Settings() (outputs.Settings, error) {
	return outputs.Settings{Type: outputs.All, Workers: 1}, nil
}
func (c *collector) Open(context.Context) (outputs.Writer, error) { return c, nil }
func (c *collector) Close() error                                 { return nil }

func (c *collector) Write(_ context.Context, b *event.Block) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	var e event.Event
	for r := b.Reader(); r.Next(&e); {
		c.seen = append(c.seen, fmt.Sprintf("%s %d", e.Identity, e.DNS.ID))
	}
	return 0, nil
}

func (c *collector) count() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.seen)
}

// toTwo joins a source by stages to two outputs.
func toTwo(t *testing.T, source capture.Source, stages ...stage.Kind) (p *pipeline, first, second *collector) {
	t.Helper()
	first, second = &collector{}, &collector{}
	list := []Output{{first, oneWriter}, {second, oneWriter}}
	return join(t, source, worker.Config{}, stages, list, slog.New(slog.DiscardHandler)), first, second
}

// goes runs a pipeline to the end of its source, and returns its ledgers.
func goes(t *testing.T, p *pipeline) []account.Ledger {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	select {
	case <-p.start(ctx):
	case <-ctx.Done():
		t.Fatal("the lanes do not come to an end")
	}
	p.deliver(ctx)
	return ledgersOf(t, p)
}

func ledgersOf(t *testing.T, p *pipeline) []account.Ledger {
	t.Helper()
	ledgers, err := p.ledgers.read()
	if err != nil {
		t.Fatal(err)
	}
	return ledgers
}

// stageLedger is that of the only stage.
func stageLedger(t *testing.T, p *pipeline) account.Ledger {
	t.Helper()
	list := ledgersOf(t, p)
	i := slices.IndexFunc(list, func(l account.Ledger) bool { return l.Name == "stage" })
	if i < 0 {
		t.Fatalf("no ledger of a stage: %+v", list)
	}
	return list[i]
}

// TestStages: both outputs get what the stages have set, without what they dropped, and
// with what they held until the end. Their ledgers are between those of messages and
// deliveries.
func TestStages(t *testing.T) {
	source := &rigged{packets: frames(99), spoil: func(p []packet.Packet) []packet.Packet { return p }}
	p, first, second := toTwo(t, source,
		stage.Kind{Name: "label", New: newLabel}, stage.Kind{Name: "hold", New: keepFor(time.Hour)}, stage.Kind{Name: "thin", New: newThin})
	ledgers := goes(t, p)
	if len(first.seen) != 66 || strings.Join(first.seen, ",") != strings.Join(second.seen, ",") || !strings.HasPrefix(first.seen[0], "labelled ") {
		t.Errorf("the outputs got %d and %d events, the first one is %q", len(first.seen), len(second.seen), first.seen[:1])
	}
	var text strings.Builder
	printLedgers(&text, ledgers, time.Second)
	for _, want := range []string{
		"message                in 99, event 99; unaccounted 0\n  stage label            in 99, passed 99; unaccounted 0\n",
		"  stage hold             in 99, passed 99; unaccounted 0\n  stage thin             in 99, passed 66, dropped 33; unaccounted 0\n" +
			"  delivery collector     in 66, delivered 66; unaccounted 0\n",
		"\nunaccounted 0\n",
	} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("no %s in\n%s", want, text.String())
		}
	}
}

// TestWithoutStages: there is no ledger, and the lane calls what it called before.
func TestWithoutStages(t *testing.T) {
	source := &rigged{packets: frames(10), spoil: func(p []packet.Packet) []packet.Packet { return p }}
	p, _, _ := toTwo(t, source)
	if l := p.newLane(source); l.chain != nil {
		t.Error("a chain without stages")
	}
	for _, l := range goes(t, p) {
		if l.Name == "stage" {
			t.Errorf("a ledger of no stage: %+v", l)
		}
	}
}

// TestLedgersShowErrorsOfAStage: in the ledger of that stage, and in no other.
func TestLedgersShowErrorsOfAStage(t *testing.T) {
	f := func(name string, off int64, spoil func(next func(*event.Event), e *event.Event)) {
		t.Helper()
		source := &rigged{packets: frames(50), spoil: func(p []packet.Packet) []packet.Packet { return p }}
		p, _, _ := toTwo(t, source,
			stage.Kind{Name: "label", New: newLabel}, stage.Kind{Name: "odd", New: func() stage.Stage { return &spoils{do: spoil} }}, stage.Kind{Name: "thin", New: newThin})
		for _, l := range goes(t, p) {
			want := int64(0)
			if l.Label == "odd" {
				want = off
			}
			if got := l.Unaccounted(); got != want {
				t.Errorf("%s: ledger %s %s has %d unaccounted, want %d", name, l.Name, l.Label, got, want)
			}
		}
	}
	f("nothing spoilt", 0, func(next func(*event.Event), e *event.Event) { next(e) })
	f("event lost", 1, func(func(*event.Event), *event.Event) {})
	f("event doubled", -1, func(next func(*event.Event), e *event.Event) { next(e); next(e) })
}

// spoils is a stage that does something odd to the tenth event.
type spoils struct {
	labels
	n  int
	do func(next func(*event.Event), e *event.Event)
}

func (s *spoils) Event(e *event.Event, emit func(*event.Event)) {
	if s.n++; s.n == 10 {
		s.do(emit, e)
		return
	}
	emit(e)
}

// silent is a live lane that gives its packets, and then nothing until it is closed.
type silent struct {
	packets []packet.Packet
	given   atomic.Uint64
	closed  chan struct{}
}

func newSilent(packets []packet.Packet) *silent {
	return &silent{packets: packets, closed: make(chan struct{})}
}

func (s *silent) Lanes() []capture.Lane { return []capture.Lane{s} }
func (s *silent) Live() bool            { return true }
func (s *silent) Given() uint64         { return s.given.Load() }
func (s *silent) Err() error            { return nil }
func (s *silent) Close() error          { close(s.closed); return nil }

func (s *silent) Read(b *packet.Batch) error {
	b.Packets = append(b.Packets[:0], s.packets...)
	s.packets = nil
	if n := len(b.Packets); n > 0 {
		s.given.Add(uint64(n))
		return nil
	}
	select {
	case <-s.closed:
		return io.EOF
	case <-time.After(time.Millisecond):
		return os.ErrDeadlineExceeded
	}
}

// TestStageExpiresLive: when an interface has no more traffic, a stage still releases
// events in time, and its ledger shows what it holds until then.
func TestStageExpiresLive(t *testing.T) {
	source := newSilent(frames(20))
	p, first, _ := toTwo(t, source, stage.Kind{Name: "hold", New: keepFor(150 * time.Millisecond)})
	ended := p.start(t.Context())
	await.True(t, "events that the stage holds", func() bool {
		l := stageLedger(t, p)
		return l.Held == 20 && l.Unaccounted() == 0
	})
	if n := first.count(); n != 0 {
		t.Errorf("%d events came out while the stage held them", n)
	}
	await.True(t, "events that were let go", func() bool { return first.count() == 20 })
	p.closeSource()
	<-ended
	p.deliver(t.Context())
	if n := account.Unaccounted(ledgersOf(t, p)); n != 0 {
		t.Errorf("%d unaccounted for", n)
	}
}

// cuts is a stage that shortens the file that the event points into, and then reads the
// event.
type cuts struct {
	labels
	t    *testing.T
	path string
	once *sync.Once
	sum  int
}

func (s *cuts) Event(e *event.Event, emit func(*event.Event)) {
	s.once.Do(func() {
		if err := os.Truncate(s.path, 0); err != nil {
			s.t.Error(err)
		}
	})
	for _, b := range e.Message {
		s.sum += int(b)
	}
	emit(e)
}

// TestFileShrinksInAStage: the stage and the outputs have the event; the rest of the file
// is lost, and counted.
func TestFileShrinksInAStage(t *testing.T) {
	path := packets.TempFile(t, packets.Queries(20_000))
	source, err := file.Open(file.Options{Paths: []string{path}, Lanes: 1})
	if err != nil {
		t.Fatal(err)
	}
	p, first, second := toTwo(t, source, stage.Kind{Name: "cut", New: func() stage.Stage { return &cuts{t: t, path: path, once: new(sync.Once)} }},
		stage.Kind{Name: "hold", New: keepFor(time.Hour)})
	ledgers := goes(t, p)
	gone := p.ledgers.packets.Sum(account.FileShrank)
	if n := account.Unaccounted(ledgers); n != 0 || gone == 0 || first.count() == 0 || first.count() != second.count() {
		t.Errorf("%d unaccounted for, %d packets gone, %d and %d events", n, gone, first.count(), second.count())
	}
}

// TestPanicInAStage: it is raised again with the name of the stage.
func TestPanicInAStage(t *testing.T) {
	source := &rigged{packets: frames(20), spoil: func(p []packet.Packet) []packet.Packet { return p }}
	p, _, _ := toTwo(t, source, stage.Kind{Name: "broken", New: func() stage.Stage {
		return &spoils{do: func(func(*event.Event), *event.Event) { panic("no table") }}
	}})
	l := p.newLane(source)
	defer func() {
		if got := fmt.Sprint(recover()); got != "stage broken: no table" {
			t.Errorf("panic %q", got)
		}
	}()
	l.step()
}

// TestStageMetrics: a stage's ledger is in the metrics, as the others are.
func TestStageMetrics(t *testing.T) {
	source := &rigged{packets: frames(9), spoil: func(p []packet.Packet) []packet.Packet { return p }}
	p := toNowhere(t, source, stage.Kind{Name: "thin", New: newThin})
	goes(t, p)
	var options metrics.Options
	defaults(t, options.Flags())
	var stderr testlog.Log
	m, err := metrics.Open(metrics.Config{Options: &options}, &stderr)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	log := slog.New(slog.NewTextHandler(t.Output(), nil))
	m.Start(p.metricsSource(lists.New(lists.Options{}, false, log)), log, func(err error) { t.Error(err) })
	m.Stop(false, log)
	_, text, _ := strings.Cut(stderr.String(), " metrics: ")
	var got map[string]struct{ Count float64 }
	if err := json.Unmarshal([]byte(text), &got); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	for name, want := range map[string]float64{
		`dnsmonster_sensor_ledger_in_total{ledger="stage",part="thin"}`:                         9,
		`dnsmonster_sensor_ledger_outcomes_total{ledger="stage",outcome="dropped",part="thin"}`: 3,
		`dnsmonster_sensor_ledger_outcomes_total{ledger="stage",outcome="passed",part="thin"}`:  6,
		`dnsmonster_sensor_ledger_in_total{ledger="delivery",part="nowhere"}`:                   6,
	} {
		if v, there := got[name]; !there || v.Count != want {
			t.Errorf("%s is %v, want %v", name, v, want)
		}
	}
}

// anything is a list that every name is on.
type anything struct{}

func (anything) Match([]byte) bool { return true }

// TestReloadWhileAStageHolds: what a stage releases after a reload passes the new filters;
// addresses were masked when the message was seen.
func TestReloadWhileAStageHolds(t *testing.T) {
	source := newSilent(frames(20))
	p, first, second := toTwo(t, source, stage.Kind{Name: "hold", New: keepFor(time.Hour)})
	ended := p.start(t.Context())
	await.True(t, "events that the stage holds", func() bool { return stageLedger(t, p).Held == 20 })
	if err := p.runners[0].SetFilter(outputs.Filter{Type: outputs.Skip, Skip: anything{}}); err != nil {
		t.Fatal(err)
	}
	p.masks.Store(&mask.Bits{V4: 8, V6: 8})
	p.closeSource()
	<-ended
	p.deliver(t.Context())
	if first.count() != 0 || second.count() != 20 || account.Unaccounted(ledgersOf(t, p)) != 0 {
		t.Errorf("%d and %d events, want 0 and 20", first.count(), second.count())
	}
	if p.ledgers.offered(1) != 20 {
		t.Errorf("%d offered, want 20", p.ledgers.offered(1))
	}
}
