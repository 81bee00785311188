package outputs

import (
	"context"
	"sync"

	"dnsmonster-sensor/userspace/account"
	"dnsmonster-sensor/userspace/event"
)

// PutResult is what became of a block that was offered to a queue.
type PutResult uint8

// Results of TryPut and Put. Only after Queued is the block the queue's.
const (
	Queued  PutResult = iota
	Full              // no room now
	Stopped           // the queue takes nothing any more, or the wait was ended
)

// Queue holds sealed blocks in memory, first in, first out, for any number of
// goroutines on both ends. Its bound is on the memory that the blocks hold on
// to, not on their number; a block larger than the bound gets in when it is
// alone, so that nobody waits for ever.
type Queue struct {
	limit int
	page  *account.Page // guarded by mu

	mu     sync.Mutex
	ring   []*event.Block
	head   int
	count  int
	bytes  int
	events uint64
	closed bool

	// A token in more or room says: look again. Whoever takes one and leaves
	// something for others passes it on.
	more, room chan struct{}
	done       chan struct{} // closed by Close
}

// NewQueue makes a queue. The events in it are the level DeliveryHeld on page,
// which is the queue's from now on.
func NewQueue(limit int64, page *account.Page) *Queue {
	return &Queue{
		limit: int(limit),
		page:  page,
		ring:  make([]*event.Block, 64),
		more:  make(chan struct{}, 1),
		room:  make(chan struct{}, 1),
		done:  make(chan struct{}),
	}
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// TryPut queues b, or says at once why not.
func (q *Queue) TryPut(b *event.Block) PutResult {
	q.mu.Lock()
	defer q.mu.Unlock()
	switch {
	case q.closed:
		return Stopped
	case q.count > 0 && q.bytes+b.Cap() > q.limit:
		return Full
	}
	q.push(b)
	signal(q.more)
	if q.bytes < q.limit {
		signal(q.room)
	}
	return Queued
}

// Put queues b and waits for room where there is none: until Close, or the end
// of ctx.
func (q *Queue) Put(ctx context.Context, b *event.Block) PutResult {
	for {
		if r := q.TryPut(b); r != Full {
			return r
		}
		select {
		case <-q.room:
		case <-q.done:
		case <-ctx.Done():
			return Stopped
		}
	}
}

// Pop takes the oldest block and waits where there is none. It returns false
// once the queue is closed and empty, or ctx has ended.
func (q *Queue) Pop(ctx context.Context) (*event.Block, bool) {
	for ctx.Err() == nil {
		b, closed := q.tryPop()
		if b != nil || closed {
			return b, b != nil
		}
		select {
		case <-q.more:
		case <-q.done:
		case <-ctx.Done():
		}
	}
	return nil, false
}

func (q *Queue) tryPop() (b *event.Block, closed bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.count == 0 {
		return nil, q.closed
	}
	b = q.pull()
	if q.count > 0 {
		signal(q.more)
	}
	signal(q.room)
	return b, q.closed
}

// Close lets nothing more in. What is queued can still be popped.
func (q *Queue) Close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	if !q.closed {
		q.closed = true
		close(q.done)
	}
}

// Drain throws away what is queued and returns how many events that was.
func (q *Queue) Drain() (events uint64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for q.count > 0 {
		events += uint64(q.pull().Len())
	}
	return events
}

func (q *Queue) push(b *event.Block) {
	if q.count == len(q.ring) {
		q.grow()
	}
	q.ring[(q.head+q.count)%len(q.ring)] = b
	q.count++
	q.bytes += b.Cap()
	q.events += uint64(b.Len())
	q.publish()
}

func (q *Queue) pull() *event.Block {
	b := q.ring[q.head]
	q.ring[q.head] = nil
	q.head = (q.head + 1) % len(q.ring)
	q.count--
	q.bytes -= b.Cap()
	q.events -= uint64(b.Len())
	q.publish()
	return b
}

func (q *Queue) grow() {
	larger := make([]*event.Block, 2*len(q.ring))
	n := copy(larger, q.ring[q.head:])
	copy(larger[n:], q.ring[:q.head])
	q.ring, q.head = larger, 0
}

func (q *Queue) publish() {
	q.page.Set(account.DeliveryHeld, q.events)
	q.page.Publish()
}
