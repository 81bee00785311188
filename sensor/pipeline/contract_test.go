package sensor

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/urfave/cli/v2"

	"dnsmonster-sensor/outputs/all"
	"dnsmonster-sensor/sensor/capture"
	"dnsmonster-sensor/test/await"
	"dnsmonster-sensor/userspace/account"
	"dnsmonster-sensor/userspace/packet"
)

// bare is a source that has what every source has, and nothing else: two lanes of
// packets, in batches of ten.
type bare struct {
	live  bool
	lanes []capture.Lane
	mu    sync.Mutex
	given uint64
}

func (s *bare) Lanes() []capture.Lane { return s.lanes }
func (s *bare) Live() bool            { return s.live }
func (s *bare) Err() error            { return nil }
func (s *bare) Close() error          { return nil }

func (s *bare) Given() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.given
}

func (s *bare) give(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.given += uint64(n)
}

// bareLane gives batches, and then, where it is to fail, an error.
type bareLane struct {
	source  *bare
	packets []packet.Packet
	fails   error
	before  func() // comes before the error
	after   int    // times that Read was called after the error
}

func (l *bareLane) Read(b *packet.Batch) error {
	b.Packets = b.Packets[:0]
	if len(l.packets) == 0 {
		if l.fails == nil {
			return io.EOF
		}
		if l.after++; l.before != nil {
			l.before()
		}
		return l.fails
	}
	n := min(10, len(l.packets))
	b.Packets, l.packets = append(b.Packets, l.packets[:n]...), l.packets[n:]
	l.source.give(n)
	return nil
}

// holding is a lane that holds more packets when it fails.
type holding struct {
	bareLane
	holds []int // packets that each Discard throws away; 0: none for a while
}

func (l *holding) Discard() (int, error) {
	if len(l.holds) == 0 {
		return 0, io.EOF
	}
	n := l.holds[0]
	if l.holds = l.holds[1:]; n == 0 {
		return 0, os.ErrDeadlineExceeded
	}
	l.source.give(n)
	return n, nil
}

// TestFailedLaneIsCounted: a lane's error ends this lane alone. It is said once and decides
// about the exit status; what the lane held is counted, and the books balance.
func TestFailedLaneIsCounted(t *testing.T) {
	f := func(name string, failing func(*bare) capture.Lane, lost uint64) {
		t.Run(name, func(t *testing.T) {
			s := &bare{live: true}
			over := make(chan struct{})
			broken := failing(s)
			// The other lane goes on when this one has failed.
			other := &bareLane{source: s, packets: frames(100), fails: io.EOF, before: func() { <-over }}
			s.lanes = []capture.Lane{broken, other}
			p := toNowhere(t, s)
			var log bytes.Buffer
			p.log = slog.New(slog.NewTextHandler(&log, nil))
			ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
			defer cancel()
			ended := p.start(ctx)
			for p.failures("lane") == 0 && ctx.Err() == nil {
				time.Sleep(time.Millisecond)
			}
			select {
			case <-ended:
				t.Error("the other lane has ended with it")
			default:
			}
			close(over)
			<-ended
			p.deliver(ctx)
			ledgers, err := p.books.ledgers()
			if n := unaccounted(ledgers); err != nil || n != 0 {
				t.Errorf("%d unaccounted (%v): %+v", n, err, ledgers)
			}
			if got := p.books.packets.Sum(account.LaneFailed); got != lost {
				t.Errorf("%d counted as lane_failed, want %d", got, lost)
			}
			if n := p.books.messageCount(); n != 130 {
				t.Errorf("%d messages, want 130", n)
			}
			if n := strings.Count(log.String(), "torn cable"); n != 1 || p.failures("lane") != 1 {
				t.Errorf("said %d times, counted %d times:\n%s", n, p.failures("lane"), &log)
			}
			var exit *exitError
			var said bytes.Buffer
			if err := p.conclude(&said, newSignals()); !errors.As(err, &exit) || exit.code != exitFailure {
				t.Errorf("the run ends with %v, want exit status %d", err, exitFailure)
			} else if want := fmt.Sprintf("%d lane_failed (packet)", lost); strings.Contains(err.Error(), want) != (lost > 0) {
				t.Errorf("the run ends with %q, and %d are lost", err, lost)
			}
		})
	}
	cable := errors.New("torn cable")
	f("holds nothing", func(s *bare) capture.Lane {
		return &bareLane{source: s, packets: frames(30), fails: cable}
	}, 0)
	f("holds more", func(s *bare) capture.Lane {
		return &holding{bareLane{source: s, packets: frames(30), fails: cable}, []int{5, 0, 7}}
	}, 12)
}

