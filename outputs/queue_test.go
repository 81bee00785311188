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

// sealed is a block of n events.
func sealedBlock(n int) *event.Block {
	b := event.NewBlock(smallBlock)
	for range n {
		b.Append(testEvent(1))
	}
	b.Seal(event.NewIDs().Next(), time.Now())
	return b
}

func TestQueueBound(t *testing.T) {
	one := sealedBlock(1)
	q, counters := testQueue(int64(3*one.Cap() - 1))
	put := func(b *event.Block, want putResult) {
		t.Helper()
		if got := q.TryPut(b); got != want {
			t.Errorf("TryPut = %d, want %d", got, want)
		}
	}
	put(one, putQueued)
	put(sealedBlock(2), putQueued)
	put(sealedBlock(1), putFull)
	if held := counters.Sum(account.DeliveryHeld); held != 3 {
		t.Errorf("%d events held, want 3", held)
	}
	if b, ok := q.Pop(context.Background()); !ok || b != one {
		t.Error("Pop does not give the oldest block")
	}
	put(sealedBlock(1), putQueued)
	q.Close()
	put(sealedBlock(1), putStopped)
	if n := q.Drain(); n != 3 {
		t.Errorf("Drain = %d events, want 3", n)
	}
	if b, ok := q.Pop(context.Background()); ok {
		t.Errorf("Pop = %v from a closed and empty queue", b)
	}
	if held := counters.Sum(account.DeliveryHeld); held != 0 {
		t.Errorf("%d events held, want 0", held)
	}
}

// A block larger than the bound gets in alone.
func TestQueueLargeBlock(t *testing.T) {
	q, _ := testQueue(1)
	if q.TryPut(sealedBlock(1)) != putQueued || q.TryPut(sealedBlock(1)) != putFull {
		t.Error("want one block in, and only one")
	}
}

// Put waits until there is room, the queue closes, or its context ends.
func TestQueuePutWaits(t *testing.T) {
	f := func(end func(q *queue, cancel func()), want putResult) {
		t.Helper()
		q, _ := testQueue(1)
		q.TryPut(sealedBlock(1))
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		done := make(chan putResult)
		go func() { done <- q.Put(ctx, sealedBlock(1)) }()
		select {
		case r := <-done:
			t.Fatalf("Put = %d without room", r)
		case <-time.After(20 * time.Millisecond):
		}
		end(q, cancel)
		if got := <-done; got != want {
			t.Errorf("Put = %d, want %d", got, want)
		}
	}
	f(func(q *queue, _ func()) { q.Pop(context.Background()) }, putQueued)
	f(func(q *queue, _ func()) { q.Close() }, putStopped)
	f(func(_ *queue, cancel func()) { cancel() }, putStopped)
}

// Many goroutines on both ends: every block goes through once, in spite of a
// queue that holds two.
func TestQueueConcurrent(t *testing.T) {
	const producers, consumers, each = 4, 4, 2000
	size := sealedBlock(1).Cap()
	q, counters := testQueue(int64(2 * size))
	var in, out sync.WaitGroup
	for range producers {
		in.Go(func() {
			for range each {
				q.Put(context.Background(), sealedBlock(1))
			}
		})
	}
	var mu sync.Mutex
	seen := make(map[*event.Block]bool)
	for range consumers {
		out.Go(func() {
			for {
				b, ok := q.Pop(context.Background())
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
	q.Close()
	out.Wait()
	if len(seen) != producers*each {
		t.Errorf("%d blocks came out, %d went in", len(seen), producers*each)
	}
	if held := counters.Sum(account.DeliveryHeld); held != 0 {
		t.Errorf("%d events held at the end", held)
	}
}

// The ring grows around its end without losing the order.
func TestQueueOrder(t *testing.T) {
	q, _ := testQueue(1 << 30)
	var want []*event.Block
	next := func() {
		t.Helper()
		if b, _ := q.Pop(context.Background()); b != want[0] {
			t.Fatal("Pop does not give the oldest block")
		}
		want = want[1:]
	}
	for i := range 300 {
		b := sealedBlock(1)
		want = append(want, b)
		q.TryPut(b)
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
		q.TryPut(block)
		q.tryPop()
	}
}
