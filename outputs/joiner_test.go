package outputs

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"dnsmonster-sensor/userspace/account"
	"dnsmonster-sensor/userspace/event"
)

// sizes is a destination that remembers how many events each batch had.
type batchSizes struct {
	fake
	mu   sync.Mutex
	rows []int
}

func newBatchSizes() *batchSizes {
	s := &batchSizes{}
	s.write = func(_ context.Context, b *event.Block) (int, error) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.rows = append(s.rows, b.Len())
		return 0, nil
	}
	return s
}

func (s *batchSizes) got() []int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.rows)
}

// lanesOf offer rate events a second from four lanes for a time, in steps of the
// 10 ms in which lanes look at their blocks. It returns how many that were.
func runLanes(r *Runner, rate int, last time.Duration) (offered uint64) {
	const lanes = 4
	var all sync.WaitGroup
	counts := make([]uint64, lanes)
	began := time.Now()
	for lane := range lanes {
		in := r.Intake()
		all.Go(func() {
			e := testEvent(uint16(lane))
			e.Message = append(e.Message, make([]byte, 40)...)
			for time.Since(began) < last {
				due := uint64(time.Since(began).Seconds() * float64(rate) / lanes)
				for ; counts[lane] < due; counts[lane]++ {
					in.Offer(e)
				}
				time.Sleep(10 * time.Millisecond)
				in.Tick(time.Now())
			}
			in.Flush()
		})
	}
	all.Wait()
	for _, n := range counts {
		offered += n
	}
	return offered
}

// TestOneBatchPerDelay: below the limit all lanes together make one batch in each
// batch delay, however many they are.
func TestOneBatchPerDelay(t *testing.T) {
	const delay, last = 200 * time.Millisecond, 700 * time.Millisecond
	for _, live := range []bool{true, false} {
		s := newBatchSizes()
		set := Settings{Type: All, Workers: 2, BatchDelay: delay}
		r := testRunner(t, &s.fake, set, live, nil)
		r.Start(context.Background())
		began := time.Now()
		n := runLanes(r, 2000, last)
		took := time.Since(began)
		r.Stop(context.Background())
		checkLedger(t, r, n, fmt.Sprintf("delivered %d", n))
		// a lane that the machine keeps from looking in time makes one more
		if got := s.got(); len(got) > 2*int(took/delay)+3 || len(got) < 3 {
			t.Errorf("live %v: batches of %v events from four lanes in %s, want one in %s", live, got, took, delay)
		}
	}
}

// TestLargeBatch: a batch that spans many blocks of lanes has as many events as it
// may have, to the event.
func TestLargeBatch(t *testing.T) {
	f := func(rows int, bytes int64, n int, want ...int) {
		t.Helper()
		s := newBatchSizes()
		set := Settings{Type: All, Workers: 1, BatchSize: rows, BatchBytes: bytes, BatchDelay: time.Hour}
		r := testRunner(t, &s.fake, set, false, nil)
		r.Start(context.Background())
		offer(r.Intake(), n)
		r.Stop(context.Background())
		checkLedger(t, r, uint64(n), fmt.Sprintf("delivered %d, blocks %d", n, len(want)))
		if got := s.got(); !slices.Equal(got, want) {
			t.Errorf("%d events at most: batches of %v, want %v", rows, got, want)
		}
	}
	f(10_000, NoByteLimit, 25_000, 10_000, 10_000, 5000) // a lane's block has 2520
	f(2000, NoByteLimit, 5000, 2000, 2000, 1000)
	f(3000, NoByteLimit, 7000, 3000, 3000, 1000)
	f(0, 1<<20, 25_000, 10_082, 10_082, 4836) // (1 MiB - 48) / (92 + 12)
	f(0, 10_000, 200, 95, 95, 10)
	f(10_000, 0, 5000, 2520, 2480)
}

// joined seals all that is loose and returns the batches.
func joined(r *Runner) (items []item) {
	r.join.round(true)
	for {
		it, _ := r.queue.tryPop()
		if it.block == nil {
			return items
		}
		items = append(items, it)
	}
}

// TestLanesFollow: when one lane hands over, the others do, though theirs is
// younger; the batch has the age of its oldest event.
func TestLanesFollow(t *testing.T) {
	r := testRunner(t, &fake{}, quick(1, 0), true, nil)
	a, b := r.Intake(), r.Intake()
	now := time.Now()
	a.Tick(now)
	b.Tick(now)
	a.Offer(testEvent(1))
	b.Tick(now.Add(500 * time.Millisecond))
	b.Offer(testEvent(2))
	b.Tick(now.Add(970 * time.Millisecond))
	if r.queue.unbatched.nonEmpty() {
		t.Fatal("a block was handed over before its time")
	}
	a.Tick(now.Add(975 * time.Millisecond))
	b.Tick(now.Add(985 * time.Millisecond))
	items := joined(r)
	if len(items) != 1 || items[0].block.Len() != 2 || !items[0].since.Equal(now) {
		t.Errorf("%+v, want one batch of two events, as old as the first", items)
	}
	a.Offer(testEvent(3))
	if a.Tick(now.Add(1200 * time.Millisecond)); r.queue.unbatched.nonEmpty() {
		t.Error("the next batch was begun too early")
	}
	r.Stop(shortGrace())
}

