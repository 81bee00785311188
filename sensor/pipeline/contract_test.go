package pipeline

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/urfave/cli/v2"

	"dnsmonster-sensor/outputs"
	"dnsmonster-sensor/sensor/capture"
	"dnsmonster-sensor/sensor/lists"
	"dnsmonster-sensor/sensor/metrics"
	"dnsmonster-sensor/sensor/signals"
	"dnsmonster-sensor/test/await"
	"dnsmonster-sensor/test/testlog"
	"dnsmonster-sensor/userspace/account"
	"dnsmonster-sensor/userspace/packet"
	"dnsmonster-sensor/userspace/worker"
)

// bare is a source without optional methods: two lanes of packets, in batches of ten.
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

// bareLane gives batches, and then an error, if it has one.
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

// TestFailedLaneIsCounted: a lane's error ends only this lane. It is logged once and
// decides about the exit status; what the lane held is counted, and the ledgers balance.
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
			await.Within(await.Limit, func() bool { return p.failureCount("lane") > 0 || ctx.Err() != nil })
			select {
			case <-ended:
				t.Error("the other lane has ended with it")
			default:
			}
			close(over)
			<-ended
			p.deliver(ctx)
			ledgers, err := p.ledgers.read()
			if n := account.Unaccounted(ledgers); err != nil || n != 0 {
				t.Errorf("%d unaccounted (%v): %+v", n, err, ledgers)
			}
			if got := p.ledgers.packets.Sum(account.LaneFailed); got != lost {
				t.Errorf("%d counted as lane_failed, want %d", got, lost)
			}
			if n := p.ledgers.events(); n != 130 {
				t.Errorf("%d messages, want 130", n)
			}
			if n := strings.Count(log.String(), "torn cable"); n != 1 || p.failureCount("lane") != 1 {
				t.Errorf("said %d times, counted %d times:\n%s", n, p.failureCount("lane"), &log)
			}
			var exit *Error
			var said bytes.Buffer
			if err := p.finish(&said, signals.New()); !errors.As(err, &exit) || exit.Kind != Failed {
				t.Errorf("the run ends with %v, want one that has failed", err)
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

// closing is a source that shows when it is closed.
type closing struct {
	bare
	once   sync.Once
	closed chan struct{}
}

func (s *closing) Close() error {
	s.once.Do(func() { close(s.closed) })
	return nil
}

// TestLastLaneFails: when no lane reads any more the sensor ends, and does not discard
// packets for ever.
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
				p.runUntilEnd(time.Second, signals.New())
			}()
			select {
			case <-done:
			case <-time.After(await.Limit):
				_ = s.Close()
				t.Fatal("it goes on without a lane")
			}
			var exit *Error
			if err := p.finish(io.Discard, signals.New()); !errors.As(err, &exit) || exit.Kind != Failed {
				t.Errorf("the run ends with %v, want one that has failed", err)
			}
			if ledgers, err := p.ledgers.read(); err != nil || account.Unaccounted(ledgers) != 0 || p.ledgers.events() != uint64(30*len(ends)) {
				t.Errorf("%d messages, ledgers %+v (%v)", p.ledgers.events(), ledgers, err)
			}
		})
	}
	f("the only one", cable)
	f("all", cable, cable, cable)
	f("another has ended", cable, io.EOF)
}

// defaults are options as they are when none is set.
func defaults(t *testing.T, flags []cli.Flag) {
	t.Helper()
	set := flag.NewFlagSet("", flag.ContinueOnError)
	for _, f := range flags {
		if err := f.Apply(set); err != nil {
			t.Fatal(err)
		}
	}
}

// TestBareSource: a source without optional methods is recorded to its end, live or not.
func TestBareSource(t *testing.T) {
	for _, live := range []bool{true, false} {
		t.Run(fmt.Sprint("live ", live), func(t *testing.T) {
			s := &bare{live: live}
			s.lanes = []capture.Lane{&bareLane{source: s, packets: frames(30)}, &bareLane{source: s, packets: frames(20)}}
			var numbers metrics.Options
			defaults(t, numbers.Flags())
			ports := &worker.Ports{}
			ports.Add(53)
			log := slog.New(slog.DiscardHandler)
			var records collector
			var stderr testlog.Log
			err := Run(Config{
				Input:    Input{Live: live, Open: func(<-chan struct{}) (capture.Source, error) { return s, nil }},
				Worker:   worker.Config{Ports: ports},
				Outputs:  []Output{{&records, outputs.Settings{Type: outputs.All, Workers: 1}}},
				Delivery: new(outputs.Options),
				Lists:    lists.New(lists.Options{}, false, log),
				Metrics:  metrics.Config{Options: &numbers},
				Grace:    await.Limit,
				Signals:  signals.New(),
				Log:      log,
				Stderr:   &stderr,
				Progress: func(capture.Progressor, func() uint64, time.Time) func() {
					t.Error("progress of a source that does not know it")
					return func() {}
				},
			})
			if err != nil {
				t.Fatalf("%v\n%s", err, stderr.String())
			}
			if n := records.count(); n != 50 {
				t.Errorf("%d records, want 50", n)
			}
			if !strings.Contains(stderr.String(), "\nunaccounted 0\n") {
				t.Errorf("the ledgers do not balance:\n%s", stderr.String())
			}
			if strings.Contains(stderr.String(), "in unknown; unaccounted unknown\n") != live {
				t.Errorf("what a live source lost is unknown:\n%s", stderr.String())
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

// TestUnknownCounters: what a back end cannot know is unknown in the summary, and never
// 0. The same holds for metrics, which have a test of their own.
func TestUnknownCounters(t *testing.T) {
	s := &partial{bare: bare{live: true}, counters: []capture.Counter{
		{Name: "seen", Kind: capture.CountsIn},
		{Name: "not_dns", Kind: capture.CountsSkipped},
		{Name: "ring_full", Kind: capture.CountsLost, Value: 3, Known: true},
		{Name: "copy_failed", Kind: capture.CountsLost},
		{Name: "delivered", Kind: capture.CountsDelivered, Value: 9, Known: true},
		{Name: "bytes", Kind: capture.CountsMeter},
		{Name: "brand_new", Kind: capture.CountsMeter, Value: 4, Known: true},
	}}
	s.lanes = []capture.Lane{&bareLane{source: &s.bare}}
	p := toNowhere(t, s)
	ledgers, err := p.ledgers.read()
	if err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	printLedgers(&text, ledgers, time.Second)
	if want := "kernel tap             in unknown, not_dns unknown, ring_full 3, copy_failed unknown, delivered 9; unaccounted unknown\n"; !strings.Contains(text.String(), want) {
		t.Errorf("the summary has not %q:\n%s", want, &text)
	}
	if lost, n := account.Losses(ledgers); lost != "3 ring_full (kernel, tap)" || n != 3 {
		t.Errorf("losses %q, %d in all", lost, n)
	}
	if got, err := p.ledgers.captured(); err != nil || got.Known {
		t.Errorf("the capture's numbers are %+v, want unknown (%v)", got, err)
	}
	// Once all counters are known, the numbers are there.
	for i := range s.counters {
		s.counters[i].Known = true
	}
	if got, err := p.ledgers.captured(); err != nil || got != (metrics.Captured{Frames: 12, Lost: 3, Known: true}) {
		t.Errorf("the capture's numbers are %+v (%v)", got, err)
	}
}
