package outputs

import (
	"context"
	"errors"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"dnsmonster-sensor/outputs/spool"
	"dnsmonster-sensor/userspace/account"
	"dnsmonster-sensor/userspace/event"
)

// spoolQueue carries the blocks of an output that has a spool. Lanes touch memory only: a
// goroutine of its own, move, carries blocks on, so that a disk that hangs fills the
// queue and delays nobody.
//
//	lane -> Runner.queue (newest) -> move -> front (oldest) -> worker
//	                                      -> spool          -> worker
//
// A block goes to the front only if it fits there and the spool holds nothing that memory
// does not. So everything in front is older than the spool's blocks, and workers take
// the front first.
type spoolQueue struct {
	r      *Runner
	spool  *spool.Spool
	always bool // every block is on disk, also those in front
	front  *queue

	more         chan struct{}                        // holds a token: the spool has something to read
	taken        chan struct{}                        // holds a token: workers have taken something
	ended        chan struct{}                        // closed when move has returned
	unplaced     item                                 // what move held when it ended
	closeTimeout time.Duration                        // spoolCloseTimeout, except in tests
	markDone     func(*spool.Segment, event.ID) error // spool.Done, except in tests

	mu           sync.Mutex
	shard        *account.Shard // counts what the spool holds and has lost
	movingShard  *account.Shard // counts what move holds
	movingSince  time.Time      // when that was received; zero: it holds nothing
	undelivered  []item         // what workers could not deliver
	writeFailing bool           // the last write failed
}

const (
	// syncInterval is how much of the latest data a loss of power can cost.
	syncInterval = time.Second
	// spoolRetry is the pause after a failed write.
	spoolRetry = time.Second
	// spoolCloseTimeout is how long the last writes of a stop may take.
	spoolCloseTimeout = 10 * time.Second
)

func openSpoolQueue(r *Runner) (*spoolQueue, error) {
	s := r.set.Spool
	sp, err := spool.Open(spool.Options{
		Dir: filepath.Join(s.Dir, r.out.Name()), Force: s.Force, Limit: s.Bytes, Free: s.Free, Wait: !r.live, Log: r.log,
	})
	if err != nil {
		return nil, err
	}
	q := &spoolQueue{
		r: r, spool: sp, always: s.Always,
		front: newQueue(r.set.spoolQueueBytes(), r.counters.Shard()),
		more:  make(chan struct{}, 1), taken: make(chan struct{}, 1), ended: make(chan struct{}),
		shard: r.counters.Shard(), movingShard: r.counters.Shard(), closeTimeout: spoolCloseTimeout, markDone: sp.Done,
	}
	q.front.maxEvents = r.set.spoolQueueEvents()
	if st := sp.Stats(); st.Pending > 0 {
		r.log.Info("the spool holds records of an earlier run, sending them first", "events", st.Pending, "spool", sp.Dir())
	}
	q.publish()
	return q, nil
}

// publish copies the spool's numbers to the counters.
func (q *spoolQueue) publish() {
	q.mu.Lock()
	defer q.mu.Unlock()
	st := q.spool.Stats()
	q.shard.Set(account.Recovered, st.Recovered)
	q.shard.Set(account.SpoolEvicted, st.Evicted)
	q.shard.Set(account.SpoolDamaged, st.Damaged)
	q.shard.Set(account.SpoolUnreadable, st.Unreadable)
	q.shard.Set(account.SetAside, st.SetAside)
	q.shard.Set(account.UnreadableBlocks, st.UnreadableBlocks)
	held := st.Pending
	for _, it := range q.undelivered {
		held += uint64(it.block.Len())
	}
	q.shard.Set(account.DeliveryHeld, held)
	q.shard.Publish()
	q.r.health.evicted(st.Evicted)
}

// move carries blocks from the lanes' queue to the front or to the spool, until the queue
// is closed and empty, or ctx ends.
func (q *spoolQueue) move(ctx context.Context) {
	defer close(q.ended)
	defer q.front.close()
	for {
		it, ok := q.r.queue.pop(ctx)
		if !ok {
			return
		}
		q.setMoving(it)
		charge := popCharge(it.block)
		if !q.enqueue(ctx, it) {
			q.unplaced = it
			return
		}
		q.setMoving(item{})
		q.r.queue.release(charge)
	}
}

