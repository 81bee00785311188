package outputs

import (
	"context"
	"fmt"
	"testing"
	"time"

	"dnsmonster-sensor/userspace/account"
	"dnsmonster-sensor/userspace/event"
)

// handedOver returns what lanes have handed over and the joiner has not seen: batches first.
func handedOver(q *queue) (blocks []*event.Block) {
	for q.count > 0 {
		blocks = append(blocks, q.pull().block)
	}
	for _, p := range q.unbatched.take() {
		blocks = append(blocks, p.block)
	}
	return blocks
}

// A lane hands over its block at the batch size, at the byte limit, shortly before the
// delay, and at Flush.
func TestBatches(t *testing.T) {
	now := time.Now()
	f := func(batch int, fill func(in *Intake), want ...int) {
		t.Helper()
		r := testRunner(t, &fake{}, quick(1, batch), true, nil)
		in := r.Intake()
		in.Tick(now)
		fill(in)
		var got []int
		for _, b := range handedOver(r.queue) {
			got = append(got, b.Len())
			if b.Size() > blockTarget && b.Len() > 1 {
				t.Errorf("a block of %d events has %d bytes, the bound is %d", b.Len(), b.Size(), blockTarget)
			}
		}
		if len(got) != len(want) {
			t.Fatalf("blocks of %v events, want %v", got, want)
		}
		for i := range got {
			if got[i] != want[i] {
				t.Errorf("blocks of %v events, want %v", got, want)
			}
		}
	}
	f(3, func(in *Intake) { offer(in, 7) }, 3, 3, 1)
	f(3, func(in *Intake) { in.Flush() })
	f(3, func(in *Intake) {
		in.Offer(testEvent(1))
		in.Tick(now.Add(975*time.Millisecond - 1)) // the default delay is 1 s, of which the joiner gets 25 ms
		in.Offer(testEvent(2))
		in.Tick(now.Add(975 * time.Millisecond))
		in.r.queue.unbatched.take() // while other lanes' blocks wait for the joiner, a lane hands over what it has
		in.Offer(testEvent(3))
		in.Tick(now.Add(1950*time.Millisecond - 1))
		in.Tick(now.Add(1950 * time.Millisecond))
		in.Tick(now.Add(9 * time.Second))
	}, 1)
	large := testEvent(1)
	large.Message = make([]byte, 65535)
	f(0, func(in *Intake) {
		for range 5 {
			in.Offer(large)
		}
		in.Flush()
	}, 3, 2)
	huge := testEvent(1)
	huge.Message = make([]byte, blockTarget)
	f(0, func(in *Intake) {
		in.Offer(testEvent(1))
		in.Offer(huge)
		in.Offer(testEvent(2))
		in.Flush()
	}, 1, 1, 1)
	f(0, func(in *Intake) { offer(in, 2522) }, 2520, 2) // (256 KiB - 48) / (92 + 12), rounded down
}

// With Grow, what arrives while other batches wait is sent together, in order; with nothing
// waiting each batch is sent at once.
func TestBlocksGrow(t *testing.T) {
	turn := make(chan struct{})
	var sizes []int
	var ids []byte
	f := &fake{write: func(_ context.Context, b *event.Block) (int, error) {
		sizes = append(sizes, b.Len())
		var e event.Event
		for r := b.Reader(); r.Next(&e); {
			ids = append(ids, e.Message[1])
		}
		<-turn
		return 0, nil
	}}
	set := quick(1, 2)
	set.Grow, set.BatchDelay = true, time.Hour
	r := testRunner(t, f, set, true, nil)
	r.Start(context.Background())
	in := r.Intake()
	next := 0
	give := func(n int) {
		for range n {
			in.Offer(testEvent(uint16(next)))
			next++
		}
	}
	idle := func() { waitUntil(t, func() bool { return !r.busy() }) }
	give(2) // the writer has these
	idle()
	give(2) // waits
	if !r.busy() {
		t.Error("nothing waits")
	}
	give(50) // these are in the open block
	in.Tick(time.Now())
	turn <- struct{}{}
	idle() // the writer has the second block
	in.Tick(time.Now())
	turn <- struct{}{}
	turn <- struct{}{}
	give(1)
	in.Tick(time.Now())
	in.Flush()
	turn <- struct{}{}
	r.Stop(context.Background())
	if got := fmt.Sprint(sizes); got != "[2 2 50 1]" {
		t.Errorf("blocks of %s events, want [2 2 50 1]", got)
	}
	for i, id := range ids {
		if int(id) != i {
			t.Fatalf("event %d is at position %d", id, i)
		}
	}
}

// In steady state, with a queue that is drained and blocks that are reused, taking events
// allocates nothing.
func TestOfferAllocatesNothing(t *testing.T) {
	r := testRunner(t, &fake{}, quick(1, 100), true, nil)
	in, e, now := r.Intake(), testEvent(1), time.Now()
	round := func() {
		for range 100 {
			in.Offer(e)
		}
		now = now.Add(time.Second)
		in.Tick(now)
		in.Offer(e)
		now = now.Add(time.Second)
		in.Tick(now)
		r.join.round(true)
		for range 2 {
			b, ok := popBlock(r.queue)
			if !ok {
				t.Fatal("no block")
			}
			r.free.put(b)
		}
	}
	round()
	if n := testing.AllocsPerRun(200, round); n != 0 {
		t.Errorf("101 offers and two ticks allocate %v times, want 0", n)
	}
}

// Dropping events at a full queue allocates nothing either.
func TestDropAllocatesNothing(t *testing.T) {
	set := quick(1, 100)
	set.QueueBytes = 1
	r := testRunner(t, &fake{}, set, true, nil)
	in, e := r.Intake(), testEvent(1)
	round := func() {
		for range 100 {
			in.Offer(e)
		}
	}
	round() // fills the queue
	round()
	if n := testing.AllocsPerRun(200, round); n != 0 {
		t.Errorf("dropping 100 events allocates %v times, want 0", n)
	}
}

func BenchmarkOffer(b *testing.B) {
	r, err := NewRunner(&fake{}, quick(1, 0), false, event.NewIDs(), account.NewDeliveryCounters(), nil)
	if err != nil {
		b.Fatal(err)
	}
	r.Start(context.Background())
	in, e := r.Intake(), testEvent(1)
	e.Message = make([]byte, 80)
	b.ReportAllocs()
	for b.Loop() {
		in.Offer(e)
	}
	in.Flush()
	r.Stop(context.Background())
}
