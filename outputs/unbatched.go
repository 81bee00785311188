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

// unbatched is what the joiner has yet to enqueue: blocks of lanes that are no batches,
// and the batch it is filling. It is part of a queue and guarded by the queue's mutex.
type unbatched struct {
	blocks, spare []laneBlock
	waitingBytes  int // in blocks
	waitingEvents uint64
	joinerBytes   int // what the joiner holds
	joinerEvents  uint64
	joinerSince   time.Time
	generation    uint64 // how often all of it has been enqueued

	base        time.Time
	oldestStamp atomic.Int64  // receipt of the oldest event, in nanoseconds since base; 0: there is none
	more        chan struct{} // a token: there are new blocks
}

func newUnbatched() unbatched { return unbatched{base: time.Now(), more: make(chan struct{}, 1)} }

func (l *unbatched) empty() bool         { return len(l.blocks) == 0 && l.joinerEvents == 0 }
func (l *unbatched) bytes() int          { return l.waitingBytes + l.joinerBytes }
func (l *unbatched) events() uint64      { return l.waitingEvents + l.joinerEvents }
func (l *unbatched) notInJoiner() uint64 { return l.waitingEvents }

func (l *unbatched) oldest() time.Time {
	t := l.joinerSince
	for _, p := range l.blocks {
		t = earlier(t, p.since)
	}
	return t
}

func (l *unbatched) add(p laneBlock) {
	l.blocks = append(l.blocks, p)
	l.waitingBytes += p.block.Cap()
	l.waitingEvents += uint64(p.block.Len())
	if first := l.stamp(p.since); l.oldestStamp.Load() == 0 || first < l.oldestStamp.Load() {
		l.oldestStamp.Store(first)
	}
	signal(l.more)
}

// stamp converts a time for oldestStamp.
func (l *unbatched) stamp(t time.Time) int64 { return max(1, int64(t.Sub(l.base))) }

// take returns the blocks. They are valid until the next take.
func (l *unbatched) take() []laneBlock {
	taken := l.blocks
	l.blocks, l.spare = l.spare[:0], taken
	l.waitingBytes, l.waitingEvents = 0, 0
	l.publish()
	return taken
}

func (l *unbatched) publish() {
	if t := l.oldest(); t.IsZero() {
		l.oldestStamp.Store(0)
	} else {
		l.oldestStamp.Store(l.stamp(t))
	}
}

// nonEmpty reports, without the lock, whether there is anything.
func (l *unbatched) nonEmpty() bool { return l.oldestStamp.Load() != 0 }

// age is how long the oldest event has waited, without the lock; 0 if there is none.
func (l *unbatched) age(now time.Time) time.Duration {
	first := l.oldestStamp.Load()
	if first == 0 {
		return 0
	}
	return now.Sub(l.base) - time.Duration(first)
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
// remembers that. With force, a full queue accepts the block too.
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
	l := &q.unbatched
	l.joinerBytes += l.waitingBytes
	l.joinerEvents += l.waitingEvents
	l.joinerSince = l.oldest()
	blocks = l.take()
	q.publish()
	return blocks, !q.closed
}

// pushJoined queues a batch that the joiner has sealed. It fits: its events were counted
// against the bound before.
func (q *queue) pushJoined(it item) {
	q.mu.Lock()
	defer q.mu.Unlock()
	l := &q.unbatched
	l.joinerBytes -= min(l.joinerBytes, it.block.Cap())
	l.joinerEvents -= min(l.joinerEvents, uint64(it.block.Len()))
	q.push(it)
	signal(q.more)
}

// setJoinerHeld says what the joiner holds now; a nil batch: nothing.
func (q *queue) setJoinerHeld(batch *event.Block, since time.Time) {
	q.mu.Lock()
	defer q.mu.Unlock()
	l := &q.unbatched
	l.joinerBytes, l.joinerEvents, l.joinerSince = 0, 0, time.Time{}
	if batch != nil {
		l.joinerBytes, l.joinerEvents, l.joinerSince = batch.Cap(), uint64(batch.Len()), since
	}
	if l.empty() {
		l.generation++
	}
	l.publish()
	q.signalRoom()
	q.end()
}
