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
type disk struct {
	r      *Runner
	sp     *spool.Spool
	always bool // every block is on disk, those in front too
	front  *Queue

	more  chan struct{}                        // a token: the disk has something to take
	moved chan struct{}                        // a token: workers have taken something
	ended chan struct{}                        // closed when move is done
	hand  item                                 // what move had in hand when it ended
	grace time.Duration                        // diskGrace, but for tests
	note  func(*spool.Segment, event.ID) error // sp.Done, but for tests

	mu     sync.Mutex
	shard  *account.Shard // the spool's numbers
	moving *account.Shard // what move has in hand
	since  time.Time      // of that; zero: it has nothing
	kept   []item         // what workers could not deliver
	broken bool           // the last write failed
}

const (
	// syncEvery is how much time a loss of power can cost.
	syncEvery = time.Second
	// diskRetry is the pause after a write that failed.
	diskRetry = time.Second
	// diskGrace is how long the last writes of a stop may take.
	diskGrace = 10 * time.Second
)

func openDisk(r *Runner) (*disk, error) {
	s := r.set.Spool
	sp, err := spool.Open(spool.Options{
		Dir: filepath.Join(s.Dir, r.out.Name()), Force: s.Force, Limit: s.Bytes, Free: s.Free, Wait: !r.live, Log: r.log,
	})
	if err != nil {
		return nil, err
	}
	d := &disk{
		r: r, sp: sp, always: s.Always,
		front: NewQueue(r.set.half(), r.counters.Shard()),
		more:  make(chan struct{}, 1), moved: make(chan struct{}, 1), ended: make(chan struct{}),
		shard: r.counters.Shard(), moving: r.counters.Shard(), grace: diskGrace, note: sp.Done,
	}
	d.front.MaxEvents = (r.set.QueueEvents + 1) / 2
	if st := sp.Stats(); st.Pending > 0 {
		r.log.Info("the spool holds events of an earlier run, sending them first", "events", st.Pending, "spool", sp.Dir())
	}
	d.publish()
	return d, nil
}

// publish shows the spool's numbers in the ledgers.
func (d *disk) publish() {
	d.mu.Lock()
	defer d.mu.Unlock()
	st := d.sp.Stats()
	d.shard.Set(account.Recovered, st.Recovered)
	d.shard.Set(account.SpoolEvicted, st.Evicted)
	d.shard.Set(account.SpoolDamaged, st.Damaged)
	d.shard.Set(account.SpoolUnreadable, st.Unreadable)
	d.shard.Set(account.SetAside, st.SetAside)
	d.shard.Set(account.UnreadableBlocks, st.UnreadableBlocks)
	held := st.Pending
	for _, it := range d.kept {
		held += uint64(it.block.Len())
	}
	d.shard.Set(account.DeliveryHeld, held)
	d.shard.Publish()
	d.r.health.evicted(st.Evicted)
}

// move brings blocks from the lanes' queue to the front or to the disk, until
// the queue is closed and empty, or ctx ends.
func (d *disk) move(ctx context.Context) {
	defer close(d.ended)
	defer d.front.Close()
	for {
		it, ok := d.r.queue.pop(ctx)
		if !ok {
			return
		}
		d.holds(it)
		lent := lentBytes(it.block)
		if !d.place(ctx, it) {
			d.hand = it
			return
		}
		d.holds(item{})
		d.r.queue.giveBack(lent)
	}
}

// holds shows what move has in hand.
func (d *disk) holds(it item) {
	d.mu.Lock()
	defer d.mu.Unlock()
	n := 0
	if it.block != nil {
		n = it.block.Len()
	}
	d.since = it.since
	d.moving.Set(account.DeliveryHeld, uint64(n))
	d.moving.Publish()
}

// place returns when the block is in front or on disk, or false when ctx ended
// first.
func (d *disk) place(ctx context.Context, it item) bool {
	b := it.block
	for {
		// Only this goroutine can undo what makes the front the right place.
		direct := !d.sp.Behind() && d.front.hasRoom(b)
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
		if !d.wait(ctx) {
			return false
		}
	}
}

// write appends a block to the spool. When that begins to fail, and when it is
// well again, it says so.
func (d *disk) write(it item, kept bool) (*spool.Segment, error) {
	seg, err := d.sp.Append(it.block, kept, it.since)
	d.publish()
	if errors.Is(err, spool.ErrFull) {
		return nil, err
	}
	d.wrote(err)
	return seg, err
}

func (d *disk) wrote(err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case err != nil && !d.broken && d.always:
		d.r.log.Error("the spool cannot be written: what is in memory now would not survive a crash", "error", err)
	case err != nil && !d.broken:
		d.r.log.Error("the spool cannot be written: what memory cannot hold is lost", "error", err)
	case err == nil && d.broken:
		d.r.log.Info("the spool is written again")
	}
	d.broken = err != nil
}

