package sensor

import (
	"context"
	"errors"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"
)

// signals are what others ask of a capturing command: to stop, to leave at once,
// to read its file again. They are received from the first moment, so that none
// meets the system's own answer, which is to end the process with its books
// unprinted. What comes during the start waits for its end.
type signals struct {
	stopping context.Context // ends with the first signal to stop
	stop     context.CancelFunc
	atOnce   chan struct{}  // closed by the second
	hangup   chan os.Signal // holds a SIGHUP that nobody has answered
	received chan os.Signal // to stop
	running  chan struct{}  // closed when the start is over

	// Valid once stopping has ended.
	first os.Signal
	at    time.Time

	mu    sync.Mutex
	stuck error // what Main returns where the start does not come to an end
}

// echo is how long a repeated signal counts as the same: a terminal, sudo and
// timeout each pass one on, to the process and to its group.
const echo = 500 * time.Millisecond

// newSignals hears nothing until catch is called.
func newSignals() *signals {
	s := &signals{
		atOnce: make(chan struct{}), hangup: make(chan os.Signal, 1), received: make(chan os.Signal, 4), running: make(chan struct{}),
	}
	s.stuck = &exitError{exitOK, errors.New("stopped during the start")}
	s.stopping, s.stop = context.WithCancel(context.Background())
	return s
}

// catch receives signals from now on.
func (s *signals) catch() {
	signal.Notify(s.hangup, syscall.SIGHUP)
	signal.Notify(s.received, syscall.SIGINT, syscall.SIGTERM)
	go s.follow()
}

func (s *signals) follow() {
	leaving := false
	for sig := range s.received {
		switch {
		case !s.stopped():
			s.first, s.at = sig, time.Now()
			s.stop()
		case !leaving && time.Since(s.at) >= echo:
			leaving = true
			close(s.atOnce)
		}
	}
}

// giveBack leaves signals to the system again, for commands that can be ended at
// any time. What has come meanwhile has the same effect as if it came now.
func (s *signals) giveBack() {
	signal.Reset(syscall.SIGHUP, syscall.SIGINT, syscall.SIGTERM)
	var missed syscall.Signal
	select {
	case <-s.hangup:
		missed = syscall.SIGHUP
	default:
	}
	if s.stopped() {
		missed, _ = s.first.(syscall.Signal)
	}
	if missed != 0 {
		_ = syscall.Kill(syscall.Getpid(), missed)
	}
}

// stopped tells whether a signal to stop has come.
func (s *signals) stopped() bool { return s.stopping.Err() != nil }

// started says that the start is over: from now on the caller answers signals.
func (s *signals) started() { close(s.running) }

// ifStuck sets what while returns where it does not wait; nil: nothing is lost.
func (s *signals) ifStuck(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil {
		s.stuck = err
	}
}

// startLeft is how long a start that a signal has ended may take to come back.
// What it is at may be something that nothing ends, such as opening a file.
const startLeft = 10 * time.Second

// while runs do. It does not wait for it where a signal comes and do neither ends
// nor says that the start is over.
func (s *signals) while(do func() error) error {
	done := make(chan error, 1)
	go func() { done <- do() }()
	select {
	case err := <-done:
		return err
	case <-s.running:
		return <-done
	case <-s.stopping.Done():
	}
	late := time.NewTimer(startLeft)
	defer late.Stop()
	select {
	case err := <-done:
		return err
	case <-s.running:
		return <-done
	case <-s.atOnce:
	case <-late.C:
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stuck
}
