package outputs

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"dnsmonster-sensor/test/await"
	"dnsmonster-sensor/userspace/event"
)

// Delivered, some events refused, a whole block refused, retried.
func TestOutcomes(t *testing.T) {
	busy := errors.New("busy")
	f := func(answers []error, refused int, want string) {
		t.Helper()
		attempt := 0
		r := testRunner(t, &fake{write: func(context.Context, *event.Block) (int, error) {
			attempt++
			if attempt > len(answers) {
				return refused, nil
			}
			return refused, answers[attempt-1]
		}}, quick(1, 10), false, nil)
		r.Start(context.Background())
		offer(r.Intake(), 10)
		r.Stop(context.Background())
		checkLedger(t, r, 10, want)
	}
	f(nil, 0, "delivered 10, blocks 1, retries 0")
	f(nil, 3, "delivered 7, refused 3, blocks 1")
	f(nil, 11, "delivered 0, refused 10")
	f(nil, -1, "delivered 10, refused 0")
	f([]error{busy, busy}, 0, "delivered 10, retries 2, blocks 1")
	f([]error{busy, busy}, 1, "delivered 7, refused 3, retries 2") // one more is refused in each attempt
	f([]error{Permanent(busy)}, 0, "delivered 0, refused 10, blocks 0, retries 0")
	f([]error{busy, Permanent(busy)}, 2, "refused 10, retries 1")
	f([]error{ErrReaderGone}, 0, "abandoned 10, blocks 0")
}

// Each attempt has its own deadline, which starts when the attempt before it has ended.
func TestTimeoutPerAttempt(t *testing.T) {
	attempts := 0
	ended := time.Now()
	set := quick(1, 10)
	set.Timeout = time.Minute
	r := testRunner(t, &fake{write: func(ctx context.Context, _ *event.Block) (int, error) {
		d, ok := ctx.Deadline()
		if !ok {
			t.Error("no deadline")
		}
		attempts++
		if own := d.Sub(ended); own < time.Minute {
			t.Errorf("attempt %d had %s of its minute", attempts, own)
		}
		if attempts < 3 {
			time.Sleep(5 * time.Millisecond)
			ended = time.Now()
			return 0, errors.New("busy")
		}
		return 0, nil
	}}, set, false, nil)
	r.Start(context.Background())
	offer(r.Intake(), 1)
	r.Stop(context.Background())
	if attempts != 3 {
		t.Errorf("%d attempts, want 3", attempts)
	}
}

// With a live source the runner drops and counts what does not fit, except what its lanes
// hold at the end; with a file the lanes wait.
func TestFullQueue(t *testing.T) {
	set := quick(1, 10)
	set.QueueBytes = 1
	live := testRunner(t, &fake{}, set, true, nil)
	offer(live.Intake(), 35)
	live.Stop(shortGrace())
	checkLedger(t, live, 35, "queue_full 20, abandoned 15, delivered 0")

	release := make(chan struct{})
	file := testRunner(t, &fake{write: func(context.Context, *event.Block) (int, error) {
		<-release
		return 0, nil
	}}, set, false, nil)
	file.Start(context.Background())
	offered := make(chan struct{})
	go func() {
		defer close(offered)
		offer(file.Intake(), 2000)
	}()
	select {
	case <-offered:
		t.Error("2000 events passed a queue of one block while nothing was written")
	case <-time.After(30 * time.Millisecond):
	}
	close(release)
	<-offered
	file.Stop(context.Background())
	checkLedger(t, file, 2000, "delivered 2000")
}

// When Start's context ends, waiting lanes go on.
func TestContextReleasesLanes(t *testing.T) {
	set := quick(1, 10)
	set.QueueBytes = 1
	writing := make(chan struct{}, 1)
	r := testRunner(t, &fake{write: func(ctx context.Context, _ *event.Block) (int, error) {
		writing <- struct{}{}
		<-ctx.Done()
		return 0, ctx.Err()
	}}, set, false, nil)
	ctx, cancel := context.WithCancel(context.Background())
	r.Start(ctx)
	go func() {
		defer cancel()
		<-writing
		await.Within(await.Limit, func() bool { return !r.queue.hasRoom(sealedBlock(1)) }) // until the lane waits
	}()
	offer(r.Intake(), 100)
	r.Stop(context.Background())
	checkLedger(t, r, 100, "delivered 0, abandoned 100")
}

