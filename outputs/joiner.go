package outputs

import (
	"cmp"
	"context"
	"math"
	"time"

	"dnsmonster-sensor/userspace/account"
	"dnsmonster-sensor/userspace/event"
)

// joiner makes one batch of everything that the lanes hand over within the batch delay, or
// of as much as a batch may hold. Each output has one, with a goroutine of its own; a lane only
// leaves its block in the queue. Blocks that are already batches bypass the joiner or
// pass through it unchanged.
type joiner struct {
	r     *Runner
	shard *account.Shard
	batch *event.Block // being filled; nil: none
	since time.Time    // when its oldest event was received
	due   time.Time    // when it is enqueued even if it is not full
	ended chan struct{}
}

func newJoiner(r *Runner) *joiner {
	return &joiner{r: r, shard: r.counters.Shard(), ended: make(chan struct{})}
}

// maxSlack is how much unused memory a batch may keep: lanes' blocks keep what they have
// grown to.
const maxSlack = 64 << 10

// joinMargin is how much earlier than the batch delay a lane hands over. The other
// lanes, which check every 10 ms, then have that time to add to the batch.
func joinMargin(delay time.Duration) time.Duration { return min(delay/4, 25*time.Millisecond) }

// run ends when the queue is closed or ctx ends. Then the joiner holds nothing.
func (j *joiner) run(ctx context.Context) {
	defer close(j.ended)
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for j.round(false) {
		if j.batch != nil {
			timer.Reset(time.Until(j.due))
		} else {
			timer.Reset(time.Hour) // a new block leaves a token in more
		}
		select {
		case <-j.r.queue.unbatched.more:
		case <-timer.C:
		case <-j.r.queue.done:
		case <-ctx.Done():
			j.round(true)
			return
		}
	}
}

// round joins what has arrived and enqueues what is full or due; in the last round it
// enqueues everything. It reports whether there may be another round.
func (j *joiner) round(last bool) (more bool) {
	blocks, more := j.r.queue.takeUnbatched()
	j.addAll(blocks)
	clear(blocks)
	if j.batch != nil && (last || !more || !time.Now().Before(j.due)) {
		j.flush()
	}
	j.setHeld(0)
	j.r.queue.setJoinerHeld(j.batch, j.since)
	return more
}

// setDue bounds how long the events of b wait in the batch. After the last block of a lane
// the batch waits joinMargin for the other lanes, which often end at the same time.
func (j *joiner) setDue(b laneBlock) {
	if j.batch == nil {
		return
	}
	delay := j.r.set.BatchDelay
	due := b.since.Add(delay)
	if soon := time.Now().Add(joinMargin(delay)); b.last && soon.Before(due) {
		due = soon
	}
	j.due = earlier(j.due, due)
}

// addAll puts the events of blocks into batches, and keeps the counters up to date.
func (j *joiner) addAll(blocks []laneBlock) {
	waiting := 0
	for _, b := range blocks {
		waiting += b.block.Len()
	}
	for _, b := range blocks {
		j.setHeld(waiting)
		waiting -= b.block.Len()
		j.add(b)
		j.setDue(b)
	}
}

// add puts a block's events into batches.
func (j *joiner) add(b laneBlock) {
	if b.isBatch { // the batch in hand is older
		j.flush()
		j.enqueue(b.block, b.since)
		return
	}
	events, size := j.batchLimits()
	if j.adopts(b.block, events, size) {
		if j.since = earlier(j.since, b.since); j.batch == nil {
			j.batch = b.block
		} else {
			j.batch.Adopt(b.block)
		}
		j.flushIfFull(events)
		return
	}
	for part := b.block.Part(); part.Len() > 0; {
		if j.batch == nil {
			j.batch = j.r.free.get()
		} else if last := j.batch.Last(); last.Cap() >= blockTarget && last.Cap()-last.Size() < b.block.Size() {
			j.batch.Adopt(j.r.free.get())
		}
		j.since = earlier(j.since, b.since)
		j.batch.Join(&part, events, size)
		if part.Len() > 0 {
			j.flush()
		}
		j.flushIfFull(events)
	}
	j.r.free.put(b.block)
}

// adopts reports whether a block becomes part of the batch as it is. A block that is small, or
// that does not use most of its memory, is copied.
func (j *joiner) adopts(b *event.Block, events, size int) bool {
	if j.batch == nil {
		return b.Len() <= events && b.Size() <= size
	}
	return b.Size() >= adoptFrom && b.Size() >= b.Cap()/2 && j.batch.Len()+b.Len() <= events && j.batch.Size()+b.Size() <= size
}

// adoptFrom is the bytes of the smallest block that is not copied.
const adoptFrom = blockTarget / 4

// flushIfFull enqueues the batch in hand if it is full, or if it takes so much of the
// queue's bound that there is no room for what the lanes bring next.
func (j *joiner) flushIfFull(events int) {
	if j.batch != nil && (j.batch.Len() >= events || j.batch.Cap() > j.r.queue.limit/2) {
		j.flush()
	}
}

// batchLimits are the most events and bytes of a batch.
func (j *joiner) batchLimits() (events, size int) {
	events = cmp.Or(j.r.set.BatchSize, math.MaxInt)
	if most := j.r.set.maxJoinedEvents(); most > 0 {
		events = min(events, most)
	}
	return events, int(min(j.r.set.BatchBytes, event.MaxBlock))
}

// flush seals and enqueues the batch in hand, if there is one.
func (j *joiner) flush() {
	if j.batch == nil {
		return
	}
	b, since := j.batch, j.since
	j.batch, j.since, j.due = nil, time.Time{}, time.Time{}
	j.r.free.noteBatch(b)
	b.Compact(maxSlack)
	b.Seal(j.r.ids.Next(), time.Now())
	j.enqueue(b, since)
}

// enqueue queues a batch, or abandons it if the output has ended: nobody would take it.
func (j *joiner) enqueue(b *event.Block, since time.Time) {
	if j.r.spool == nil && j.r.Err() != nil {
		j.shard.Add(account.Abandoned, uint64(b.Len()))
		return
	}
	j.r.queue.pushJoined(item{block: b, since: since})
}

// setHeld publishes how many events the joiner holds: in the batch, and in blocks.
func (j *joiner) setHeld(blocks int) {
	n := blocks
	if j.batch != nil {
		n += j.batch.Len()
	}
	j.shard.Set(account.DeliveryHeld, uint64(n))
	j.shard.Publish()
}
