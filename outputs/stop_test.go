package outputs

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"testing"
	"time"

	"dnsmonster-sensor/outputs/spool"
	"dnsmonster-sensor/userspace/event"
)

// wantStops fails where Stop does not come back.
func wantStops(t *testing.T, r *Runner) {
	t.Helper()
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		r.Stop(shortly())
	}()
	select {
	case <-stopped:
	case <-time.After(time.Minute):
		t.Fatal("Stop does not return")
	}
}

// A disk that hangs when a delivered block is to be noted does not keep the
// program from ending. The block counts as what it is.
func TestStopWhileTheNoteHangs(t *testing.T) {
	s := newStore(false)
	r := runnerFor(t, s, spooled(t.TempDir(), true), true, nil)
	r.disk.grace = time.Millisecond
	hang, ended := make(chan struct{}), make(chan struct{})
	note := r.disk.note
	r.disk.note = func(seg *spool.Segment, id event.ID) error {
		defer close(ended)
		<-hang
		return note(seg, id)
	}
	r.Start(context.Background())
	offer(r.Intake(), 10)
	waitUntil(t, func() bool { return len(s.received()) == 10 })
	wantStops(t, r)
	check(t, r, 10, "delivered 10")

	close(hang)
	<-ended // late, which does no harm
}

// Nor does one that hangs when the reader has left.
func TestGoneWhileTheDiskHangs(t *testing.T) {
	var text bytes.Buffer
	r := runnerFor(t, newStore(true), spooled(t.TempDir(), false), true, slog.New(slog.NewTextHandler(&text, nil)))
	r.disk.grace = time.Millisecond
	offer(r.Intake(), 10) // without Start the disk's goroutine never comes to an end
	r.giveUp(ErrGone)
	wantStops(t, r)
	if n := r.Stuck(); n != 10 {
		t.Errorf("%d events stuck, want 10", n)
	}
	if !strings.Contains(text.String(), "the spool's disk does not answer") {
		t.Errorf("log: %s", text.String())
	}
}

// A worker that finds nothing in front, just when the last block goes to the disk
// and the way to the front closes, takes that block all the same.
func TestLastBlockGoesToTheDisk(t *testing.T) {
	r := runnerFor(t, newStore(false), spooled(t.TempDir(), false), true, nil)
	d := r.disk
	defer r.Discard()
	d.front.mu.Lock()
	found := make(chan bool)
	go func() {
		_, ok := d.next(context.Background())
		found <- ok
	}()
	time.Sleep(50 * time.Millisecond) // it has asked the disk, and waits for the front
	if _, err := d.write(sealed(10), false); err != nil {
		t.Fatal(err)
	}
	d.front.closed = true
	close(d.front.done)
	d.front.mu.Unlock()
	if !<-found {
		t.Error("the block is left on disk")
	}
}
