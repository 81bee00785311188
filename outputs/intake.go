package outputs

import (
	"runtime"
	"time"

	"dnsmonster-sensor/userspace/account"
	"dnsmonster-sensor/userspace/event"
)

// Intake is one lane's way into a runner. It belongs to one goroutine; nothing
// in it is shared until a block is full.
type Intake struct {
	_     [64]byte // intakes of two lanes never share a cache line
	r     *Runner
	page  *account.Page
	open  *event.Block
	now   time.Time // of the last Tick
	since time.Time // when the open block got its first event
	name  []byte    // memory for the filter
	taken []byte    // likewise
	_     [64]byte
}

// Intake makes one more way in. Intakes may be made at any time before Stop.
func (r *Runner) Intake() *Intake {
	return &Intake{r: r, page: r.book.Page(), open: r.free.get(), now: time.Now()}
}

// Offer copies e, if the filter takes it. Behind a live source it never waits;
// behind any other it waits while the queue is full.
func (in *Intake) Offer(e *event.Event) {
	if !in.takes(e) {
		in.page.Add(account.Skipped, 1)
		return
	}
	if in.open.Len() > 0 && in.open.Size()+e.StoredSize() > blockTarget {
		in.handOver()
	}
	if in.open.Len() == 0 {
		in.since = in.now
	}
	in.open.Append(e)
	e.Taken = nil // that was for this output alone
	if in.full() || in.open.Size() >= blockTarget {
		in.handOver()
	}
}

// full tells whether the open block has as many events as it shall have.
func (in *Intake) full() bool {
	set, n := &in.r.set, in.open.Len()
	if set.Grow && set.BatchSize > 0 {
		return n >= set.BatchSize && !in.r.busy() || n == set.largest()
	}
	return n == set.BatchSize
}

// Tick hands over an open block that has waited for BatchDelay, or is full since
// nothing else waits any more, and publishes the books. Call it once per batch of
// packets, and while there are none.
func (in *Intake) Tick(now time.Time) {
	in.now = now
	if in.open.Len() > 0 && (now.Sub(in.since) >= in.r.set.BatchDelay || in.full()) {
		in.handOver()
		return
	}
	in.hold(in.open.Len())
}

// Flush hands over the open block, however small. It is the lane's last call
// before Stop.
func (in *Intake) Flush() {
	if in.open.Len() > 0 {
		in.handOver()
		return
	}
	in.hold(0) // what was skipped since the last Tick counts, too
}

// handOver seals the open block and queues it.
func (in *Intake) handOver() {
	b := in.open
	n := b.Len()
	b.Seal(in.r.ids.Next(), time.Now())
	in.hold(n) // it may wait here for long
	switch in.r.put(b) {
	case Full:
		in.page.Add(account.QueueFull, uint64(n))
		in.r.free.put(b) // the newest is what goes: what waits keeps its order
	case Stopped:
		in.page.Add(account.Abandoned, uint64(n))
		in.r.free.put(b)
	}
	in.open = in.r.free.get()
	in.hold(0)
	if !in.r.live {
		// A writer that waits takes the block from this processor's cache, and
		// gives it back to be filled again; lanes that run on until the queue is
		// full would leave both to main memory.
		runtime.Gosched()
	}
}

// hold publishes how many events this intake has in hand.
func (in *Intake) hold(events int) {
	in.page.Set(account.DeliveryHeld, uint64(events))
	in.page.Publish()
}
