package outputs

import (
	"context"
	"errors"
	"path/filepath"
	"sync"
	"time"

	"dnsmonster-sensor/outputs/spool"
	"dnsmonster-sensor/userspace/account"
	"dnsmonster-sensor/userspace/event"
)

// disk is the way of blocks where an output has a spool. Lanes only ever touch
// memory: one goroutine, move, brings blocks on, so that a disk that hangs fills
// the queue and stops nobody.
//
//	lane -> Runner.queue (newest) -> move -> front (oldest) -> worker
//	                                      -> disk           -> worker
//
// Blocks go to the front while it has room and the disk is empty of what it alone
// has, so all in front is older than that, and workers take the front first.
type spoolQueue struct {
	r      *Runner
	spool  *spool.Spool
	always bool // every block is on disk, those in front too
	front  *queue

	more         chan struct{}                        // a token: the disk has something to take
	taken        chan struct{}                        // a token: workers have taken something
	ended        chan struct{}                        // closed when move is done
	unplaced     item                                 // what move had in hand when it ended
	closeTimeout time.Duration                        // diskGrace, but for tests
	markDone     func(*spool.Segment, event.ID) error // sp.Done, but for tests

	mu           sync.Mutex
	shard        *account.Shard // the spool's numbers
	movingShard  *account.Shard // what move has in hand
	movingSince  time.Time      // of that; zero: it has nothing
	undelivered  []item         // what workers could not deliver
	writeFailing bool           // the last write failed
}

const (
	// syncEvery is how much time a loss of power can cost.
	syncInterval = time.Second
	// diskRetry is the pause after a write that failed.
	spoolRetry = time.Second
	// diskGrace is how long the last writes of a stop may take.
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
	d := &spoolQueue{
		r: r, spool: sp, always: s.Always,
		front: newQueue(r.set.spoolQueueBytes(), r.counters.Shard()),
		more:  make(chan struct{}, 1), taken: make(chan struct{}, 1), ended: make(chan struct{}),
		shard: r.counters.Shard(), movingShard: r.counters.Shard(), closeTimeout: spoolCloseTimeout, markDone: sp.Done,
	}
	d.front.maxEvents = (r.set.QueueEvents + 1) / 2
	if st := sp.Stats(); st.Pending > 0 {
		r.log.Info("the spool holds events of an earlier run, sending them first", "events", st.Pending, "spool", sp.Dir())
	}
	d.publish()
	return d, nil
}

// publish shows the spool's numbers in the ledgers.
func (d *spoolQueue) publish() {
	d.mu.Lock()
	defer d.mu.Unlock()
	st := d.spool.Stats()
	d.shard.Set(account.Recovered, st.Recovered)
	d.shard.Set(account.SpoolEvicted, st.Evicted)
	d.shard.Set(account.SpoolDamaged, st.Damaged)
	d.shard.Set(account.SpoolUnreadable, st.Unreadable)
	d.shard.Set(account.SetAside, st.SetAside)
	d.shard.Set(account.UnreadableBlocks, st.UnreadableBlocks)
	held := st.Pending
	for _, it := range d.undelivered {
		held += uint64(it.block.Len())
	}
	d.shard.Set(account.DeliveryHeld, held)
	d.shard.Publish()
	d.r.health.evicted(st.Evicted)
}

// move brings blocks from the lanes' queue to the front or to the disk, until
// the queue is closed and empty, or ctx ends.
func (d *spoolQueue) move(ctx context.Context) {
	defer close(d.ended)
	defer d.front.Close()
	for {
		it, ok := d.r.queue.pop(ctx)
		if !ok {
			return
		}
		d.setMoving(it)
		lent := popCharge(it.block)
		if !d.enqueue(ctx, it) {
			d.unplaced = it
			return
		}
		d.setMoving(item{})
		d.r.queue.release(lent)
	}
}

