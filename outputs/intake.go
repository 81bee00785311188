package outputs

import (
	"runtime"
	"sync/atomic"
	"time"

	"dnsmonster-sensor/userspace/account"
	"dnsmonster-sensor/userspace/event"
)

// Intake is one lane's way into a runner. It belongs to one goroutine; nothing
// in it is shared until a block is full.
type Intake struct {
	_           [64]byte // intakes of two lanes never share a cache line
	r           *Runner
	shard       *account.Shard
	open        *event.Block
	maxBytes    int          // bytes that an open block has at most, but for a single event
	flushing    bool         // Flush hands over
	fullIsBatch bool         // a block of that size is a batch, and not joined with others
	now         time.Time    // of the last Tick
	since       time.Time    // when the open block got its first event
	sinceStamp  atomic.Int64 // since, for others: as in loose, 0 where nothing is in hand
	generation  uint64       // Queue.offer's
	name        []byte       // memory for the filter
	selected    []byte       // likewise
	_           [64]byte
}

// Intake makes one more way in. Intakes may be made at any time before Stop.
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

// Offer copies e, if the filter takes it. Behind a live source it never waits;
// behind any other it waits while the queue is full.
func (in *Intake) Offer(e *event.Event) {
	if !in.accepts(e) {
		in.shard.Add(account.Skipped, 1)
		return
	}
	if in.open.Len() > 0 && in.open.Size()+e.StoredSize() > in.maxBytes {
		in.handOver(in.fullIsBatch, false)
	}
	if in.open.Len() == 0 {
		in.since = in.now
		in.sinceStamp.Store(in.r.queue.unbatched.stamp(in.now))
	}
	in.open.Append(e)
	e.Selected = nil // that was for this output alone
	if in.full() || in.open.Size() >= in.maxBytes {
		in.handOver(in.fullIsBatch, false)
	}
}

// full tells whether the open block has as many events as it shall have.
func (in *Intake) full() bool {
	set, n := &in.r.set, in.open.Len()
	if set.Grow && set.BatchSize > 0 {
		return n >= set.BatchSize && !in.r.busy() || n == set.maxBatchEvents()
	}
	return n == set.BatchSize
}

// Tick hands over an open block when it has waited for almost BatchDelay, when
// others have, so that all lanes' events go into one batch, and when it is full
// since nothing else waits any more; and it publishes the ledgers. A block that could
// be larger stays open where there is no room: all lanes come at once. Call it once
// per batch of packets, and while there are none.
func (in *Intake) Tick(now time.Time) {
	in.now = now
	if in.open.Len() > 0 && (max(now.Sub(in.since), in.r.queue.unbatched.age(now)) >= in.r.maxOpenTime || in.full()) {
		in.handOver(false, true)
		return
	}
	in.setHeld(in.open.Len())
}

// Flush hands over the open block, however small, to be sent soon. It is the
// lane's last call before Stop, which decides on what waits: behind a live source
// the block gets in where there is no room, too. Its memory is there already.
func (in *Intake) Flush() {
	if in.open.Len() > 0 {
		in.flushing = true
		in.handOver(false, false)
		return
	}
	in.setHeld(0) // what was skipped since the last Tick counts, too
}

// handOver queues the open block: sealed where it is a batch, else for the joiner.
// later: one that is no batch may stay open until there is room.
func (in *Intake) handOver(batch, later bool) {
	b := in.open
	n := b.Len()
	if size := in.r.set.BatchSize; size > 0 && n >= size {
		batch = true
	}
	if batch {
		b.Seal(in.r.ids.Next(), time.Now())
	}
	in.setHeld(n) // it may wait here for long
	switch in.r.put(laneBlock{b, in.since, batch, in.flushing}, &in.generation) {
	case putFull:
		if later && !batch {
			return
		}
		in.shard.Add(account.QueueFull, uint64(n))
		in.r.free.put(b) // the newest is what goes: what waits keeps its order
	case putStopped:
		in.shard.Add(account.Abandoned, uint64(n))
		in.r.free.put(b)
	}
	in.sinceStamp.Store(0)
	in.flushing = false
	in.open = in.r.free.get()
	in.setHeld(0)
	if !in.r.live {
		// A writer that waits takes the block from this processor's cache, and
		// gives it back to be filled again; lanes that run on until the queue is
		// full would leave both to main memory.
		runtime.Gosched()
	}
}

// hold publishes how many events this intake has in hand.
func (in *Intake) setHeld(events int) {
	in.shard.Set(account.DeliveryHeld, uint64(events))
	in.shard.Publish()
}
