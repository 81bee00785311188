package outputs

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"dnsmonster-sensor/test/testlog"
	"dnsmonster-sensor/userspace/account"
	"dnsmonster-sensor/userspace/event"
)

// shards is a destination of several parts. A block belongs to the one that the DNS id of
// its first event names, and can go nowhere else.
type shards struct {
	fake
	mu       sync.Mutex
	down     []bool
	attempts []int // failed ones
	got      []int
	ids      map[event.ID]int
	resumed  map[event.ID]int // blocks of an earlier run, and for which part they waited
	inside   func(part int)   // called in each attempt
}

func newShards(parts int, down ...int) *shards {
	s := &shards{down: make([]bool, parts), attempts: make([]int, parts), ids: make(map[event.ID]int), resumed: make(map[event.ID]int)}
	for _, part := range down {
		s.down[part] = true
	}
	s.write = func(_ context.Context, b *event.Block) (int, error) {
		ids := dnsIDs(b)
		part := ids[0] / 10 % parts
		s.mu.Lock()
		inside := s.inside
		s.mu.Unlock()
		if inside != nil {
			inside(part)
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.down[part] {
			s.attempts[part]++
			return 0, &Postpone{Part: fmt.Sprint("shard ", part), Err: fmt.Errorf("shard %d is away", part)}
		}
		s.got = append(s.got, ids...)
		s.ids[b.ID()]++
		return 0, nil
	}
	return s
}

func (s *shards) setDown(part int, down bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.down[part] = down
}

func (s *shards) setInside(call func(part int)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.inside = call
}

func (s *shards) failed(part int) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.attempts[part]
}

func (s *shards) received() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.got)
}

// wantOnce expects the events 0 to n-1 once, in any order.
func (s *shards) wantOnce(t *testing.T, n int) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	got := slices.Sorted(slices.Values(s.got))
	wantInOrder(t, got, n)
}

// Resume asks which blocks have waited in an earlier run.
func (s *shards) Resume(id event.ID, waited func(part string) bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for part := range s.down {
		if waited(fmt.Sprint("shard ", part)) {
			s.resumed[id] = part
		}
	}
}

// resumable is an output of such writers.
type resumable struct{ *shards }

func (r resumable) Open(context.Context) (Writer, error) { return r.shards, nil }

// blocks offers events in blocks of ten, the first of which has that number.
func blocks(in *Intake, numbers ...int) {
	for _, n := range numbers {
		for i := range 10 {
			in.Offer(testEvent(uint16(10*n + i)))
		}
		in.Flush()
	}
}

// While a part of the destination is away, blocks for the others are delivered, and the log
// tells of one outage. When it is back, it gets its blocks.
func TestPostponed(t *testing.T) {
	for _, workers := range []int{1, 4} {
		var log testlog.Log
		s := newShards(2, 1)
		set := quick(workers, 10)
		set.RetryMax = 20 * time.Millisecond
		r := testRunner(t, &s.fake, set, true, slog.New(slog.NewTextHandler(&log, nil)))
		r.Start(context.Background())
		in := r.Intake()
		blocks(in, 0, 1, 2, 3, 4, 6, 8)
		waitUntil(t, func() bool { return s.received() == 50 && s.failed(1) > 20 })
		l := r.Ledger(func() uint64 { return 70 })
		if l.Held != 20 || l.Unaccounted() != 0 || r.LastError() == nil || r.OldestAge() == 0 {
			t.Errorf("%d held, %d unaccounted, last error %v, oldest for %s", l.Held, l.Unaccounted(), r.LastError(), r.OldestAge())
		}
		s.setDown(1, false)
		waitUntil(t, func() bool { return s.received() == 70 })
		blocks(in, 5)
		r.Stop(context.Background())
		checkLedger(t, r, 80, fmt.Sprintf("delivered 80, blocks 8, retries %d", s.failed(1)))
		s.mu.Lock()
		s.got = slices.DeleteFunc(s.got, func(id int) bool { return id >= 60 })
		s.mu.Unlock()
		wantCounts(t, s)
		if text := log.String(); strings.Count(text, "level=WARN") != 1 || strings.Count(text, "shard 1 is away") != 1 || strings.Count(text, "output has recovered") != 1 || r.LastError() != nil {
			t.Errorf("%d workers, last error %v, log:\n%s", workers, r.LastError(), text)
		}
	}
}

