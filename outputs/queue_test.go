package outputs

import (
	"context"
	"sync"
	"testing"
	"time"

	"dnsmonster-sensor/userspace/account"
	"dnsmonster-sensor/userspace/event"
)

func testQueue(limit int64) (*queue, *account.Counters) {
	counters := account.NewDeliveryCounters()
	return newQueue(limit, counters.Shard()), counters
}

// put queues b, and waits for room.
func put(ctx context.Context, q *queue, b *event.Block) putResult {
	return q.wait(ctx, func() putResult { return q.tryPut(item{block: b}) })
}

func popBlock(q *queue) (*event.Block, bool) {
	it, ok := q.pop(context.Background())
	return it.block, ok
}

func TestQueueBound(t *testing.T) {
	one := sealedBlock(1)
	q, counters := testQueue(int64(3*one.Cap() - 1))
	tryPut := func(b *event.Block, want putResult) {
		t.Helper()
		if got := q.tryPut(item{block: b}); got != want {
			t.Errorf("tryPut = %d, want %d", got, want)
		}
	}
	tryPut(one, putQueued)
	tryPut(sealedBlock(2), putQueued)
	tryPut(sealedBlock(1), putFull)
	if held := counters.Sum(account.DeliveryHeld); held != 3 {
		t.Errorf("%d events held, want 3", held)
	}
	if b, ok := popBlock(q); !ok || b != one {
		t.Error("pop does not give the oldest block")
	}
	tryPut(sealedBlock(1), putQueued)
	q.close()
	tryPut(sealedBlock(1), putStopped)
	if n := q.drain(); n != 3 {
		t.Errorf("drain = %d events, want 3", n)
	}
	if b, ok := popBlock(q); ok {
		t.Errorf("pop = %v from a closed and empty queue", b)
	}
	if held := counters.Sum(account.DeliveryHeld); held != 0 {
		t.Errorf("%d events held, want 0", held)
	}
}

// TestQueueChargesPoppedBlocks: where popped blocks are charged, most of a large one counts
// until it is released.
func TestQueueChargesPoppedBlocks(t *testing.T) {
	blockOf := func(capacity int) *event.Block {
		b := event.NewBlock(capacity)
		b.Append(testEvent(1))
		b.Seal(event.NewIDs().Next(), time.Now())
		return b
	}
	large, next := blockOf(8*blockTarget), blockOf(2*blockTarget)
	q, _ := testQueue(int64(large.Cap()))
	q.chargePopped = true
	q.tryPut(item{block: large})
	popBlock(q)
	q.tryPut(item{block: sealedBlock(1)}) // alone, it always fits
	if got := q.tryPut(item{block: next}); got != putFull {
		t.Errorf("tryPut = %d while a large block is charged, want %d", got, putFull)
	}
	q.release(popCharge(large))
	if got := q.tryPut(item{block: next}); got != putQueued {
		t.Errorf("tryPut = %d after the release, want %d", got, putQueued)
	}
}

// An empty queue accepts a block larger than the bound.
func TestQueueLargeBlock(t *testing.T) {
	q, _ := testQueue(1)
	if q.tryPut(item{block: sealedBlock(1)}) != putQueued || q.tryPut(item{block: sealedBlock(1)}) != putFull {
		t.Error("want one block in, and only one")
	}
}

// wait returns when there is room, the queue closes, or its context ends.
func TestQueuePutWaits(t *testing.T) {
	f := func(end func(q *queue, cancel func()), want putResult) {
		t.Helper()
		q, _ := testQueue(1)
		q.tryPut(item{block: sealedBlock(1)})
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		done := make(chan putResult)
		go func() { done <- put(ctx, q, sealedBlock(1)) }()
		select {
		case r := <-done:
			t.Fatalf("put = %d without room", r)
		case <-time.After(20 * time.Millisecond):
		}
		end(q, cancel)
		if got := <-done; got != want {
			t.Errorf("put = %d, want %d", got, want)
		}
	}
	f(func(q *queue, _ func()) { popBlock(q) }, putQueued)
	f(func(q *queue, _ func()) { q.close() }, putStopped)
	f(func(_ *queue, cancel func()) { cancel() }, putStopped)
}

// With many goroutines on both ends of a queue that holds two blocks, every block passes
// once.
func TestQueueConcurrent(t *testing.T) {
	const producers, consumers, each = 4, 4, 2000
	size := sealedBlock(1).Cap()
	q, counters := testQueue(int64(2 * size))
	var in, out sync.WaitGroup
	for range producers {
		in.Go(func() {
			for range each {
				put(context.Background(), q, sealedBlock(1))
			}
		})
	}
	var mu sync.Mutex
	seen := make(map[*event.Block]bool)
	for range consumers {
		out.Go(func() {
			for {
				b, ok := popBlock(q)
				if !ok {
					return
				}
				mu.Lock()
				if seen[b] {
					t.Error("a block was popped twice")
				}
				seen[b] = true
				mu.Unlock()
			}
		})
	}
	in.Wait()
	q.close()
	out.Wait()
	if len(seen) != producers*each {
		t.Errorf("%d blocks came out, %d went in", len(seen), producers*each)
	}
	if held := counters.Sum(account.DeliveryHeld); held != 0 {
		t.Errorf("%d events held at the end", held)
	}
}

// The ring grows without losing the order, also when it wraps around.
func TestQueueOrder(t *testing.T) {
	q, _ := testQueue(1 << 30)
	var want []*event.Block
	next := func() {
		t.Helper()
		if b, _ := popBlock(q); b != want[0] {
			t.Fatal("pop does not give the oldest block")
		}
		want = want[1:]
	}
	for i := range 300 {
		b := sealedBlock(1)
		want = append(want, b)
		q.tryPut(item{block: b})
		if i%3 == 0 {
			next()
		}
	}
	for len(want) > 0 {
		next()
	}
}

func BenchmarkQueue(b *testing.B) {
	q := newQueue(1<<20, account.NewDeliveryCounters().Shard())
	block := event.NewBlock(smallBlock)
	b.ReportAllocs()
	for b.Loop() {
		q.tryPut(item{block: block})
		q.tryPop()
	}
}
