// Package signals turns signals into requests to a capturing command: to stop, to
// exit at once, to read the configuration again. It knows neither commands nor
// pipelines, and imports only the standard library. Its tests send no signals: they
// call Request instead.
package signals

import (
	"context"
	"errors"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"
)

// Signals are received from the first moment, so that none has its default action,
// which ends the process before it prints its ledgers. A SIGHUP during the start is
// answered after it.
type Signals struct {
	stopping context.Context // ends with the first signal to stop
	stop     context.CancelFunc
	atOnce   chan struct{} // closed by the second
	second   sync.Once
	hangup   chan os.Signal // holds a SIGHUP that has not been answered
	received chan os.Signal // to stop
	running  chan struct{}  // closed when the start is over

	// Valid once stopping has ended.
	first os.Signal
	at    time.Time

	mu    sync.Mutex
	stuck error // what While returns if the start is stuck
}

// ErrStopped is returned by While if a signal has ended a start, and nothing is lost.
var ErrStopped = errors.New("stopped during the start")

// echo is how long a repeated signal counts as the same: a terminal, sudo and
// timeout each pass one on, to the process and to its group.
const echo = 500 * time.Millisecond

// New receives nothing until Catch is called.
func New() *Signals {
	s := &Signals{
		atOnce: make(chan struct{}), hangup: make(chan os.Signal, 1), received: make(chan os.Signal, 4), running: make(chan struct{}),
		stuck: ErrStopped,
	}
	s.stopping, s.stop = context.WithCancel(context.Background())
	return s
}

// Catch receives signals from now on.
func (s *Signals) Catch() {
	signal.Notify(s.hangup, syscall.SIGHUP)
	signal.Notify(s.received, syscall.SIGINT, syscall.SIGTERM)
	go s.follow()
}

func (s *Signals) follow() {
	for sig := range s.received {
		if !s.Stopped() || time.Since(s.at) >= echo {
			s.Request(sig)
		}
	}
}

// Request does what a signal to stop does: the first one stops, any later one
// exits at once. It is called by one goroutine: after Catch, by that of Catch.
func (s *Signals) Request(sig os.Signal) {
	if !s.Stopped() {
		s.first, s.at = sig, time.Now()
		s.stop()
		return
	}
	s.second.Do(func() { close(s.atOnce) })
}

// Stop asks for a stop, as SIGTERM does. It needs Catch.
func (s *Signals) Stop() {
	select {
	case s.received <- syscall.SIGTERM:
	default: // others are waiting already
	}
}

// Release restores the default actions of signals, for commands that may end at any
// time. A signal that was received before has its default action now.
func (s *Signals) Release() {
	signal.Reset(syscall.SIGHUP, syscall.SIGINT, syscall.SIGTERM)
	var missed syscall.Signal
	select {
	case <-s.hangup:
		missed = syscall.SIGHUP
	default:
	}
	if s.Stopped() {
		missed, _ = s.first.(syscall.Signal)
	}
	if missed != 0 {
		endBy(missed)
	}
}

// Stopping ends with the first signal to stop.
func (s *Signals) Stopping() context.Context { return s.stopping }

// Stopped reports whether a signal to stop has been received.
func (s *Signals) Stopped() bool { return s.stopping.Err() != nil }

// First is the first signal to stop, and when it was received. It is valid once
// Stopping has ended.
func (s *Signals) First() (os.Signal, time.Time) { return s.first, s.at }

// AtOnce is closed by the second signal to stop.
func (s *Signals) AtOnce() <-chan struct{} { return s.atOnce }

// Hangup holds a SIGHUP until it is answered.
func (s *Signals) Hangup() <-chan os.Signal { return s.hangup }

// Started says that the start is over: from now on the caller answers signals.
func (s *Signals) Started() { close(s.running) }

// SetStuckError sets what While returns if it stops waiting for a stuck start, instead of
// ErrStopped, which means that nothing is lost. nil changes nothing.
func (s *Signals) SetStuckError(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil {
		s.stuck = err
	}
}

// StartTimeout is how long a start that a signal has ended may take to return: it
// may be inside a call that nothing interrupts, such as opening a file.
const StartTimeout = 10 * time.Second

// While runs do. Until do has called Started, a signal to stop limits the wait for it:
// to StartTimeout, or until a second signal.
func (s *Signals) While(do func() error) error {
	done := make(chan error, 1)
	go func() { done <- do() }()
	select {
	case err := <-done:
		return err
	case <-s.running:
		return <-done
	case <-s.stopping.Done():
	}
	late := time.NewTimer(StartTimeout)
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
