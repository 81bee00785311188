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

// PutResult is what became of a block that was offered to a queue.
type PutResult uint8

// Results of TryPut and Put. Only after Queued is the block the queue's.
const (
	Queued  PutResult = iota
	Full              // no room now
	Stopped           // the queue takes nothing any more, or the wait was ended
)

// item is a block on its way to a writer.
type item struct {
	block  *event.Block
	since  time.Time      // when the oldest of its events was received
	seg    *spool.Segment // where it is on disk too; nil: nowhere
	id     event.ID       // its name there: block may be the rest of what is on disk
	shared bool           // its memory is not its own: not to be filled again
}

// Queue holds sealed blocks in memory, first in, first out, for any number of
// goroutines on both ends. Its bound is on the memory that the blocks hold on
// to, not on their number; a block larger than the bound gets in when it is
// alone, so that nobody waits for ever. MaxEvents, where not 0, is one more
// bound; set it before use.
//
// What a joiner is to make larger blocks of waits in the queue as well, within
// the same bounds (loose.go).
type Queue struct {
	MaxEvents int

	lends bool // a large block that was popped counts until giveBack; set before use
	limit int
	shard *account.Shard // guarded by mu

	mu     sync.Mutex
	ring   []item
	head   int
	count  int
	bytes  int
	events uint64
	lent   int // bytes of what was popped and still counts
	loose  loose
	closed bool
	over   bool        // ended is closed
	some   atomic.Bool // count > 0, to ask without the lock

	// A token in more or room says: look again. Whoever takes one and leaves
	// something for others passes it on.
	more, room chan struct{}
	done       chan struct{} // closed by Close
	ended      chan struct{} // closed when nothing will come that is not in the ring
}

// NewQueue makes a queue. The events in it are the level DeliveryHeld on shard,
// which is the queue's from now on.
func NewQueue(limit int64, shard *account.Shard) *Queue {
	return &Queue{
		limit: int(limit),
		shard: shard,
		ring:  make([]item, 64),
		loose: newLoose(),
		more:  make(chan struct{}, 1),
		room:  make(chan struct{}, 1),
		done:  make(chan struct{}),
		ended: make(chan struct{}),
	}
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// TryPut queues b, or says at once why not.
func (q *Queue) TryPut(b *event.Block) PutResult { return q.tryPut(item{block: b}) }

func (q *Queue) tryPut(it item) PutResult {
	q.mu.Lock()
	defer q.mu.Unlock()
	switch {
	case q.closed:
		return Stopped
	case !q.fits(it.block):
		return Full
	}
	q.push(it)
	signal(q.more)
	q.passRoomOn()
	return Queued
}

// fits is called with mu held, as are all below that do not take it.
func (q *Queue) fits(b *event.Block) bool {
	return q.count == 0 && len(q.loose.parcels) == 0 ||
		q.taken()+b.Cap() <= q.limit && (q.MaxEvents == 0 || q.inside()+uint64(b.Len()) <= uint64(q.MaxEvents))
}

// taken is the memory of all that is within the bound, and inside its events.
func (q *Queue) taken() int     { return q.bytes + q.lent + q.loose.bytes() }
func (q *Queue) inside() uint64 { return q.events + q.loose.events() }

func (q *Queue) passRoomOn() {
	if q.taken() < q.limit {
		signal(q.room)
	}
}

// hasRoom tells whether tryPut would take b.
func (q *Queue) hasRoom(b *event.Block) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return !q.closed && q.fits(b)
}

// Put queues b and waits for room where there is none: until Close, or the end
// of ctx.
func (q *Queue) Put(ctx context.Context, b *event.Block) PutResult {
	return q.wait(ctx, func() PutResult { return q.TryPut(b) })
}

// wait calls put until it says something else than Full.
func (q *Queue) wait(ctx context.Context, put func() PutResult) PutResult {
	for {
		if r := put(); r != Full {
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
	it, ok := q.pop(ctx)
	return it.block, ok
}

func (q *Queue) pop(ctx context.Context) (item, bool) {
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
	return item{}, false
}

// tryPop takes the oldest block, if there is one. over: there is none, and will be
// none.
func (q *Queue) tryPop() (it item, over bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.count == 0 {
		return item{}, q.over
	}
	it = q.pull()
	if q.lends {
		q.lent += lentBytes(it.block)
	}
	if q.count > 0 {
		signal(q.more)
	}
	signal(q.room)
	return it, false
}

// lentBytes is what of a block in its taker's hand still counts where a queue
// lends: all but what any block may take.
func lentBytes(b *event.Block) int { return max(0, b.Cap()-2*blockTarget) }

// giveBack says that a block which was popped is placed elsewhere.
func (q *Queue) giveBack(bytes int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.lent -= bytes
	q.passRoomOn()
}

// Close lets nothing more in. What is queued can still be popped, and what is
// loose joined.
func (q *Queue) Close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	if !q.closed {
		q.closed = true
		close(q.done)
		q.end()
	}
}

// end closes ended when it is time.
func (q *Queue) end() {
	if q.closed && !q.over && q.loose.empty() {
		q.over = true
		close(q.ended)
	}
}

// Drain throws away what is queued, and what is loose and in no joiner's hand. It
// returns how many events that was.
func (q *Queue) Drain() (events uint64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for q.count > 0 {
		events += uint64(q.pull().block.Len())
	}
	for _, p := range q.loose.take() {
		events += uint64(p.block.Len())
	}
	q.publish()
	q.end()
	return events
}

// oldest is when the first event of all that is queued was received.
func (q *Queue) oldest() (t time.Time) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for i := range q.count {
		t = earlier(t, q.ring[(q.head+i)%len(q.ring)].since)
	}
	return earlier(t, q.loose.oldest())
}

func (q *Queue) push(it item) {
	if q.count == len(q.ring) {
		q.grow()
	}
	q.ring[(q.head+q.count)%len(q.ring)] = it
	q.count++
	q.bytes += it.block.Cap()
	q.events += uint64(it.block.Len())
	q.publish()
}

func (q *Queue) pull() item {
	it := q.ring[q.head]
	q.ring[q.head] = item{}
	q.head = (q.head + 1) % len(q.ring)
	q.count--
	q.bytes -= it.block.Cap()
	q.events -= uint64(it.block.Len())
	q.publish()
	return it
}

func (q *Queue) grow() {
	larger := make([]item, 2*len(q.ring))
	n := copy(larger, q.ring[q.head:])
	copy(larger[n:], q.ring[:q.head])
	q.ring, q.head = larger, 0
}

func (q *Queue) publish() {
	q.some.Store(q.count > 0)
	q.shard.Set(account.DeliveryHeld, q.events+q.loose.waiting())
	q.shard.Publish()
}
