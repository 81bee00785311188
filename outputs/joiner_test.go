package outputs

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"dnsmonster-sensor/userspace/account"
	"dnsmonster-sensor/userspace/event"
)

// batchSizes is a destination that remembers how many events each batch had.
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

// runLanes offers rate events a second from four lanes for a time, in steps of the 10 ms in
// which lanes check their blocks. It returns how many events that were.
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

// TestOneBatchPerDelay: below the size limit all lanes together make one batch per batch
// delay, however many lanes there are.
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
		// a lane that is scheduled too late makes one more
		if got := s.got(); len(got) > 2*int(took/delay)+3 || len(got) < 3 {
			t.Errorf("live %v: batches of %v events from four lanes in %s, want one in %s", live, got, took, delay)
		}
	}
}

// TestLargeBatch: a batch of many lane blocks has exactly as many events as it may have.
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

// TestFullBlocksAreNotCopied: a batch consists of the lanes' own blocks. Events of blocks
// that would waste memory are copied, into memory that is not copied again.
func TestFullBlocksAreNotCopied(t *testing.T) {
	set := Settings{Type: All, Workers: 1, BatchBytes: NoByteLimit, BatchDelay: time.Hour, QueueBytes: 64 << 20}
	r := testRunner(t, &fake{}, set, true, nil)
	filled := func(n, room int) *event.Block {
		b := event.NewBlock(room)
		for i := range n {
			b.Append(testEvent(uint16(i)))
		}
		return b
	}
	give := func(b *event.Block) {
		r.join.add(laneBlock{block: b, since: time.Now()})
	}
	first, second, third := filled(2500, blockTarget), filled(2500, blockTarget), filled(2500, blockTarget)
	for _, b := range []*event.Block{first, second, filled(5, blockTarget), third, filled(500, blockTarget), filled(600, 64<<10)} {
		give(b)
	}
	small := r.join.batch.Last()
	for range 30 {
		give(filled(20, smallBlock))
	}
	batch := r.join.batch
	if batch != first || r.join.batch.Last() != small || small == third || small.Len() != 500+600+600 {
		t.Errorf("the last part has %d events", small.Len())
	}
	var parts []*event.Block
	n := batch.Len()
	batch.Disband(func(b *event.Block) { parts = append(parts, b) })
	if len(parts) != 4 || parts[0] != second || parts[1] != third || n != 3*2500+5+500+600+600 {
		t.Errorf("%d events in %d parts", n, len(parts))
	}
	r.join.batch = nil
	r.Stop(shortGrace())
}

// joined seals everything that the joiner holds and returns the batches.
func joined(r *Runner) []item {
	r.join.round(true)
	return r.queue.popAll()
}

// TestLanesFollow: when one lane hands over its block, the others do too, even if theirs is
// younger. The batch is as old as its oldest event.
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

// TestLaneKeepsItsOrder: a batch of a lane does not overtake blocks that the lane handed
// over before; a batch of another lane does.
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
		t.Error("a batch waits for the joiner, which holds nothing")
	}
	if want := "[[6 7 8] [1 2] [3 4 5]]"; fmt.Sprint(got) != want {
		t.Errorf("batches %v, want %s", got, want)
	}
	r.Stop(shortGrace())
}

// TestJoinerWithinTheBound: what the joiner holds counts against the queue's bounds.
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
	r.join.round(false) // the joiner keeps it: the delay is not over
	if it, _ := r.queue.tryPop(); it.block != nil {
		t.Fatal("a batch was passed on before its time")
	}
	give(40)
	give(30) // together 110: these do not fit into a queue of 100
	if in.open.Len() != 30 || r.queue.heldEvents() != 80 {
		t.Errorf("%d events in the lane's open block and %d in the queue, want 30 and 80", in.open.Len(), r.queue.heldEvents())
	}
	r.join.round(false) // half of the bound is a full batch
	if it := r.queue.ring[r.queue.head]; r.queue.count != 1 || it.block.Len() != 50 {
		t.Errorf("%d batches, the first %+v, want one of 50 events", r.queue.count, it)
	}
	give(20) // now it is a batch, and must get in or be dropped
	r.Stop(shortGrace())
	checkLedger(t, r, 130, "queue_full 50, abandoned 80")
}

// TestSpoolBatchWithinTheBound: of two queues around a spool each has half of the bound, and
// a batch may take half of a queue.
func TestSpoolBatchWithinTheBound(t *testing.T) {
	set := spoolSettings(t.TempDir(), false)
	set.BatchSize, set.QueueEvents = 0, 100
	r := testRunner(t, &fake{}, set, true, nil)
	defer r.Discard()
	if events, _ := r.join.batchLimits(); events != 25 {
		t.Errorf("batches of up to %d events, want 25", events)
	}
}

// TestLanesComeAtOnce: all lanes may hand over at the same moment, when one has waited long
// enough and at the end. That costs no event, even if they have more than memory is set to
// hold.
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
		const each = 1000 // about 90 KiB
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

// TestJoinedBatchStays: a joined batch passes both queues and the disk unchanged. It keeps
// its id over retries and after a restart.
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
				t.Fatalf("always %v: the batch was changed", always)
			}
		}
	}
}

// TestJoinerEnds: however a run ends, each event that the joiner holds gets an outcome.
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
		waitUntil(t, func() bool { return r.counters.Sum(account.Abandoned) == 10 }) // at once, not only at the stop
	}, "abandoned 10")
	f("cancel", func(r *Runner, cancel func()) {
		cancel()
		<-r.ctx.Done() // otherwise Stop would be in time to deliver
	}, "abandoned 10")
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
