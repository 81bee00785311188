package outputs

import (
	"runtime"
	"sync/atomic"
	"time"

	"dnsmonster-sensor/userspace/account"
	"dnsmonster-sensor/userspace/event"
)

// Intake is where one lane hands its events to a runner. It belongs to one goroutine;
// nothing in it is shared until a block is full.
type Intake struct {
	_           [64]byte // intakes of two lanes never share a cache line
	r           *Runner
	shard       *account.Shard
	open        *event.Block
	maxBytes    int          // of an open block; a single event may be larger
	last        bool         // the open block is the lane's last one
	fullIsBatch bool         // a block of maxBytes is a batch, and not joined with others
	now         time.Time    // of the last Tick
	since       time.Time    // when the open block got its first event
	sinceStamp  atomic.Int64 // since, for other goroutines: as unbatched.oldestStamp, 0 while the block is empty
	generation  uint64       // see queue.offer
	name        []byte       // buffer of the filter
	selected    []byte       // likewise
	accepted    bool         // what Decide has said
	partly      []byte       // Event.Selected, as Decide has set it
	_           [64]byte
}

// Intake adds an intake. It may be called at any time before Stop.
func (r *Runner) Intake() *Intake {
	in := &Intake{r: r, shard: r.counters.Shard(), open: r.free.get(), now: time.Now(), maxBytes: blockTarget}
	if r.set.BatchBytes <= blockTarget {
		in.maxBytes, in.fullIsBatch = int(r.set.BatchBytes), true
	}
	r.lanesMu.Lock()
	defer r.lanesMu.Unlock()
	r.intakes = append(r.intakes, in)
	return in
}

// Offer copies e if the filter accepts it. With a live source it never waits; with any
// other it waits while the queue is full.
func (in *Intake) Offer(e *event.Event) {
	if !in.accepts(e) {
		in.shard.Add(account.Skipped, 1)
		return
	}
	in.take(e)
}

// Decide reports whether the filter accepts e, which it does not copy yet. OfferDecided
// must follow for the same event, unless the caller counts the event itself.
func (in *Intake) Decide(e *event.Event) (accepted bool) {
	in.accepted = in.accepts(e)
	in.partly, e.Selected = e.Selected, nil // which other intakes set, too
	return in.accepted
}

// OfferDecided is Offer with the answer of Decide, whatever has become of the filter since.
func (in *Intake) OfferDecided(e *event.Event) {
	if !in.accepted {
		in.shard.Add(account.Skipped, 1)
		return
	}
	e.Selected = in.partly
	in.take(e)
}

// take copies e.
func (in *Intake) take(e *event.Event) {
	if in.open.Len() > 0 && in.open.Size()+e.StoredSize() > in.maxBytes {
		in.handOver(in.fullIsBatch, false)
	}
	if in.open.Len() == 0 {
		in.since = in.now
		in.sinceStamp.Store(in.r.queue.unbatched.stamp(in.now))
	}
	in.open.Append(e)
	e.Selected = nil // it was set for this output only
	if in.full() || in.open.Size() >= in.maxBytes {
		in.handOver(in.fullIsBatch, false)
	}
}

// full reports whether the open block has as many events as it may have.
func (in *Intake) full() bool {
	set, n := &in.r.set, in.open.Len()
	if set.Grow && set.BatchSize > 0 {
		return n >= set.BatchSize && !in.r.busy() || n == set.maxBatchEvents()
	}
	return n == set.BatchSize
}

// Tick hands over the open block when it, or a block of another lane, has waited for almost
// BatchDelay: so the events of all lanes go into one batch. It also does so when the block
// is full and nothing else waits any more. If the queue is full, a block that can still grow
// stays open, since all lanes hand over at once. Tick also publishes the counters. Call it
// once per batch of packets, and regularly while there are none.
func (in *Intake) Tick(now time.Time) {
	in.now = now
	if in.open.Len() > 0 && (max(now.Sub(in.since), in.r.queue.unbatched.age(now)) >= in.r.maxOpenTime || in.full()) {
		in.handOver(false, true)
		return
	}
	in.setHeld(in.open.Len())
}

// Flush hands over the open block, however small, to be sent soon. It is the lane's
// last call before Stop, which decides what happens to everything that waits. With a live
// source a full queue accepts the block too: its memory is already in use.
func (in *Intake) Flush() {
	if in.open.Len() > 0 {
		in.last = true
		in.handOver(false, false)
		return
	}
	in.setHeld(0) // count what was skipped since the last Tick
}

// handOver queues the open block: sealed if it is a batch, else for the joiner. If the
// queue is full, the block is dropped; with mayStay set it stays open, unless it is a batch.
func (in *Intake) handOver(batch, mayStay bool) {
	b := in.open
	n := b.Len()
	if size := in.r.set.BatchSize; size > 0 && n >= size {
		batch = true
	}
	if batch {
		b.Seal(in.r.ids.Next(), time.Now())
	}
	in.setHeld(n) // put may wait for long
	switch in.r.put(laneBlock{b, in.since, batch, in.last}, &in.generation) {
	case putFull:
		if mayStay && !batch {
			return
		}
		in.shard.Add(account.QueueFull, uint64(n))
		in.r.free.put(b) // drop the newest: what waits keeps its order
	case putStopped:
		in.shard.Add(account.Abandoned, uint64(n))
		in.r.free.put(b)
	}
	in.sinceStamp.Store(0)
	in.last = false
	in.open = in.r.free.get()
	in.setHeld(0)
	if !in.r.live {
		// A writer that waits takes the block from this CPU's cache and returns it to
		// be filled again. Lanes that ran on until the queue is full would push both
		// out to main memory.
		runtime.Gosched()
	}
}

// setHeld publishes how many events this intake holds.
func (in *Intake) setHeld(events int) {
	in.shard.Set(account.DeliveryHeld, uint64(events))
	in.shard.Publish()
}