// setMoving publishes what move holds.
func (q *spoolQueue) setMoving(it item) {
	q.mu.Lock()
	defer q.mu.Unlock()
	n := 0
	if it.block != nil {
		n = it.block.Len()
	}
	q.movingSince = it.since
	q.movingShard.Set(account.DeliveryHeld, uint64(n))
	q.movingShard.Publish()
}

// enqueue returns true when the block is in front or in the spool, false if ctx ended
// first.
func (q *spoolQueue) enqueue(ctx context.Context, it item) bool {
	b := it.block
	for {
		// direct stays true until the block is in: only this goroutine adds to the spool and
		// to the front.
		direct := !q.spool.HasPending() && q.front.hasRoom(b)
		var err error
		switch {
		case q.always:
			var seg *spool.Segment
			seg, err = q.write(it, direct)
			if direct && !errors.Is(err, spool.ErrFull) { // full: the workers will make room
				it.seg, it.id = seg, b.ID()
				q.front.tryPut(it)
				return true
			}
		case direct:
			q.front.tryPut(it)
			return true
		case q.r.live:
			_, err = q.write(it, false)
		default:
			err = spool.ErrFull // the lanes of a file wait for the workers
		}
		if err == nil {
			signal(q.more)
			q.r.free.put(b)
			return true
		}
		if !q.waitForRoom(ctx) {
			return false
		}
	}
}

// write appends a block to the spool. It logs when writing begins to fail, and when it
// works again.
func (q *spoolQueue) write(it item, kept bool) (*spool.Segment, error) {
	seg, err := q.spool.Append(it.block, kept, it.since)
	q.publish()
	if errors.Is(err, spool.ErrFull) {
		return nil, err
	}
	q.reportWrite(err)
	return seg, err
}

func (q *spoolQueue) reportWrite(err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	switch {
	case err != nil && !q.writeFailing && q.always:
		q.r.log.Error("the spool cannot be written: what is in memory now would not survive a crash", "error", err)
	case err != nil && !q.writeFailing:
		q.r.log.Error("the spool cannot be written: what memory cannot hold is lost", "error", err)
	case err == nil && q.writeFailing:
		q.r.log.Info("the spool can be written again")
	}
	q.writeFailing = err != nil
}

func (q *spoolQueue) waitForRoom(ctx context.Context) bool {
	t := time.NewTimer(spoolRetry)
	defer t.Stop()
	select {
	case <-q.taken:
	case <-q.spool.Freed():
	case <-t.C:
	case <-ctx.Done():
		return false
	}
	return true
}

// sync flushes the spool to the medium at each syncInterval, until ctx ends.
func (q *spoolQueue) sync(ctx context.Context) {
	tick := time.NewTicker(syncInterval)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			if err := q.spool.Sync(); err != nil {
				q.reportWrite(err)
			}
			q.publish() // Sync may have found that files are missing
		case <-q.ended:
			return // finish syncs the rest
		case <-ctx.Done():
			return
		}
	}
}

// next returns the oldest block, from the front or from the spool. It returns false when
// ctx has ended, and when there is none and none will follow.
func (q *spoolQueue) next(ctx context.Context) (item, bool) {
	for ctx.Err() == nil {
		pending := q.spool.HasPending() // asked first: while it is true, nothing gets in front
		it, closed := q.front.tryPop()
		switch {
		case it.block != nil:
			signal(q.taken)
			return it, true
		case closed && !pending:
			if q.spool.HasPending() { // the last block went there after the first question
				continue
			}
			return item{}, false
		case pending:
			if it, ok := q.readSpool(); ok {
				return it, true
			}
			continue
		}
		select {
		case <-q.front.more:
		case <-q.more:
		case <-q.front.ended:
		case <-ctx.Done():
		}
	}
	signal(q.more) // tokens that were taken are for others
	return item{}, false
}

func (q *spoolQueue) readSpool() (item, bool) {
	b, seg, since := q.spool.Next()
	q.publish()
	signal(q.taken)
	if b == nil {
		return item{}, false
	}
	if q.spool.HasPending() {
		signal(q.more)
	}
	return item{block: b, since: since, seg: seg, id: b.ID(), shared: true}, true
}

