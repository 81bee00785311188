package outputs

import (
	"cmp"
	"context"
	"math"
	"time"

	"dnsmonster-sensor/userspace/account"
	"dnsmonster-sensor/userspace/event"
)

// joiner makes one batch of what all lanes hand over within the batch delay, or of
// as much of it as a batch may have. It is one goroutine for each output; a lane
// only ever leaves its block in the queue. A lane's block that is a batch already
// does not come here, or goes on as it is.
type joiner struct {
	r     *Runner
	shard *account.Shard
	batch *event.Block // being filled; nil: none
	since time.Time    // when its oldest event was received
	due   time.Time    // when it is passed on, full or not
	ended chan struct{}
}

func newJoiner(r *Runner) *joiner {
	return &joiner{r: r, shard: r.counters.Shard(), ended: make(chan struct{})}
}

// wasteful is how much memory a batch may take that it does not fill: lanes' blocks
// keep what they have grown to.
const maxSlack = 64 << 10

// early is how much less than the batch delay lanes wait before they hand over: the
// others, who look every 10 ms, have that time to add to the batch.
func joinMargin(delay time.Duration) time.Duration { return min(delay/4, 25*time.Millisecond) }

// run ends when the queue is closed, or ctx ends. It has nothing in hand then.
func (j *joiner) run(ctx context.Context) {
	defer close(j.ended)
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for j.round(false) {
		if j.batch != nil {
			timer.Reset(time.Until(j.due))
		} else {
			timer.Reset(time.Hour) // there is a token for what comes
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

// round joins what has come and passes on what is full or due; all of it where
// this is the last round. It returns whether there may be another one.
func (j *joiner) round(last bool) (more bool) {
	parcels, more := j.r.queue.takeUnbatched()
	j.addAll(parcels)
	clear(parcels)
	if j.batch != nil && (last || !more || !time.Now().Before(j.due)) {
		j.flush()
	}
	j.setHeld(0)
	j.r.queue.setJoinerHeld(j.batch, j.since)
	return more
}

// set sees to it that no event of a parcel waits for too long. When a lane ends,
// the others often do: they get a moment.
func (j *joiner) setDue(p laneBlock) {
	if j.batch == nil {
		return
	}
	delay := j.r.set.BatchDelay
	due := p.since.Add(delay)
	if moment := time.Now().Add(joinMargin(delay)); p.last && moment.Before(due) {
		due = moment
	}
	j.due = earlier(j.due, due)
}

// addAll puts the events of parcels into batches, and keeps the ledgers meanwhile.
func (j *joiner) addAll(parcels []laneBlock) {
	waiting := 0
	for _, p := range parcels {
		waiting += p.block.Len()
	}
	for _, p := range parcels {
		j.setHeld(waiting)
		waiting -= p.block.Len()
		j.add(p)
		j.setDue(p)
	}
}

// add puts a parcel's events into batches.
func (j *joiner) add(p laneBlock) {
	if p.isBatch { // what is in hand is older
		j.flush()
		j.enqueue(p.block, p.since)
		return
	}
	events, size := j.batchLimits()
	if j.batch == nil && p.block.Len() <= events && p.block.Size() <= size {
		j.batch, j.since = p.block, p.since
		j.flushIfFull(events)
		return
	}
	for part := p.block.Part(); part.Len() > 0; {
		if j.batch == nil {
			j.batch = j.r.free.get()
		}
		j.since = earlier(j.since, p.since)
		j.batch.Join(&part, events, size)
		if part.Len() > 0 {
			j.flush()
		}
		j.flushIfFull(events)
	}
	j.r.free.put(p.block)
}

// passFull passes on the batch in hand where it is full, or takes so much of the
// queue's bound that there is no room for what lanes bring next.
func (j *joiner) flushIfFull(events int) {
	if j.batch != nil && (j.batch.Len() >= events || j.batch.Cap() > j.r.queue.limit/2) {
		j.flush()
	}
}

// bounds are those of a batch.
func (j *joiner) batchLimits() (events, size int) {
	events = cmp.Or(j.r.set.BatchSize, math.MaxInt)
	if most := j.r.queue.maxEvents; most > 0 {
		events = min(events, (most+1)/2)
	}
	return events, int(j.r.set.BatchBytes)
}

// pass seals the batch in hand, if there is one, and passes it on.
func (j *joiner) flush() {
	if j.batch == nil {
		return
	}
	b, since := j.batch, j.since
	j.batch, j.since, j.due = nil, time.Time{}, time.Time{}
	b.Compact(maxSlack)
	b.Seal(j.r.ids.Next(), time.Now())
	j.enqueue(b, since)
}

// passOn queues a batch. Where the output has given up nobody would take it.
func (j *joiner) enqueue(b *event.Block, since time.Time) {
	if j.r.spool == nil && j.r.Err() != nil {
		j.shard.Add(account.Abandoned, uint64(b.Len()))
		return
	}
	j.r.queue.pushJoined(item{block: b, since: since})
}

// hold publishes how many events are in hand: in the batch, and in parcels.
func (j *joiner) setHeld(parcels int) {
	n := parcels
	if j.batch != nil {
		n += j.batch.Len()
	}
	j.shard.Set(account.DeliveryHeld, uint64(n))
	j.shard.Publish()
}