func (d *disk) wait(ctx context.Context) bool {
	t := time.NewTimer(diskRetry)
	defer t.Stop()
	select {
	case <-d.moved:
	case <-d.sp.Freed():
	case <-t.C:
	case <-ctx.Done():
		return false
	}
	return true
}

// sync brings the disk up to date now and then, until ctx ends.
func (d *disk) sync(ctx context.Context) {
	tick := time.NewTicker(syncEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			if err := d.sp.Sync(); err != nil {
				d.wrote(err)
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
func (d *disk) next(ctx context.Context) (item, bool) {
	for ctx.Err() == nil {
		behind := d.sp.Behind() // asked first: while it is so, nothing gets in front
		it, closed := d.front.tryPop()
		switch {
		case it.block != nil:
			signal(d.moved)
			return it, true
		case closed && !behind:
			if d.sp.Behind() { // the last block went there between the two looks
				continue
			}
			return item{}, false
		case behind:
			if it, ok := d.read(); ok {
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

func (d *disk) read() (item, bool) {
	b, seg, since := d.sp.Next()
	d.publish()
	signal(d.moved)
	if b == nil {
		return item{}, false
	}
	if d.sp.Behind() {
		signal(d.more)
	}
	return item{block: b, since: since, seg: seg, id: b.ID(), shared: true}, true
}

// oldest is when the first event of all that is behind the lanes' queue was
// received.
func (d *disk) oldest() time.Time {
	d.mu.Lock()
	t := d.since
	for _, it := range d.kept {
		t = earlier(t, it.since)
	}
	d.mu.Unlock()
	return earlier(earlier(t, d.front.oldest()), d.sp.Oldest())
}

// done notes that all of a block is delivered or refused.
func (d *disk) done(it item) {
	if it.seg == nil {
		return
	}
	if err := d.note(it.seg, it.id); err != nil {
		d.wrote(err)
	}
}

// keep takes back what a worker could not deliver before the end.
func (d *disk) keep(it item) {
	d.mu.Lock()
	d.kept = append(d.kept, it)
	d.mu.Unlock()
	d.publish()
}

// finish stores what is left, the oldest first, and closes the spool. It
// returns the events that could not be stored. move has ended.
func (d *disk) finish(rest []item) (abandoned uint64) {
	d.sp.Last()
	d.publish()
	d.mu.Lock()
	first := d.kept
	d.mu.Unlock()
	for {
		it, _ := d.front.tryPop()
		if it.block == nil {
			break
		}
		first = append(first, it)
	}
	abandoned = d.putBack(first)
	if d.hand.block != nil {
		rest = append([]item{d.hand}, rest...)
	}
	for _, it := range rest {
		if _, err := d.write(it, false); err != nil {
			abandoned += uint64(it.block.Len())
		}
	}
	d.mu.Lock()
	d.kept = nil
	d.mu.Unlock()
	d.holds(item{})
	d.publish()
	if n := d.sp.Stats().Pending; n > 0 {
		d.r.log.Info("events wait in the spool for the next start", "events", n, "spool", d.sp.Dir())
	}
	if err := d.sp.Close(); err != nil {
		d.r.log.Error("close the spool", "error", err)
	}
	return abandoned
}

// putBack stores what was next to be sent before all else.
func (d *disk) putBack(items []item) (abandoned uint64) {
	var blocks []*event.Block
	var put []item
	for _, it := range items {
		if it.seg != nil && it.id == it.block.ID() && d.sp.Return(it.seg, it.block.Len()) {
			continue // is on disk
		}
		blocks, put = append(blocks, it.block), append(put, it)
	}
	safe, err := d.sp.PutBack(blocks)
	if err != nil {
		d.wrote(err)
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
func (d *disk) abandon() (events uint64) {
	events = d.drain()
	if err := d.sp.Close(); err != nil {
		d.r.log.Error("close the spool", "error", err)
	}
	return events
}

// discard gives the spool back as it was found, before a start that fails.
func (d *disk) discard() {
	d.drain()
	if err := d.sp.Discard(); err != nil {
		d.r.log.Error("close the spool", "error", err)
	}
}

// drain gives up what memory holds.
func (d *disk) drain() (events uint64) {
	d.mu.Lock()
	for _, it := range d.kept {
		events += uint64(it.block.Len())
	}
	d.kept = nil
	d.mu.Unlock()
	events += d.front.Drain()
	if d.hand.block != nil {
		events += uint64(d.hand.block.Len())
		d.hand = item{}
	}
	d.holds(item{})
	d.publish()
	return events
}