// holds shows what move has in hand.
func (d *spoolQueue) setMoving(it item) {
	d.mu.Lock()
	defer d.mu.Unlock()
	n := 0
	if it.block != nil {
		n = it.block.Len()
	}
	d.movingSince = it.since
	d.movingShard.Set(account.DeliveryHeld, uint64(n))
	d.movingShard.Publish()
}

// place returns when the block is in front or on disk, or false when ctx ended
// first.
func (d *spoolQueue) enqueue(ctx context.Context, it item) bool {
	b := it.block
	for {
		// Only this goroutine can undo what makes the front the right place.
		direct := !d.spool.HasPending() && d.front.hasRoom(b)
		var err error
		switch {
		case d.always:
			var seg *spool.Segment
			seg, err = d.write(it, direct)
			if direct && !errors.Is(err, spool.ErrFull) { // full: the workers will make room
				it.seg, it.id = seg, b.ID()
				d.front.tryPut(it)
				return true
			}
		case direct:
			d.front.tryPut(it)
			return true
		case d.r.live:
			_, err = d.write(it, false)
		default:
			err = spool.ErrFull // behind a file everybody waits for the workers
		}
		if err == nil {
			signal(d.more)
			d.r.free.put(b)
			return true
		}
		if !d.waitForRoom(ctx) {
			return false
		}
	}
}

// write appends a block to the spool. When that begins to fail, and when it is
// well again, it says so.
func (d *spoolQueue) write(it item, kept bool) (*spool.Segment, error) {
	seg, err := d.spool.Append(it.block, kept, it.since)
	d.publish()
	if errors.Is(err, spool.ErrFull) {
		return nil, err
	}
	d.reportWrite(err)
	return seg, err
}

func (d *spoolQueue) reportWrite(err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case err != nil && !d.writeFailing && d.always:
		d.r.log.Error("the spool cannot be written: what is in memory now would not survive a crash", "error", err)
	case err != nil && !d.writeFailing:
		d.r.log.Error("the spool cannot be written: what memory cannot hold is lost", "error", err)
	case err == nil && d.writeFailing:
		d.r.log.Info("the spool is written again")
	}
	d.writeFailing = err != nil
}

func (d *spoolQueue) waitForRoom(ctx context.Context) bool {
	t := time.NewTimer(spoolRetry)
	defer t.Stop()
	select {
	case <-d.taken:
	case <-d.spool.Freed():
	case <-t.C:
	case <-ctx.Done():
		return false
	}
	return true
}

// sync brings the disk up to date now and then, until ctx ends.
func (d *spoolQueue) sync(ctx context.Context) {
	tick := time.NewTicker(syncInterval)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			if err := d.spool.Sync(); err != nil {
				d.reportWrite(err)
			}
			d.publish() // it may have found that files are gone
		case <-d.ended:
			return // finish syncs the rest
		case <-ctx.Done():
			return
		}
	}
}

// next gives the oldest block, from the front or from the disk. It returns
// false when ctx has ended, and when there is none and none will come.
func (d *spoolQueue) next(ctx context.Context) (item, bool) {
	for ctx.Err() == nil {
		behind := d.spool.HasPending() // asked first: while it is so, nothing gets in front
		it, closed := d.front.tryPop()
		switch {
		case it.block != nil:
			signal(d.taken)
			return it, true
		case closed && !behind:
			if d.spool.HasPending() { // the last block went there between the two looks
				continue
			}
			return item{}, false
		case behind:
			if it, ok := d.readSpool(); ok {
				return it, true
			}
			continue
		}
		select {
		case <-d.front.more:
		case <-d.more:
		case <-d.front.ended:
		case <-ctx.Done():
		}
	}
	return item{}, false
}

func (d *spoolQueue) readSpool() (item, bool) {
	b, seg, since := d.spool.Next()
	d.publish()
	signal(d.taken)
	if b == nil {
		return item{}, false
	}
	if d.spool.HasPending() {
		signal(d.more)
	}
	return item{block: b, since: since, seg: seg, id: b.ID(), shared: true}, true
}