// A writer that ignores its context delays the stop by a second at most, and its late
// result is not counted.
func TestStopWithStuckWriter(t *testing.T) {
	release, returned := make(chan struct{}), make(chan struct{})
	f := &fake{write: func(context.Context, *event.Block) (int, error) {
		<-release
		defer close(returned)
		return 0, nil
	}}
	r := testRunner(t, f, quick(1, 10), true, nil)
	r.Start(context.Background())
	offer(r.Intake(), 25)
	from := time.Now()
	r.Stop(shortGrace())
	if took := time.Since(from); took > time.Minute { // the writer is stuck for good: Stop did not wait for it
		t.Errorf("Stop took %s", took)
	}
	checkLedger(t, r, 25, "delivered 0, abandoned 25")
	close(release)
	<-returned
	r.running.Wait()
	checkLedger(t, r, 25, "delivered 0, abandoned 25")
	r.Stop(shortGrace())
	checkLedger(t, r, 25, "delivered 0, abandoned 25")
}

// ErrReaderGone ends all workers, and lanes do not wait for the output.
func TestReaderGone(t *testing.T) {
	set := quick(3, 10)
	set.QueueBytes = 1
	f := &fake{write: func(context.Context, *event.Block) (int, error) { return 0, ErrReaderGone }}
	r := testRunner(t, f, set, false, nil)
	if r.Err() != nil {
		t.Error("Err before the end")
	}
	r.Start(context.Background())
	offer(r.Intake(), 500)
	<-r.Ended()
	r.Stop(context.Background())
	if !errors.Is(r.Err(), ErrReaderGone) {
		t.Errorf("Err = %v, want ErrReaderGone", r.Err())
	}
	checkLedger(t, r, 500, "abandoned 500, delivered 0")
	if f.closes == 0 || f.closes > 3 {
		t.Errorf("%d writers closed, want 1 to 3", f.closes)
	}
}

// A worker in a long pause between attempts does not delay the end.
func TestEndWakesWorkers(t *testing.T) {
	set := quick(2, 10)
	set.RetryFirst = time.Hour
	var mu sync.Mutex
	attempts := 0
	r := testRunner(t, &fake{write: func(context.Context, *event.Block) (int, error) {
		mu.Lock()
		defer mu.Unlock()
		if attempts++; attempts == 1 {
			return 0, errors.New("busy")
		}
		return 0, ErrReaderGone
	}}, set, false, nil)
	r.Start(context.Background())
	offer(r.Intake(), 50)
	done := make(chan struct{})
	go func() {
		r.Stop(context.Background())
		close(done)
	}()
	select {
	case <-done:
	case <-time.After(time.Minute):
		t.Fatal("Stop waits for a worker that pauses")
	}
	checkLedger(t, r, 50, "abandoned 50")
}

// Opening is retried; a permanent error ends the output.
func TestOpen(t *testing.T) {
	var mu sync.Mutex
	attempts := 0
	f := &fake{open: func(context.Context) error {
		mu.Lock()
		defer mu.Unlock()
		if attempts++; attempts < 5 {
			return errors.New("refused")
		}
		return nil
	}}
	r := testRunner(t, f, quick(2, 10), false, nil)
	r.Start(context.Background())
	offer(r.Intake(), 100)
	waitUntil(t, func() bool { mu.Lock(); defer mu.Unlock(); return attempts == 6 }) // both writers are open
	r.Stop(context.Background())
	checkLedger(t, r, 100, "delivered 100, retries 4")
	if f.closes != 2 {
		t.Errorf("%d writers closed, want 2", f.closes)
	}

	bad := errors.New("no such table")
	r = testRunner(t, &fake{open: func(context.Context) error { return Permanent(bad) }}, quick(2, 10), false, nil)
	r.Start(context.Background())
	<-r.Ended()
	if !errors.Is(r.Err(), bad) {
		t.Errorf("Err = %v, want %v", r.Err(), bad)
	}
	offer(r.Intake(), 100)
	r.Stop(context.Background())
	checkLedger(t, r, 100, "abandoned 100")
}
