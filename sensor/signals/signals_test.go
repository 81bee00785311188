package signals

import (
	"errors"
	"os"
	"syscall"
	"testing"
	"time"
)

// TestRequests: the first signal stops, the second one exits at once, and more do
// nothing.
func TestRequests(t *testing.T) {
	s := New()
	if s.Stopped() {
		t.Error("stopped before any signal")
	}
	before := time.Now()
	s.Request(syscall.SIGTERM)
	if first, at := s.First(); first != syscall.SIGTERM || at.Before(before) || !s.Stopped() {
		t.Errorf("first signal %v at %v, stopped %v", first, at, s.Stopped())
	}
	select {
	case <-s.AtOnce():
		t.Error("one signal exits at once")
	default:
	}
	s.Request(syscall.SIGINT)
	s.Request(syscall.SIGINT)
	select {
	case <-s.AtOnce():
	default:
		t.Error("a second signal does not exit at once")
	}
	if first, _ := s.First(); first != syscall.SIGTERM {
		t.Errorf("the first signal is %v after the second", first)
	}
}

// TestEcho: a signal that is repeated at once counts as the same.
func TestEcho(t *testing.T) {
	s := New()
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.follow()
	}()
	for range 3 {
		s.received <- os.Interrupt
	}
	close(s.received)
	<-done
	select {
	case <-s.AtOnce():
		t.Error("the echo of a signal exits at once")
	default:
	}
	if !s.Stopped() {
		t.Error("the signal does not stop")
	}
}

// TestWhile returns what the function does, unless a second signal comes while the
// start is stuck.
func TestWhile(t *testing.T) {
	wrong := errors.New("wrong")
	f := func(name string, want error, set func(*Signals), do func(*Signals, <-chan struct{}) error) {
		t.Helper()
		s := New()
		set(s)
		never := make(chan struct{})
		defer close(never)
		if err := s.While(func() error { return do(s, never) }); err != want {
			t.Errorf("%s: %v, want %v", name, err, want)
		}
	}
	none := func(*Signals) {}
	stop := func(s *Signals) { s.Request(os.Interrupt) }
	stuck := func(s *Signals, never <-chan struct{}) error {
		s.Request(os.Interrupt)
		<-never
		return nil
	}
	f("no signal", wrong, none, func(*Signals, <-chan struct{}) error { return wrong })
	f("a signal before", wrong, stop, func(*Signals, <-chan struct{}) error { return wrong })
	f("signals after the start", wrong, stop, func(s *Signals, _ <-chan struct{}) error {
		s.Started()
		s.Request(os.Interrupt)
		time.Sleep(10 * time.Millisecond) // While could return now
		return wrong
	})
	f("stuck", ErrStopped, stop, stuck)
	f("stuck, nothing lost", ErrStopped, func(s *Signals) { stop(s); s.SetStuckError(nil) }, stuck)
	f("stuck, something lost", wrong, func(s *Signals) { stop(s); s.SetStuckError(wrong) }, stuck)
}