// TestLaneKeepsItsOrder: a batch of a lane does not overtake what the lane handed
// over before; that of another lane does.
func TestLaneKeepsItsOrder(t *testing.T) {
	r := testRunner(t, &fake{}, quick(1, 3), true, nil)
	a, b := r.Intake(), r.Intake()
	give := func(in *Intake, ids ...uint16) {
		for _, id := range ids {
			in.Offer(testEvent(id))
		}
	}
	give(a, 1, 2)
	a.Tick(time.Now().Add(time.Second))
	give(a, 3, 4, 5)
	give(b, 6, 7, 8)
	var got [][]int
	for _, it := range joined(r) {
		got = append(got, dnsIDs(it.block))
	}
	give(a, 9, 10, 11)
	if it, _ := r.queue.tryPop(); it.block == nil {
		t.Error("a batch waits for a joiner that has nothing")
	}
	if want := "[[6 7 8] [1 2] [3 4 5]]"; fmt.Sprint(got) != want {
		t.Errorf("batches %v, want %s", got, want)
	}
	r.Stop(shortGrace())
}

// TestJoinerWithinTheBound: what the joiner has in hand is within the queue's bounds.
func TestJoinerWithinTheBound(t *testing.T) {
	set := quick(1, 0)
	set.QueueEvents = 100
	r := testRunner(t, &fake{}, set, true, nil)
	in := r.Intake()
	give := func(n int) {
		for i := range n {
			in.Offer(testEvent(uint16(i)))
		}
		in.Tick(time.Now().Add(time.Hour))
	}
	give(40)
	r.join.round(false) // in hand: not due by the clock
	if it, _ := r.queue.tryPop(); it.block != nil {
		t.Fatal("a batch was passed on before its time")
	}
	give(40)
	give(30) // of the 110 these do not fit into a queue of 100
	if in.open.Len() != 30 || r.queue.heldEvents() != 80 {
		t.Errorf("%d events in the lane's hand and %d in the queue, want 30 and 80", in.open.Len(), r.queue.heldEvents())
	}
	r.join.round(false) // half of the bound is a full batch
	if it := r.queue.ring[r.queue.head]; r.queue.count != 1 || it.block.Len() != 50 {
		t.Errorf("%d batches, the first %+v, want one of 50 events", r.queue.count, it)
	}
	give(20) // now it is a batch, and must get in or go
	r.Stop(shortGrace())
	checkLedger(t, r, 130, "queue_full 50, abandoned 80")
}

// TestLanesComeAtOnce: that all lanes hand over at one moment, as they do when one
// has waited long enough and at the end, costs no event, though together they have
// more than memory is set to hold.
func TestLanesComeAtOnce(t *testing.T) {
	for _, limit := range []string{"bytes", "events"} {
		set := quick(1, 0)
		set.BatchDelay = time.Hour
		if limit == "bytes" {
			set.QueueBytes = 1 << 20
		} else {
			set.QueueEvents = 3000
		}
		r := testRunner(t, &fake{}, set, true, nil)
		var lanes []*Intake
		const each = 1000 // some 90 KiB
		for range 64 {
			in := r.Intake()
			for i := range each {
				in.Offer(testEvent(uint16(i)))
			}
			lanes = append(lanes, in)
		}
		all := func(do func(*Intake)) {
			for _, in := range lanes {
				do(in)
			}
		}
		late := time.Now().Add(2 * time.Hour)
		all(func(in *Intake) { in.Tick(late) })
		r.Start(context.Background())
		waitUntil(t, func() bool {
			all(func(in *Intake) { in.Tick(late) })
			return !slices.ContainsFunc(lanes, func(in *Intake) bool { return in.open.Len() > 0 })
		})
		all(func(in *Intake) {
			for i := range each {
				in.Offer(testEvent(uint16(i)))
			}
		})
		all((*Intake).Flush)
		r.Stop(context.Background())
		checkLedger(t, r, 2*64*each, fmt.Sprintf("delivered %d", 2*64*each))
	}
}