// untilClosed is a lane that has failed, and whose source gives more until Close.
type untilClosed struct {
	bareLane
	closed <-chan struct{}
}

func (l *untilClosed) Discard() (int, error) {
	select {
	case <-l.closed:
		return 0, io.EOF
	case <-time.After(time.Millisecond):
		l.source.give(1)
		return 1, nil
	}
}

// closing is a source that others can see being closed.
type closing struct {
	bare
	once   sync.Once
	closed chan struct{}
}

func (s *closing) Close() error {
	s.once.Do(func() { close(s.closed) })
	return nil
}

// TestLastLaneFails: without a lane that reads the sensor ends, and does not throw
// away what comes for ever.
func TestLastLaneFails(t *testing.T) {
	cable := errors.New("torn cable")
	f := func(name string, ends ...error) {
		t.Run(name, func(t *testing.T) {
			s := &closing{bare: bare{live: true}, closed: make(chan struct{})}
			for _, err := range ends {
				s.lanes = append(s.lanes, &untilClosed{bareLane{source: &s.bare, packets: frames(30), fails: err}, s.closed})
			}
			p := toNowhere(t, s)
			done := make(chan struct{})
			go func() {
				defer close(done)
				p.runUntilEnd(time.Second, newSignals())
			}()
			select {
			case <-done:
			case <-time.After(await.Limit):
				_ = s.Close()
				t.Fatal("it goes on without a lane")
			}
			var exit *exitError
			if err := p.conclude(io.Discard, newSignals()); !errors.As(err, &exit) || exit.code != exitFailure {
				t.Errorf("the run ends with %v, want exit status %d", err, exitFailure)
			}
			if ledgers, err := p.books.ledgers(); err != nil || unaccounted(ledgers) != 0 || p.books.messageCount() != uint64(30*len(ends)) {
				t.Errorf("%d messages, books %+v (%v)", p.books.messageCount(), ledgers, err)
			}
		})
	}
	f("the only one", cable)
	f("all", cable, cable, cable)
	f("another has ended", cable, io.EOF)
}

// TestBareSource: what has no optional part is recorded, live or not, to the end.
func TestBareSource(t *testing.T) {
	for _, live := range []bool{true, false} {
		t.Run(fmt.Sprint("live ", live), func(t *testing.T) {
			list := all.New()
			o := newCommon(list)
			s := &bare{live: live}
			s.lanes = []capture.Lane{&bareLane{source: s, packets: frames(30)}, &bareLane{source: s, packets: frames(20)}}
			var stdout, stderr bytes.Buffer
			app := newApp(&stdout, &stderr)
			app.Commands = []*cli.Command{{
				Name: "bare", Flags: o.flags(),
				Action: func(c *cli.Context) error {
					session, err := o.session(c)
					if err != nil {
						return err
					}
					session.progress = true
					return record(c, o, session, feed{live: live, open: func(<-chan struct{}) (capture.Source, error) { return s, nil }})
				},
			}}
			folder := t.TempDir()
			err := perform(app, []string{"dnsmonster-sensor", "bare", "--fileoutputtype=1", "--fileoutputpath=" + folder, "--metricendpointtype=stderr"}, nil)
			if err != nil {
				t.Fatalf("%v\n%s", err, &stderr)
			}
			files, _ := filepath.Glob(filepath.Join(folder, "*"))
			n := 0
			for _, path := range files {
				text, err := os.ReadFile(path)
				if err != nil {
					t.Fatal(err)
				}
				n += bytes.Count(text, []byte("\n"))
			}
			if n != 50 {
				t.Errorf("%d records, want 50", n)
			}
			if !strings.Contains(stderr.String(), "\nunaccounted 0\n") {
				t.Errorf("the books do not balance:\n%s", &stderr)
			}
			if strings.Contains(stderr.String(), "in unknown; unaccounted unknown\n") != live {
				t.Errorf("what a live source lost is unknown:\n%s", &stderr)
			}
		})
	}
}

