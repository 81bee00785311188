package outputs

import (
	"context"
	"fmt"
	"testing"
	"time"

	"dnsmonster-sensor/test/await"
	"dnsmonster-sensor/userspace/event"
)

// TestOldest: the age counts from the receipt, wherever an event waits.
func TestOldest(t *testing.T) {
	for _, mode := range []string{"memory", "overflow", "always"} {
		set := spoolSettings(t.TempDir(), mode == "always")
		set.BatchSize = 2
		if mode == "memory" {
			set.Spool = SpoolSettings{}
		}
		s := newDestination(true)
		r := testRunner(t, &s.fake, set, true, nil)
		if age := r.OldestAge(); age != 0 {
			t.Errorf("%s: %s, though nothing was received", mode, age)
		}
		r.queue.unbatched.base = time.Now().Add(-time.Hour) // as if the sensor had started then
		const before = 100 * time.Second
		in := r.Intake()
		in.Tick(time.Now().Add(-before))
		in.Offer(testEvent(0))
		want := func(where string) {
			t.Helper()
			var age time.Duration
			await.Within(time.Second, func() bool { // the event may be moving
				age = r.OldestAge()
				return age >= before
			})
			if age < before || age > before+time.Minute {
				t.Errorf("%s: %s, want %s while the event is %s", mode, age, before, where)
			}
		}
		want("in an open block")
		in.Offer(testEvent(1))
		want("in the queue")
		r.Start(context.Background())
		in.Tick(time.Now())
		for i := range 200 { // more than memory holds
			in.Offer(testEvent(uint16(i)))
			waitUntil(t, func() bool { return r.queue.hasRoom(sealedBlock(1)) || mode == "memory" })
			want("beyond the queue")
		}
		s.setDown(false)
		in.Flush()
		waitUntil(t, func() bool { l := r.Ledger(func() uint64 { return 202 }); return l.Held == 0 && r.OldestAge() == 0 })
		r.Stop(context.Background())
		if age := r.OldestAge(); age != 0 {
			t.Errorf("%s: %s at the end", mode, age)
		}
	}
}

// TestOldestAfterRestart: what an earlier run has left is as old as its batch, even after
// part of that batch was retried as a batch of its own.
func TestOldestAfterRestart(t *testing.T) {
	set := spoolSettings(t.TempDir(), false)
	s := newDestination(true)
	r := testRunner(t, &s.fake, set, true, nil)
	old := event.NewBlock(smallBlock)
	for i := range 5 {
		old.Append(testEvent(uint16(i)))
	}
	old.Seal(r.ids.Next(), time.Now().Add(-time.Hour))
	if _, err := r.spool.write(item{block: old, since: time.Now()}, false); err != nil {
		t.Fatal(err)
	}
	close(r.spool.ended) // move never ran
	r.finish()

	tried := make(chan struct{})
	part := &fake{write: func(_ context.Context, b *event.Block) (int, error) {
		if b.Len() == 5 {
			return 0, &Partial{Failed: []int{1, 2, 3}, Err: fmt.Errorf("busy")}
		}
		select {
		case tried <- struct{}{}:
		default:
		}
		return 0, fmt.Errorf("down")
	}}
	for _, rest := range []uint64{5, 3} {
		r = testRunner(t, part, set, true, nil)
		want := func(when string) {
			t.Helper()
			if age := r.OldestAge(); age < time.Hour || age > 2*time.Hour {
				t.Errorf("%d events, %s: %s, want an hour", rest, when, age)
			}
		}
		want("found on disk")
		r.Start(context.Background())
		<-tried
		want("with a writer")
		r.Stop(shortGrace())
		want("at the end")
	}
}
