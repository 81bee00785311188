package outputs

import (
	"sync/atomic"
	"time"

	"dnsmonster-sensor/userspace/event"
)

// parcel is a block that a lane hands over.
type parcel struct {
	block *event.Block
	since time.Time // when its first event was received
	whole bool      // it is a batch as it is, and sealed
	last  bool      // its lane brings no more
}

// loose is what the joiner shall put together: blocks of lanes that are no batch
// yet, and what it has in hand. It is part of a queue and guarded by its mutex.
type loose struct {
	parcels, spare []parcel
	waits          int // bytes of parcels
	waitEvents     uint64
	hand           int // bytes of what the joiner has
	handEvents     uint64
	handSince      time.Time
	round          uint64 // how often all of it was passed on

	base  time.Time
	first atomic.Int64  // when the oldest of it was received, in nanoseconds since base; 0: there is none
	more  chan struct{} // a token: look at the parcels
}

func newLoose() loose { return loose{base: time.Now(), more: make(chan struct{}, 1)} }

func (l *loose) empty() bool     { return len(l.parcels) == 0 && l.handEvents == 0 }
func (l *loose) bytes() int      { return l.waits + l.hand }
func (l *loose) events() uint64  { return l.waitEvents + l.handEvents }
func (l *loose) waiting() uint64 { return l.waitEvents }

func (l *loose) oldest() time.Time {
	t := l.handSince
	for _, p := range l.parcels {
		t = earlier(t, p.since)
	}
	return t
}

func (l *loose) add(p parcel) {
	l.parcels = append(l.parcels, p)
	l.waits += p.block.Cap()
	l.waitEvents += uint64(p.block.Len())
	if first := l.stamp(p.since); l.first.Load() == 0 || first < l.first.Load() {
		l.first.Store(first)
	}
	signal(l.more)
}

// stamp is a time as in first.
func (l *loose) stamp(t time.Time) int64 { return max(1, int64(t.Sub(l.base))) }

// take gives the parcels away. They are valid until the next take.
func (l *loose) take() []parcel {
	taken := l.parcels
	l.parcels, l.spare = l.spare[:0], taken
	l.waits, l.waitEvents = 0, 0
	l.publish()
	return taken
}

func (l *loose) publish() {
	if t := l.oldest(); t.IsZero() {
		l.first.Store(0)
	} else {
		l.first.Store(l.stamp(t))
	}
}

// some tells, without the lock, whether there is anything.
func (l *loose) some() bool { return l.first.Load() != 0 }

// age is how long the oldest of it waits, without the lock; 0 where there is none.
func (l *loose) age(now time.Time) time.Duration {
	first := l.first.Load()
	if first == 0 {
		return 0
	}
	return now.Sub(l.base) - time.Duration(first)
}

// earlier is the earlier one of two times, of which zero is none.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// offer takes a lane's block, or says why not. A batch goes to the writers at once,
// unless that lane has handed over something before that is still loose, which
// round is the lane's memory for. beyond: also where there is no room.
func (q *Queue) offer(p parcel, round *uint64, beyond bool) PutResult {
	q.mu.Lock()
	defer q.mu.Unlock()
	switch {
	case q.closed:
		return Stopped
	case !beyond && !q.fits(p.block):
		return Full
	}
	if p.whole && (q.loose.empty() || *round != q.loose.round+1) {
		q.push(item{block: p.block, since: p.since})
		signal(q.more)
	} else {
		q.loose.add(p)
		*round = q.loose.round + 1
		q.publish()
	}
	q.passRoomOn()
	return Queued
}

// gather gives the joiner what has come. Without more nothing will come any more.
func (q *Queue) gather() (parcels []parcel, more bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	l := &q.loose
	l.hand += l.waits
	l.handEvents += l.waitEvents
	l.handSince = l.oldest()
	parcels = l.take()
	q.publish()
	return parcels, !q.closed
}

// passOn queues a batch that the joiner has sealed. There is room: it was counted
// before.
func (q *Queue) passOn(it item) {
	q.mu.Lock()
	defer q.mu.Unlock()
	l := &q.loose
	l.hand -= min(l.hand, it.block.Cap())
	l.handEvents -= min(l.handEvents, uint64(it.block.Len()))
	q.push(it)
	signal(q.more)
}

// settle says what the joiner has in hand now; nil: nothing.
func (q *Queue) settle(batch *event.Block, since time.Time) {
	q.mu.Lock()
	defer q.mu.Unlock()
	l := &q.loose
	l.hand, l.handEvents, l.handSince = 0, 0, time.Time{}
	if batch != nil {
		l.hand, l.handEvents, l.handSince = batch.Cap(), uint64(batch.Len()), since
	}
	if l.empty() {
		l.round++
	}
	l.publish()
	q.passRoomOn()
	q.end()
}