// partial is a live source that knows some of its kernel's numbers.
type partial struct {
	bare
	counters []capture.Counter
}

func (s *partial) Kernel() (capture.KernelStats, error) {
	return capture.KernelStats{Hooks: []capture.HookStats{{Hook: "tap", Counters: s.counters}}}, nil
}

// TestUnknownCounters: what a back end cannot know is unknown in the summary and in
// the line of rates, and absent from the metrics; it is 0 nowhere.
func TestUnknownCounters(t *testing.T) {
	s := &partial{bare: bare{live: true}, counters: []capture.Counter{
		{Name: "seen", Kind: capture.CountsIn},
		{Name: "not_dns", Kind: capture.CountsLeftOut},
		{Name: "ring_full", Kind: capture.CountsLost, Value: 3, Known: true},
		{Name: "copy_failed", Kind: capture.CountsLost},
		{Name: "delivered", Kind: capture.CountsGiven, Value: 9, Known: true},
		{Name: "bytes", Kind: capture.CountsMeter},
		{Name: "brand_new", Kind: capture.CountsMeter, Value: 4, Known: true},
	}}
	s.lanes = []capture.Lane{&bareLane{source: &s.bare}}
	p := toNowhere(t, s)
	ledgers, err := p.books.ledgers()
	if err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	summary(&text, ledgers, time.Second)
	if want := "kernel tap             in unknown, not_dns unknown, ring_full 3, copy_failed unknown, delivered 9; unaccounted unknown\n"; !strings.Contains(text.String(), want) {
		t.Errorf("the summary has not %q:\n%s", want, &text)
	}
	if lost, n := losses(ledgers); lost != "3 ring_full (kernel, tap)" || n != 3 {
		t.Errorf("losses %q, %d in all", lost, n)
	}
	now := time.Unix(100, 0)
	if line := totalsOf(ledgers, now).line(totals{at: now.Add(-time.Second)}); !strings.Contains(line, "stats: seen unknown, captured 0/s") || !strings.Contains(line, ", lost at least 3, ") {
		t.Errorf("the line of rates is %q", line)
	}
	for _, known := range []bool{true, false} { // of a hook's meter of what came without its end
		l := kernelLedger(capture.HookStats{Counters: []capture.Counter{{Kind: capture.CountsLost, Value: 3, Known: true}, {Kind: capture.CountsIncomplete, Known: known}}})
		if line := totalsOf([]account.Ledger{l}, now).line(totals{}); strings.Contains(line, ", lost 3, ") != known {
			t.Errorf("known %v: the line of rates is %q", known, line)
		}
	}
	registry := prometheus.NewRegistry()
	registry.MustRegister(&ledgerCollector{p.books}, newLossMeter(p.books))
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var shown []string
	for _, s := range flatten(families) {
		if strings.Contains(s.key(), `ledger="kernel"`) || strings.Contains(s.key(), "loss_ratio") {
			shown = append(shown, fmt.Sprint(s.key(), " ", s.value))
		}
	}
	if got, want := strings.Join(shown, "\n"), `dnsmonster_sensor_ledger_held{ledger="kernel",part="tap"} 0
dnsmonster_sensor_ledger_outcomes_total{ledger="kernel",outcome="delivered",part="tap"} 9
dnsmonster_sensor_ledger_outcomes_total{ledger="kernel",outcome="ring_full",part="tap"} 3
dnsmonster_sensor_meter_total{ledger="kernel",meter="brand_new",part="tap"} 4`; got != want {
		t.Errorf("Prometheus gets\n%s\nwant\n%s", got, want)
	}
	for _, s := range legacySamples(ledgers) {
		if s.name == "packetsDropped" || s.name == "packetLossPercent" || s.name == "packetsCaptured" {
			t.Errorf("%s is %v, and not known", s.name, s.value)
		}
	}
	// Once all is known it is there again.
	for i := range s.counters {
		s.counters[i].Known = true
	}
	m := newLossMeter(p.books)
	m.measure()
	registry = prometheus.NewRegistry()
	registry.MustRegister(m)
	if families, err = registry.Gather(); err != nil || len(flatten(families)) != 1 || flatten(families)[0].value != 0.25 {
		t.Errorf("the ratio of loss is %v, want 0.25 (%v)", flatten(families), err)
	}
}