func wantCounts(t *testing.T, s *shards) {
	t.Helper()
	s.wantOnce(t, 60)
	for id, n := range s.ids {
		if n != 1 {
			t.Errorf("block %v was delivered %d times", id, n)
		}
	}
}

// Of the blocks that wait for the same part, one at a time is tried.
func TestPostponedTogether(t *testing.T) {
	s := newShards(2, 1)
	set := quick(1, 10)
	set.RetryFirst, set.RetryMax = time.Hour, time.Hour
	r := testRunner(t, &s.fake, set, true, nil)
	r.Start(context.Background())
	blocks(r.Intake(), 1, 3, 5, 7, 2)
	waitUntil(t, func() bool { return s.received() == 10 })
	s.setDown(1, false)
	w := r.workers[0]
	w.mu.Lock()
	for _, d := range w.inHand {
		if !d.due.Equal(w.inHand[0].due) {
			t.Errorf("a block is due at %s, the first one at %s", d.due, w.inHand[0].due)
		}
	}
	w.inHand[2].due = time.Now() // as if the hour were over for one of them
	w.mu.Unlock()
	blocks(r.Intake(), 4) // wakes the worker
	waitUntil(t, func() bool { return s.received() == 60 })
	r.Stop(context.Background())
	checkLedger(t, r, 60, "delivered 60, retries 4")
}

// At the limit, of blocks or of their bytes, a worker takes nothing new. It delivers what it
// has as soon as one of the parts is back, whichever that is.
func TestPostponedLimit(t *testing.T) {
	f := func(queueBytes int64, most int) {
		t.Helper()
		s := newShards(3, 1, 2)
		set := quick(1, 10)
		set.QueueBytes = queueBytes
		r := testRunner(t, &s.fake, set, false, nil)
		r.Start(context.Background())
		var numbers []int
		for i := range 3 * maxPostponed {
			numbers = append(numbers, i)
		}
		offered := make(chan struct{})
		go func() {
			defer close(offered)
			blocks(r.Intake(), numbers...)
		}()
		w := r.workers[0]
		waitUntil(t, func() bool { return s.failed(1) > 20 && s.failed(2) > 20 })
		before := s.received()
		failed := s.failed(1) + s.failed(2)
		waitUntil(t, func() bool { return s.failed(1)+s.failed(2) > failed+20 })
		w.mu.Lock()
		n := len(w.inHand)
		w.mu.Unlock()
		if n != most || s.received() != before {
			t.Errorf("%d blocks are postponed, want %d; %d events were delivered meanwhile", n, most, s.received()-before)
		}
		s.setDown(2, false)
		waitUntil(t, func() bool { return s.received() > before })
		s.setDown(1, false)
		<-offered
		r.Stop(context.Background())
		checkLedger(t, r, uint64(10*len(numbers)), fmt.Sprintf("delivered %d", 10*len(numbers)))
		s.wantOnce(t, 10*len(numbers))
	}
	f(0, maxPostponed)
	f(4*smallBlock, 2)
}

// What waits for a part at a stop is abandoned, or goes to the spool under its id, also if
// it came from there or if another attempt hangs. A later start delivers it.
func TestPostponedStop(t *testing.T) {
	for _, how := range []string{"no spool", "overflow", "always"} {
		for _, hangs := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, hangs %t", how, hangs), func(t *testing.T) { postponedStop(t, how, hangs) })
		}
	}
}