// oldest is when the oldest event beyond the lanes' queue was received.
func (q *spoolQueue) oldest() time.Time {
	q.mu.Lock()
	t := q.movingSince
	for _, it := range q.undelivered {
		t = earlier(t, it.since)
	}
	q.mu.Unlock()
	return earlier(earlier(t, q.front.oldest()), q.spool.Oldest())
}

// done notes that every event of a block is delivered or refused.
func (q *spoolQueue) done(it item) {
	if it.seg == nil {
		return
	}
	if err := q.markDone(it.seg, it.id); err != nil {
		q.reportWrite(err)
	}
}

// note keeps on disk which part of the destination may have a block, for a later run.
func (q *spoolQueue) note(it item) {
	if it.seg == nil || it.part == "" || it.id != it.block.ID() {
		return
	}
	if err := q.spool.Note(it.seg, it.id, it.part); err != nil {
		q.reportWrite(err)
	}
}

// takeBack keeps what a worker could not deliver, for finish.
func (q *spoolQueue) takeBack(it item) {
	q.mu.Lock()
	q.undelivered = append(q.undelivered, it)
	q.mu.Unlock()
	q.publish()
}

// finish stores what is left, oldest first, and closes the spool. It returns how many
// events could not be stored. move has ended by then.
func (q *spoolQueue) finish(rest []item) (abandoned uint64) {
	q.spool.ReleaseReserve()
	q.publish()
	q.mu.Lock()
	first := q.undelivered
	q.mu.Unlock()
	slices.SortStableFunc(first, func(a, b item) int { return a.since.Compare(b.since) })
	abandoned = q.putBack(append(first, q.front.popAll()...))
	if q.unplaced.block != nil {
		rest = append([]item{q.unplaced}, rest...)
	}
	for _, it := range rest {
		if _, err := q.write(it, false); err != nil {
			abandoned += uint64(it.block.Len())
		}
	}
	q.mu.Lock()
	q.undelivered = nil
	q.mu.Unlock()
	q.setMoving(item{})
	q.publish()
	if n := q.spool.Stats().Pending; n > 0 {
		q.r.log.Info("records wait in the spool for the next start", "events", n, "spool", q.spool.Dir())
	}
	if err := q.spool.Close(); err != nil {
		q.r.log.Error("the spool cannot be closed", "error", err)
	}
	return abandoned
}

// putBack stores what was next to be sent, in front of everything in the spool.
func (q *spoolQueue) putBack(items []item) (abandoned uint64) {
	var blocks []*event.Block
	var put []item
	notes := make(map[event.ID]string)
	for _, it := range items {
		if it.seg != nil && it.id == it.block.ID() && q.spool.Requeue(it.seg, it.block.Len()) {
			continue // it is on disk already, with its note
		}
		notes[it.block.ID()] = it.part
		blocks, put = append(blocks, it.block), append(put, it)
	}
	safe, err := q.spool.PutBack(blocks, notes)
	if err != nil {
		q.reportWrite(err)
	}
	lost := len(blocks) - safe
	for i, it := range put {
		if i < lost {
			abandoned += uint64(it.block.Len())
		} else if it.seg != nil {
			q.done(it) // the copy stored now replaces it
		}
	}
	return abandoned
}

// abandon closes the spool without storing anything.
func (q *spoolQueue) abandon() (events uint64) {
	events = q.drain()
	if err := q.spool.Close(); err != nil {
		q.r.log.Error("the spool cannot be closed", "error", err)
	}
	return events
}

// discard returns the spool to the state in which it was found, for a start that fails.
func (q *spoolQueue) discard() {
	q.drain()
	if err := q.spool.Discard(); err != nil {
		q.r.log.Error("the spool cannot be closed", "error", err)
	}
}

// drain discards what memory holds.
func (q *spoolQueue) drain() (events uint64) {
	q.mu.Lock()
	for _, it := range q.undelivered {
		events += uint64(it.block.Len())
	}
	q.undelivered = nil
	q.mu.Unlock()
	events += q.front.drain()
	if q.unplaced.block != nil {
		events += uint64(q.unplaced.block.Len())
		q.unplaced = item{}
	}
	q.setMoving(item{})
	q.publish()
	return events
}