// oldest is when the first event of all that is behind the lanes' queue was
// received.
func (d *spoolQueue) oldest() time.Time {
	d.mu.Lock()
	t := d.movingSince
	for _, it := range d.undelivered {
		t = earlier(t, it.since)
	}
	d.mu.Unlock()
	return earlier(earlier(t, d.front.oldest()), d.spool.Oldest())
}

// done notes that all of a block is delivered or refused.
func (d *spoolQueue) done(it item) {
	if it.seg == nil {
		return
	}
	if err := d.markDone(it.seg, it.id); err != nil {
		d.reportWrite(err)
	}
}

// keep takes back what a worker could not deliver before the end.
func (d *spoolQueue) takeBack(it item) {
	d.mu.Lock()
	d.undelivered = append(d.undelivered, it)
	d.mu.Unlock()
	d.publish()
}

// finish stores what is left, the oldest first, and closes the spool. It
// returns the events that could not be stored. move has ended.
func (d *spoolQueue) finish(rest []item) (abandoned uint64) {
	d.spool.ReleaseReserve()
	d.publish()
	d.mu.Lock()
	first := d.undelivered
	d.mu.Unlock()
	for {
		it, _ := d.front.tryPop()
		if it.block == nil {
			break
		}
		first = append(first, it)
	}
	abandoned = d.putBack(first)
	if d.unplaced.block != nil {
		rest = append([]item{d.unplaced}, rest...)
	}
	for _, it := range rest {
		if _, err := d.write(it, false); err != nil {
			abandoned += uint64(it.block.Len())
		}
	}
	d.mu.Lock()
	d.undelivered = nil
	d.mu.Unlock()
	d.setMoving(item{})
	d.publish()
	if n := d.spool.Stats().Pending; n > 0 {
		d.r.log.Info("events wait in the spool for the next start", "events", n, "spool", d.spool.Dir())
	}
	if err := d.spool.Close(); err != nil {
		d.r.log.Error("close the spool", "error", err)
	}
	return abandoned
}

// putBack stores what was next to be sent before all else.
func (d *spoolQueue) putBack(items []item) (abandoned uint64) {
	var blocks []*event.Block
	var put []item
	for _, it := range items {
		if it.seg != nil && it.id == it.block.ID() && d.spool.Requeue(it.seg, it.block.Len()) {
			continue // is on disk
		}
		blocks, put = append(blocks, it.block), append(put, it)
	}
	safe, err := d.spool.PutBack(blocks)
	if err != nil {
		d.reportWrite(err)
	}
	lost := len(blocks) - safe
	for i, it := range put {
		if i < lost {
			abandoned += uint64(it.block.Len())
		} else if it.seg != nil {
			d.done(it) // what is stored now stands for it
		}
	}
	return abandoned
}

// abandon closes the spool without storing anything.
func (d *spoolQueue) abandon() (events uint64) {
	events = d.drain()
	if err := d.spool.Close(); err != nil {
		d.r.log.Error("close the spool", "error", err)
	}
	return events
}

// discard gives the spool back as it was found, before a start that fails.
func (d *spoolQueue) discard() {
	d.drain()
	if err := d.spool.Discard(); err != nil {
		d.r.log.Error("close the spool", "error", err)
	}
}

// drain gives up what memory holds.
func (d *spoolQueue) drain() (events uint64) {
	d.mu.Lock()
	for _, it := range d.undelivered {
		events += uint64(it.block.Len())
	}
	d.undelivered = nil
	d.mu.Unlock()
	events += d.front.Drain()
	if d.unplaced.block != nil {
		events += uint64(d.unplaced.block.Len())
		d.unplaced = item{}
	}
	d.setMoving(item{})
	d.publish()
	return events
}
