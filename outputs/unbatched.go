package outputs

import (
	"sync/atomic"
	"time"

	"dnsmonster-sensor/userspace/event"
)

// laneBlock is a block that a lane hands over.
type laneBlock struct {
	block   *event.Block
	since   time.Time // when its first event was received
	isBatch bool      // it is a batch already, and sealed
	last    bool      // its lane will bring no more
}

// unbatched holds what the joiner has yet to enqueue: blocks of lanes that are no batches,
// and the batch that it is filling. It is part of a queue and guarded by the queue's mutex.
type unbatched struct {
	blocks, spare []laneBlock
	waitingBytes  int // in blocks
	waitingEvents uint64
	joinerBytes   int // what the joiner holds
	joinerEvents  uint64
	joinerSince   time.Time
	generation    uint64 // how often the joiner has enqueued everything

	base        time.Time
	oldestStamp atomic.Int64  // receipt of the oldest event, in nanoseconds since base; 0: there is none
	more        chan struct{} // a token: there are new blocks
}

func newUnbatched() unbatched { return unbatched{base: time.Now(), more: make(chan struct{}, 1)} }

func (u *unbatched) empty() bool    { return len(u.blocks) == 0 && u.joinerEvents == 0 }
func (u *unbatched) bytes() int     { return u.waitingBytes + u.joinerBytes }
func (u *unbatched) events() uint64 { return u.waitingEvents + u.joinerEvents }

func (u *unbatched) oldest() time.Time {
	t := u.joinerSince
	for _, b := range u.blocks {
		t = earlier(t, b.since)
	}
	return t
}

func (u *unbatched) add(b laneBlock) {
	u.blocks = append(u.blocks, b)
	u.waitingBytes += b.block.Cap()
	u.waitingEvents += uint64(b.block.Len())
	if first := u.stamp(b.since); u.oldestStamp.Load() == 0 || first < u.oldestStamp.Load() {
		u.oldestStamp.Store(first)
	}
	signal(u.more)
}

// stamp converts a time for oldestStamp.
func (u *unbatched) stamp(t time.Time) int64 { return max(1, int64(t.Sub(u.base))) }

// take returns the blocks. They are valid until the next take.
func (u *unbatched) take() []laneBlock {
	taken := u.blocks
	u.blocks, u.spare = u.spare[:0], taken
	u.waitingBytes, u.waitingEvents = 0, 0
	u.publish()
	return taken
}

func (u *unbatched) publish() {
	if t := u.oldest(); t.IsZero() {
		u.oldestStamp.Store(0)
	} else {
		u.oldestStamp.Store(u.stamp(t))
	}
}

// nonEmpty reports, without the lock, whether there is anything.
func (u *unbatched) nonEmpty() bool { return u.oldestStamp.Load() != 0 }

// age is how long the oldest event has waited, without the lock; 0 if there is none.
func (u *unbatched) age(now time.Time) time.Duration {
	first := u.oldestStamp.Load()
	if first == 0 {
		return 0
	}
	return now.Sub(u.base) - time.Duration(first)
}

// earlier returns the earlier of two times; a zero time does not count.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// offer queues a lane's block, or says why not. A batch goes straight to the writers,
// unless the joiner still holds older events of that lane: generation is where the lane
// remembers that. With force set, a full queue accepts the block too.
func (q *queue) offer(b laneBlock, generation *uint64, force bool) putResult {
	q.mu.Lock()
	defer q.mu.Unlock()
	switch {
	case q.closed:
		return putStopped
	case !force && !q.fits(b.block):
		return putFull
	}
	if b.isBatch && (q.unbatched.empty() || *generation != q.unbatched.generation+1) {
		q.push(item{block: b.block, since: b.since})
		signal(q.more)
	} else {
		q.unbatched.add(b)
		*generation = q.unbatched.generation + 1
		q.publish()
	}
	q.signalRoom()
	return putQueued
}

// takeUnbatched gives the joiner what has arrived. If more is false nothing will follow.
func (q *queue) takeUnbatched() (blocks []laneBlock, more bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	u := &q.unbatched
	u.joinerBytes += u.waitingBytes
	u.joinerEvents += u.waitingEvents
	u.joinerSince = u.oldest()
	blocks = u.take()
	q.publish()
	return blocks, !q.closed
}

// pushJoined queues a batch that the joiner has sealed. It fits: its events were counted
// against the bound before.
func (q *queue) pushJoined(it item) {
	q.mu.Lock()
	defer q.mu.Unlock()
	u := &q.unbatched
	u.joinerBytes -= min(u.joinerBytes, it.block.Cap())
	u.joinerEvents -= min(u.joinerEvents, uint64(it.block.Len()))
	q.push(it)
	signal(q.more)
}

// setJoinerHeld says what the joiner holds now; a nil batch: nothing.
func (q *queue) setJoinerHeld(batch *event.Block, since time.Time) {
	q.mu.Lock()
	defer q.mu.Unlock()
	u := &q.unbatched
	u.joinerBytes, u.joinerEvents, u.joinerSince = 0, 0, time.Time{}
	if batch != nil {
		u.joinerBytes, u.joinerEvents, u.joinerSince = batch.Cap(), uint64(batch.Len()), since
	}
	if u.empty() {
		u.generation++
	}
	u.publish()
	q.signalRoom()
	q.endIfEmpty()
}
