package outputs

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"dnsmonster-sensor/outputs/spool"
	"dnsmonster-sensor/userspace/account"
	"dnsmonster-sensor/userspace/event"
)

// putResult says what became of a block that was offered to a queue.
type putResult uint8

// Results of tryPut, offer and wait. The queue owns the block only after putQueued.
const (
	putQueued  putResult = iota
	putFull              // no room now
	putStopped           // the queue is closed, or the wait was cancelled
)

// item is a block on its way to a writer.
type item struct {
	block  *event.Block
	since  time.Time      // when the oldest of its events was received
	seg    *spool.Segment // where it is stored on disk too; nil: nowhere
	id     event.ID       // of the stored block: block may be what is left of it
	shared bool           // its memory belongs to others too: do not reuse it
	part   string         // of the destination, if only that may have it; see Postpone
}

// queue holds sealed blocks in memory, first in, first out, for any number of goroutines
// on both ends. It is bounded by the memory that the blocks occupy, not by their number.
// An empty queue accepts a block larger than the bound, so that nobody waits for ever.
// maxEvents, if not 0, is a second bound; set it before use.
//
// Blocks that are not in a batch yet wait here too, within the same bounds (unbatched.go).
type queue struct {
	maxEvents int

	chargePopped bool           // a large block that was popped still counts until release; set before use
	limit        int            // bytes
	shard        *account.Shard // guarded by mu

	mu        sync.Mutex
	ring      []item
	head      int
	count     int
	bytes     int
	events    uint64
	charged   int // bytes of popped blocks that still count
	unbatched unbatched
	closed    bool
	isEnded   bool        // ended is closed
	nonEmpty  atomic.Bool // count > 0, to ask without the lock

	// A token in more or room means: look again. A goroutine that takes one and leaves
	// something for others puts it back.
	more, room chan struct{}
	done       chan struct{} // closed by close
	ended      chan struct{} // closed when nothing more will be added to the ring
}

// newQueue makes a queue. It publishes its events as the level DeliveryHeld on shard,
// which the queue owns from now on.
func newQueue(limit int64, shard *account.Shard) *queue {
	return &queue{
		limit:     int(limit),
		shard:     shard,
		ring:      make([]item, 64),
		unbatched: newUnbatched(),
		more:      make(chan struct{}, 1),
		room:      make(chan struct{}, 1),
		done:      make(chan struct{}),
		ended:     make(chan struct{}),
	}
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// tryPut queues a block, or says at once why not.
func (q *queue) tryPut(it item) putResult {
	q.mu.Lock()
	defer q.mu.Unlock()
	switch {
	case q.closed:
		return putStopped
	case !q.fits(it.block):
		return putFull
	}
	q.push(it)
	signal(q.more)
	q.signalRoom()
	return putQueued
}

// fits reports whether there is room for b. Like all methods here that do not lock mu, it
// is called with mu held.
func (q *queue) fits(b *event.Block) bool {
	return q.count == 0 && len(q.unbatched.blocks) == 0 ||
		q.heldBytes()+b.Cap() <= q.limit && (q.maxEvents == 0 || q.heldEvents()+uint64(b.Len()) <= uint64(q.maxEvents))
}

// heldBytes is all memory that counts against the bound, heldEvents all events.
func (q *queue) heldBytes() int     { return q.bytes + q.charged + q.unbatched.bytes() }
func (q *queue) heldEvents() uint64 { return q.events + q.unbatched.events() }

func (q *queue) signalRoom() {
	if q.heldBytes() < q.limit {
		signal(q.room)
	}
}

// hasRoom reports whether tryPut would accept b.
func (q *queue) hasRoom(b *event.Block) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return !q.closed && q.fits(b)
}

// wait calls put until its result is not putFull.
func (q *queue) wait(ctx context.Context, put func() putResult) putResult {
	for {
		if r := put(); r != putFull {
			return r
		}
		select {
		case <-q.room:
		case <-q.done:
		case <-ctx.Done():
			return putStopped
		}
	}
}

// pop takes the oldest block, and waits for one. It returns false once the queue is
// closed and empty, or ctx has ended.
func (q *queue) pop(ctx context.Context) (item, bool) {
	for ctx.Err() == nil {
		it, over := q.tryPop()
		if it.block != nil || over {
			return it, it.block != nil
		}
		select {
		case <-q.more:
		case <-q.ended:
		case <-ctx.Done():
		}
	}
	if q.nonEmpty.Load() { // the token that was taken is for others
		signal(q.more)
	}
	return item{}, false
}

// tryPop takes the oldest block, if there is one. over: there is none, and there never
// will be.
func (q *queue) tryPop() (it item, over bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.count == 0 {
		return item{}, q.isEnded
	}
	it = q.pull()
	if q.chargePopped {
		q.charged += popCharge(it.block)
	}
	if q.count > 0 {
		signal(q.more)
	}
	signal(q.room)
	return it, false
}

// popAll takes all blocks, oldest first.
func (q *queue) popAll() (items []item) {
	for {
		it, _ := q.tryPop()
		if it.block == nil {
			return items
		}
		items = append(items, it)
	}
}

// popCharge is how many bytes of a popped block still count if chargePopped is set: those
// beyond the size of an ordinary block.
func popCharge(b *event.Block) int { return max(0, b.Cap()-2*blockTarget) }

// release ends the popCharge of a block that has been stored elsewhere.
func (q *queue) release(bytes int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.charged -= bytes
	q.signalRoom()
}

// close refuses new blocks. What is queued can still be popped, and what is not in a
// batch yet is still joined.
func (q *queue) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	if !q.closed {
		q.closed = true
		close(q.done)
		q.endIfEmpty()
	}
}

// endIfEmpty closes ended when the joiner can add no more.
func (q *queue) endIfEmpty() {
	if q.closed && !q.isEnded && q.unbatched.empty() {
		q.isEnded = true
		close(q.ended)
	}
}

// drain discards what is queued and what waits for the joiner, but not what the joiner
// holds. It returns how many events that was.
func (q *queue) drain() (events uint64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for q.count > 0 {
		events += uint64(q.pull().block.Len())
	}
	for _, p := range q.unbatched.take() {
		events += uint64(p.block.Len())
	}
	q.publish()
	q.endIfEmpty()
	return events
}

// oldest is when the oldest queued event was received.
func (q *queue) oldest() (t time.Time) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for i := range q.count {
		t = earlier(t, q.ring[(q.head+i)%len(q.ring)].since)
	}
	return earlier(t, q.unbatched.oldest())
}

// push adds a block to the ring, whatever the bounds.
func (q *queue) push(it item) {
	if q.count == len(q.ring) {
		q.grow()
	}
	q.ring[(q.head+q.count)%len(q.ring)] = it
	q.count++
	q.bytes += it.block.Cap()
	q.events += uint64(it.block.Len())
	q.publish()
}

// pull removes the oldest block from the ring. There must be one.
func (q *queue) pull() item {
	it := q.ring[q.head]
	q.ring[q.head] = item{}
	q.head = (q.head + 1) % len(q.ring)
	q.count--
	q.bytes -= it.block.Cap()
	q.events -= uint64(it.block.Len())
	q.publish()
	return it
}

func (q *queue) grow() {
	larger := make([]item, 2*len(q.ring))
	n := copy(larger, q.ring[q.head:])
	copy(larger[n:], q.ring[:q.head])
	q.ring, q.head = larger, 0
}

func (q *queue) publish() {
	q.nonEmpty.Store(q.count > 0)
	q.shard.Set(account.DeliveryHeld, q.events+q.unbatched.waitingEvents)
	q.shard.Publish()
}
