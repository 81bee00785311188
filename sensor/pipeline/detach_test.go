package pipeline

import (
	"context"
	"io"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"dnsmonster-sensor/outputs"
	"dnsmonster-sensor/sensor/capture"
	"dnsmonster-sensor/sensor/signals"
	"dnsmonster-sensor/test/await"
	"dnsmonster-sensor/test/testlog"
	"dnsmonster-sensor/userspace/event"
	"dnsmonster-sensor/userspace/packet"
	"dnsmonster-sensor/userspace/worker"
)

// lingering is a live source that takes long to close, and gives its packets only then.
type lingering struct {
	busy
	detach func()
	once   sync.Once
	closed atomic.Bool
}

func (s *lingering) Lanes() []capture.Lane { return []capture.Lane{s} }

func (s *lingering) Close() error {
	s.once.Do(func() {
		s.detach()
		s.closed.Store(true)
	})
	return nil
}

func (s *lingering) Read(b *packet.Batch) error {
	b.Packets = b.Packets[:0]
	if !s.closed.Load() {
		time.Sleep(time.Millisecond)
		return os.ErrDeadlineExceeded
	}
	if s.first == nil {
		return io.EOF
	}
	b.Packets = append(b.Packets, s.first...)
	s.given = uint64(len(s.first))
	s.first = nil
	return nil
}

// unhurried is an output that needs a moment for each block.
type unhurried struct{ nowhere }

func (unhurried) Open(context.Context) (outputs.Writer, error) { return unhurried{}, nil }

func (unhurried) Write(ctx context.Context, _ *event.Block) (int, error) {
	select {
	case <-ctx.Done():
		return 0, ctx.Err()
	case <-time.After(10 * time.Millisecond):
		return 0, nil
	}
}

// stopped is a pipeline that a signal has ended.
func (s *lingering) stopped(t *testing.T, grace time.Duration, sig *signals.Signals, log *testlog.Log) *pipeline {
	t.Helper()
	p := join(t, s, worker.Config{}, nil, []Output{{unhurried{}, oneWriter}}, slog.New(slog.NewTextHandler(log, nil)))
	sig.Request(syscall.SIGTERM)
	p.runUntilEnd(grace, sig)
	return p
}

// TestDetachingTakesNoGrace: however long the kernel takes to detach, the outputs have
// the whole grace time afterwards.
func TestDetachingTakesNoGrace(t *testing.T) {
	const grace = time.Second
	var log testlog.Log
	s := &lingering{busy: busy{first: frames(100)}, detach: func() { time.Sleep(grace + 100*time.Millisecond) }}
	p := s.stopped(t, grace, signals.New(), &log)
	if err := p.finish(io.Discard, signals.New()); err != nil {
		t.Errorf("the end is %v:\n%s", err, log.String())
	}
}

// TestSecondSignalWhileDetaching: both signals take effect at once.
func TestSecondSignalWhileDetaching(t *testing.T) {
	var log testlog.Log
	sig := signals.New()
	says := func(text string) {
		if !await.Within(await.Limit, func() bool { return log.Count(text) > 0 }) {
			t.Errorf("%q is not logged while detaching", text)
		}
	}
	s := &lingering{detach: func() {
		says("msg=stopping")
		sig.Request(syscall.SIGTERM)
		says("second signal: exiting at once")
	}}
	s.stopped(t, time.Minute, sig, &log)
}