func postponedStop(t *testing.T, how string, hangs bool) {
	s := newShards(2, 1)
	set := quick(1, 10)
	if how != "no spool" {
		set = spoolSettings(t.TempDir(), how == "always")
		set.QueueBytes *= 4
	}
	r := testRunner(t, &s.fake, set, true, nil)
	r.Start(context.Background())
	in := r.Intake()
	blocks(in, 0, 1, 2, 3)
	waitUntil(t, func() bool { return s.received() == 20 && s.failed(1) > 10 })
	offered := uint64(40)
	if hangs {
		release, hung := make(chan struct{}), make(chan struct{})
		defer close(release) // the attempt still succeeds, which nobody can know
		s.setInside(func(part int) {
			if part == 0 {
				close(hung)
				<-release
			}
		})
		blocks(in, 4)
		<-hung
		offered += 10
	}
	stopReturns(t, r)
	s.setInside(nil)
	if how == "no spool" {
		checkLedger(t, r, offered, fmt.Sprintf("delivered 20, abandoned %d", offered-20))
		return
	}
	check := func(r *Runner, offered, waiting uint64) {
		t.Helper()
		if l := r.Ledger(func() uint64 { return offered }); l.Held != waiting || l.Unaccounted() != 0 || r.SpoolEvents() != waiting {
			t.Errorf("%d held, %d in the spool, want %d; %d unaccounted", l.Held, r.SpoolEvents(), waiting, l.Unaccounted())
		}
	}
	check(r, offered, offered-20)
	start := func() *Runner {
		r, err := NewRunner(resumable{s}, set, true, event.NewIDs(), account.NewDeliveryCounters(), nil)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	for range 2 {
		r = start()
		before := s.failed(1)
		r.Start(context.Background())
		waitUntil(t, func() bool { return s.failed(1) > before+10 && s.received() == int(offered)-20 })
		stopReturns(t, r)
		check(r, 0, 20)
	}
	s.setDown(1, false)
	r = start()
	clear(s.resumed)
	r.Start(context.Background())
	r.Stop(context.Background())
	checkLedger(t, r, 0, "recovered 20, delivered 20")
	s.wantOnce(t, int(offered))
	for id, part := range s.resumed {
		if part != 1 || s.ids[id] != 1 {
			t.Errorf("block %v waited for part %d, and was delivered %d times", id, part, s.ids[id])
		}
	}
	if len(s.resumed) != 2 {
		t.Errorf("%d blocks have waited, want 2", len(s.resumed))
	}
}

// A block that waits keeps what the destination has said of its events.
func TestPostponedPartial(t *testing.T) {
	attempts := 0
	f := &fake{}
	f.write = func(_ context.Context, b *event.Block) (int, error) {
		switch attempts++; attempts {
		case 1: // two are refused, three fail, five are delivered
			return 2, &Partial{Failed: []int{1, 4, 7}, Err: errors.New("busy")}
		case 2:
			return 1, &Postpone{Part: "shard 1", Err: errors.New("away")}
		}
		return 0, nil
	}
	r := testRunner(t, f, quick(1, 10), true, nil)
	r.Start(context.Background())
	offer(r.Intake(), 10)
	r.Stop(context.Background())
	checkLedger(t, r, 10, "delivered 7, refused 3, retries 2, blocks 1")
}

// lateEnd is a context that ends just after a waiter has taken a token for a new block.
type lateEnd struct {
	context.Context
	asked  int
	happen func()
}

func (c *lateEnd) Err() error {
	if c.asked++; c.asked == 1 {
		return nil
	}
	c.happen()
	return context.DeadlineExceeded
}

// A waiter whose time is over leaves the token that it has taken to the others.
func TestTokenIsLeft(t *testing.T) {
	q := newQueue(1<<20, account.NewDeliveryCounters().Shard())
	signal(q.more)
	_, ok := q.pop(&lateEnd{context.Background(), 0, func() {
		q.tryPut(item{block: sealedBlock(1)})
		<-q.more
	}})
	if ok || len(q.more) != 1 {
		t.Errorf("got a block: %t, %d tokens are left", ok, len(q.more))
	}
	r := testRunner(t, &newDestination(false).fake, spoolSettings(t.TempDir(), false), true, nil)
	defer r.Discard()
	signal(r.spool.more)
	_, ok = r.spool.next(&lateEnd{context.Background(), 0, func() {
		r.spool.front.tryPut(item{block: sealedBlock(1)})
		<-r.spool.front.more
	}})
	if ok || len(r.spool.more) != 1 {
		t.Errorf("with a spool, got a block: %t, %d tokens are left", ok, len(r.spool.more))
	}
}