// TestJoinedBatchStays: a batch that was joined goes through both queues and the
// disk as it is, and has its id after a restart; so have retries.
func TestJoinedBatchStays(t *testing.T) {
	for _, always := range []bool{false, true} {
		dir := t.TempDir()
		set := Settings{Type: All, Workers: 1, BatchSize: 20_000, BatchBytes: NoByteLimit, BatchDelay: time.Hour, RetryFirst: time.Millisecond, RetryMax: time.Millisecond,
			QueueBytes: 16 << 20, Spool: SpoolSettings{Dir: dir, Bytes: 64 << 20, Always: always}}
		var mu sync.Mutex
		var tries [][]byte
		down := &fake{write: func(_ context.Context, b *event.Block) (int, error) {
			mu.Lock()
			defer mu.Unlock()
			tries = append(tries, bytes.Clone(b.Bytes()))
			return 0, fmt.Errorf("down")
		}}
		r := testRunner(t, down, set, true, nil)
		r.Start(context.Background())
		in := r.Intake()
		for i := range 20_000 {
			in.Offer(testEvent(uint16(i)))
		}
		in.Flush()
		waitUntil(t, func() bool { mu.Lock(); defer mu.Unlock(); return len(tries) > 2 })
		r.Stop(shortGrace())
		var got []byte
		up := &fake{write: func(_ context.Context, b *event.Block) (int, error) {
			got = append(got, b.Bytes()...)
			return 0, nil
		}}
		second := testRunner(t, up, set, true, nil)
		second.Start(context.Background())
		second.Stop(context.Background())
		checkLedger(t, second, 0, "delivered 20000, recovered 20000, blocks 1")
		for _, try := range append(tries, got) {
			if !bytes.Equal(try, tries[0]) {
				t.Fatalf("always %v: the batch has changed on its way", always)
			}
		}
	}
}

// TestBatchWithinMemory: where a batch is set to be larger than memory lets it, one
// warning says so and what would mend it; not with the defaults.
func TestBatchWithinMemory(t *testing.T) {
	f := func(what string, change func(*Settings), live bool, bytes int64, warnings ...string) {
		t.Helper()
		var text strings.Builder
		set := Settings{Type: All, Workers: 1, BatchSize: 100_000, BatchBytes: NoByteLimit, BatchSizeOption: "fakebatchsize"}
		change(&set)
		r, err := NewRunner(&fake{}, set, live, event.NewIDs(), account.NewDeliveryCounters(), slog.New(slog.NewTextHandler(&text, nil)))
		if err != nil {
			t.Fatal(err)
		}
		defer r.Discard()
		if r.set.BatchBytes != bytes {
			t.Errorf("%s: batches of %d bytes, want %d", what, r.set.BatchBytes, bytes)
		}
		if strings.Count(text.String(), "level=WARN") != min(1, len(warnings)) {
			t.Errorf("%s: log %q", what, text.String())
		}
		for _, w := range warnings {
			if !strings.Contains(text.String(), w) {
				t.Errorf("%s: log %q, want %q", what, text.String(), w)
			}
		}
	}
	spool := SpoolSettings{Dir: t.TempDir(), Bytes: 1 << 30}
	f("interface", func(*Settings) {}, true, 32<<20)
	f("file", func(*Settings) {}, false, 32<<20)
	f("interface, spool", func(s *Settings) { s.Spool = spool }, true, 16<<20)
	f("file, spool", func(s *Settings) { s.Spool = spool }, false, 16<<20)
	f("small batches", func(s *Settings) { s.BatchBytes = 0 }, true, 256<<10)
	f("small batches, file", func(s *Settings) { s.BatchBytes = 0 }, false, 256<<10)
	f("by delay", func(s *Settings) { s.BatchSize = 0 }, true, 32<<20)
	f("a destination's bound", func(s *Settings) { s.BatchBytes = 1 << 20 }, true, 1<<20)
	f("many rows", func(s *Settings) { s.BatchSize = 1_000_000 }, true, 32<<20,
		"fakebatchsize=1000000 of output fake takes about 143.1 MiB, and has at most 32.0 MiB: set --queuemb=287, or smaller batches")
	f("little memory", func(s *Settings) { s.QueueBytes = 8 << 20 }, true, 4<<20, "has at most 4.0 MiB: set --queuemb=29")
	f("little memory, file", func(s *Settings) { s.QueueBytes = 8 << 20 }, false, 4<<20, "set --queuemb=29")
	f("little disk", func(s *Settings) { s.Spool = spool; s.Spool.Bytes = minSpool }, true, 1<<20, "has at most 1.0 MiB: set --spoolmb=115, or")
	f("little of both", func(s *Settings) { s.Spool, s.QueueBytes = spool, 8<<20; s.Spool.Bytes = minSpool }, true, 1<<20,
		"set --queuemb=58 and --spoolmb=115, or")
	f("few records", func(s *Settings) { s.QueueEvents = 1000 }, true, 32<<20,
		"fakebatchsize=100000 is more than the 500 records that --packetlimit=1000 leaves for a batch of output fake: set --packetlimit=199999, or")
	f("few records, no option", func(s *Settings) { s.QueueEvents, s.BatchSizeOption = 1000, "" }, true, 32<<20)
}

