package outputs

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"dnsmonster-sensor/outputs/spool"
	"dnsmonster-sensor/userspace/account"
	"dnsmonster-sensor/userspace/event"
)

// stopReturns fails if Stop does not return.
func stopReturns(t *testing.T, r *Runner) {
	t.Helper()
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		r.Stop(shortGrace())
	}()
	select {
	case <-stopped:
	case <-time.After(time.Minute):
		t.Fatal("Stop does not return")
	}
}

// A disk that hangs while a delivered block is noted does not keep the program from ending.
// The block counts as delivered.
func TestStopWhileNotingHangs(t *testing.T) {
	s := newDestination(false)
	r := testRunner(t, &s.fake, spoolSettings(t.TempDir(), true), true, nil)
	r.spool.closeTimeout = time.Millisecond
	hang, ended := make(chan struct{}), make(chan struct{})
	note := r.spool.markDone
	r.spool.markDone = func(seg *spool.Segment, id event.ID) error {
		defer close(ended)
		<-hang
		return note(seg, id)
	}
	r.Start(context.Background())
	offer(r.Intake(), 10)
	waitUntil(t, func() bool { return len(s.received()) == 10 })
	stopReturns(t, r)
	checkLedger(t, r, 10, "delivered 10")

	close(hang)
	<-ended // too late, which does no harm
}

// A disk that hangs after the reader has left does not keep the program from ending either.
func TestReaderGoneWhileTheDiskHangs(t *testing.T) {
	var text bytes.Buffer
	r := testRunner(t, &newDestination(true).fake, spoolSettings(t.TempDir(), false), true, slog.New(slog.NewTextHandler(&text, nil)))
	r.spool.closeTimeout = time.Millisecond
	offer(r.Intake(), 10) // without Start, move never ends
	r.End(ErrReaderGone)
	stopReturns(t, r)
	if n := r.Stuck(); n != 10 {
		t.Errorf("%d events stuck, want 10", n)
	}
	if !strings.Contains(text.String(), "the spool's disk does not answer") {
		t.Errorf("log: %s", text.String())
	}
}

// A worker finds the front empty, just when the last block goes to the spool and the front
// is closed. It takes that block all the same.
func TestLastBlockGoesToTheDisk(t *testing.T) {
	r := testRunner(t, &newDestination(false).fake, spoolSettings(t.TempDir(), false), true, nil)
	q := r.spool
	defer r.Discard()
	q.front.mu.Lock()
	found := make(chan bool)
	go func() {
		_, ok := q.next(context.Background())
		found <- ok
	}()
	time.Sleep(50 * time.Millisecond) // it has asked the spool, and waits for the front
	if _, err := q.write(item{block: sealedBlock(10)}, false); err != nil {
		t.Fatal(err)
	}
	q.front.closed = true
	q.front.isEnded = true
	close(q.front.done)
	close(q.front.ended)
	q.front.mu.Unlock()
	if !<-found {
		t.Error("the block stays in the spool")
	}
}

// A destination that is down delays no stop that has nothing to deliver, with or without a
// spool.
func TestStopWithNothingToDeliver(t *testing.T) {
	for _, spool := range []bool{false, true} {
		set := quick(2, 10)
		set.RetryFirst, set.RetryMax = time.Minute, time.Minute
		if spool {
			set.Spool = spoolSettings(t.TempDir(), false).Spool
		}
		tried := make(chan struct{}, 10)
		down := &fake{open: func(ctx context.Context) error {
			tried <- struct{}{}
			return errors.New("connection refused")
		}}
		r := testRunner(t, down, set, true, nil)
		r.Start(context.Background())
		<-tried
		began := time.Now()
		r.Stop(context.Background()) // no deadline
		if took := time.Since(began); took > 20*time.Second {
			t.Errorf("Stop took %s", took)
		}
		checkLedger(t, r, 0, "delivered 0")
	}
}

// A stop that has something to deliver waits for the destination.
func TestStopWaitsForTheDestination(t *testing.T) {
	up := make(chan struct{})
	f := &fake{open: func(context.Context) error {
		select {
		case <-up:
			return nil
		default:
			return errors.New("connection refused")
		}
	}}
	r := testRunner(t, f, quick(2, 10), true, nil)
	r.Start(context.Background())
	offer(r.Intake(), 25)
	time.AfterFunc(10*idlePoll, func() { close(up) })
	r.Stop(context.Background())
	checkLedger(t, r, 25, "delivered 25")
}

// TestEndIsLogged: an output that cannot go on logs that once, at once, with the number of
// records lost.
func TestEndIsLogged(t *testing.T) {
	for _, why := range []error{Permanent(errors.New("no such table")), Ended(errors.New("no space left on device"))} {
		var text bytes.Buffer
		f := &fake{open: func(context.Context) error { return why }}
		if errors.Is(why, ErrEnded) {
			f = &fake{write: func(context.Context, *event.Block) (int, error) { return 0, why }}
		}
		r := testRunner(t, f, quick(1, 50), true, slog.New(slog.NewTextHandler(&text, nil)))
		offer(r.Intake(), 50)
		r.Start(context.Background())
		select {
		case <-r.Ended():
		case <-time.After(20 * time.Second):
			t.Fatal("the output does not end")
		}
		if log := text.String(); strings.Count(log, "level=ERROR") != 1 || !strings.Contains(log, "records=50 error=\""+why.Error()+"\"") {
			t.Errorf("log: %s", log)
		}
		r.Stop(context.Background())
		checkLedger(t, r, 50, "abandoned 50")
		if !errors.Is(r.Err(), why) {
			t.Errorf("the output ended by %v, want %v", r.Err(), why)
		}
	}
}

// badClose is a writer whose Close fails, as when the last records cannot be flushed to the
// medium.
type badClose struct{ Writer }

func (badClose) Close() error { return errors.New("sync: input/output error") }

// badCloseOutput is an output of such writers.
type badCloseOutput struct{ *fake }

func (b badCloseOutput) Open(context.Context) (Writer, error) { return badClose{b.fake}, nil }

// A failed Close is reported: the exit status depends on it.
func TestCloseFails(t *testing.T) {
	r, err := NewRunner(badCloseOutput{&fake{}}, quick(2, 10), true, event.NewIDs(), account.NewDeliveryCounters(), nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Start(context.Background())
	offer(r.Intake(), 10)
	r.Stop(context.Background())
	checkLedger(t, r, 10, "delivered 10")
	if err := r.CloseErr(); err == nil || !strings.Contains(err.Error(), "sync: input/output error") {
		t.Errorf("CloseErr is %v", err)
	}
}