// TestJoinerEnds: whatever ends a run, no event that the joiner has in hand is left
// without an outcome.
func TestJoinerEnds(t *testing.T) {
	f := func(what string, end func(r *Runner, cancel func()), want string) {
		t.Helper()
		set := quick(1, 0)
		set.BatchDelay = time.Hour
		r := testRunner(t, &fake{}, set, true, nil)
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		r.Start(ctx)
		in := r.Intake()
		for i := range 10 {
			in.Offer(testEvent(uint16(i)))
		}
		in.Tick(time.Now().Add(2 * time.Hour))
		waitUntil(t, func() bool { // the joiner has it
			r.queue.mu.Lock()
			defer r.queue.mu.Unlock()
			return r.queue.unbatched.joinerEvents == 10
		})
		end(r, cancel)
		r.Stop(shortGrace())
		checkLedger(t, r, 10, want)
	}
	f("stop", func(*Runner, func()) {}, "delivered 10")
	f("give up", func(r *Runner, _ func()) {
		r.End(ErrEnded)
		waitUntil(t, func() bool { return r.counters.Sum(account.Abandoned) == 10 }) // and not only at the stop
	}, "abandoned 10")
	f("cancel", func(r *Runner, cancel func()) {
		cancel()
		<-r.ctx.Done() // it follows, and Stop would be in time to deliver
	}, "abandoned 10")
}

// TestOldest: the age counts from the receipt, wherever an event waits.
func TestOldest(t *testing.T) {
	for _, mode := range []string{"memory", "overflow", "always"} {
		set := spoolSettings(t.TempDir(), mode == "always")
		set.BatchSize = 2
		if mode == "memory" {
			set.Spool = SpoolSettings{}
		}
		s := newDestination(true)
		r := runnerFor(t, s, set, true, nil)
		if age := r.OldestAge(); age != 0 {
			t.Errorf("%s: %s, though nothing was received", mode, age)
		}
		r.queue.unbatched.base = time.Now().Add(-time.Hour) // as if the sensor had run for as long
		const before = 100 * time.Second
		in := r.Intake()
		in.Tick(time.Now().Add(-before))
		in.Offer(testEvent(0))
		want := func(where string) {
			t.Helper()
			age := r.OldestAge()
			for end := time.Now().Add(time.Second); age < before && time.Now().Before(end); age = r.OldestAge() { // it may be between two hands
			}
			if age < before || age > before+time.Minute {
				t.Errorf("%s: %s, want %s: %s", mode, age, before, where)
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
			want("behind the queue")
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

// TestOldestAfterRestart: what an earlier run has left is as old as its batch, also
// where that batch was tried and made anew meanwhile.
func TestOldestAfterRestart(t *testing.T) {
	set := spoolSettings(t.TempDir(), false)
	s := newDestination(true)
	r := runnerFor(t, s, set, true, nil)
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

// TestBatchRows: each batch that was acknowledged counts with its events.
func TestBatchRows(t *testing.T) {
	r := testRunner(t, &fake{}, quick(1, 100), false, nil)
	r.Start(context.Background())
	offer(r.Intake(), 201)
	r.Stop(context.Background())
	batches, rows, upTo := r.BatchRows()
	if batches != 3 || rows != 201 || upTo[1] != 1 || upTo[10] != 1 || upTo[100] != 3 || upTo[1e6] != 3 {
		t.Errorf("%d batches, %d events, %v", batches, rows, upTo)
	}
}

// BenchmarkFourLanes prints the batches of four lanes at 1,000 and at 100,000
// events a second. Run it once: -benchtime=1x.
func BenchmarkFourLanes(b *testing.B) {
	for _, limit := range []int{0, 100_000} {
		for _, rate := range []int{1000, 100_000} {
			b.Run(fmt.Sprintf("limit=%d/rate=%d", limit, rate), func(b *testing.B) {
				s := newBatchSizes()
				set := Settings{Type: All, Workers: 1, BatchSize: limit}
				if limit > 0 {
					set.BatchBytes = NoByteLimit
				}
				r := testRunner(b, &s.fake, set, true, nil)
				r.Start(context.Background())
				n := runLanes(r, rate, 5*time.Second)
				r.Stop(context.Background())
				got := s.got()
				slices.Sort(got)
				b.Logf("%d events: %.1f batches a second, of %d to %d events, median %d", n, float64(len(got))/5, got[0], got[len(got)-1], got[len(got)/2])
			})
		}
	}
}
