package file

import (
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"dnsmonster-sensor/sensor/capture"
	"dnsmonster-sensor/userspace/packet"
)

const (
	// cursorBatch is how many packets of a mapped file a lane takes at once.
	cursorBatch = 512
	// pinnedLimit is how many packets may wait for a lane before the other lanes
	// wait until it has caught up.
	pinnedLimit = 2 * cursorBatch
)

// cursor is the position in a mapped file, which all lanes share. A lane that has
// handled its packets moves the cursor over the next records: so each record is read
// once, and a slow lane takes fewer. Packets that are pinned to another lane wait for
// that lane, in file order.
//
// One lane at a time moves from header to header. Lanes that queue for it load the
// bytes that will probably be theirs into their own cache meanwhile.
type cursor struct {
	file   *mapped
	source *Source

	records  atomic.Uint64 // read so far
	position atomic.Int64  // offset, for readers that do not hold mu

	mu       sync.Mutex
	format   format // nil before the first record
	offset   int    // of the next record
	ended    bool
	complete bool              // it has ended at the end of the file, or with an error
	queued   int               // lanes that are about to move the cursor
	stride   int               // bytes of the last move
	pinned   [][]packet.Packet // by lane: packets that wait for it
	blocked  int               // lanes that wait until another one has caught up
	caughtUp chan struct{}     // gets a token for each of them
}

func (s *Source) newCursor(m *mapped, lanes int) *cursor {
	return &cursor{file: m, source: s, pinned: make([][]packet.Packet, lanes), caughtUp: make(chan struct{}, lanes)}
}

// errBehind means that another lane must catch up first.
var errBehind = errors.New("a lane is behind")

// next fills b, which is empty, for a lane. Packets that wait for the lane come before
// those further on in the file. It returns io.EOF at the end, and
// os.ErrDeadlineExceeded if another lane did not catch up in time.
func (c *cursor) next(l *lane, b *packet.Batch) error {
	for {
		from, n, err := c.enqueue(l.number, b)
		if err == errBehind && l.await(c.caughtUp) {
			continue
		}
		if err == errBehind {
			return os.ErrDeadlineExceeded
		}
		if err != nil || len(b.Packets) > 0 {
			return err
		}
		faults(func() { l.prefetch(c.file.data, from, n) }) // move notices that the file is shorter
		if c.move(l, b); len(b.Packets) > 0 {
			return nil
		}
	}
}

// enqueue gives a lane the packets that wait for it. If there are none, it queues the
// lane for a move, and returns where that will probably begin and how many bytes it
// will take.
func (c *cursor) enqueue(lane int, b *packet.Batch) (from, n int, err error) {
	c.lock()
	defer c.mu.Unlock()
	if c.takePinned(lane, b) {
		return 0, 0, nil
	}
	if c.source.stop.Load() {
		c.ended = true
	}
	if c.ended {
		c.pinned[lane] = nil // frees memory: there may be many files
		return 0, 0, io.EOF
	}
	if slices.ContainsFunc(c.pinned, func(list []packet.Packet) bool { return len(list) >= pinnedLimit }) {
		c.blocked++
		return 0, 0, errBehind
	}
	from = c.offset + c.queued*c.stride
	c.queued++
	return from, c.stride, nil
}

// lock takes mu, which is held for microseconds: sleeping would take longer, and other
// goroutines can run meanwhile.
func (c *cursor) lock() {
	for range 100 {
		if c.mu.TryLock() {
			return
		}
		runtime.Gosched()
	}
	c.mu.Lock()
}

// takePinned moves the packets that wait for a lane to b. mu is held.
func (c *cursor) takePinned(lane int, b *packet.Batch) bool {
	mine := c.pinned[lane]
	if len(mine) == 0 {
		return false
	}
	c.pinned[lane], b.Packets = b.Packets, mine
	for ; c.blocked > 0; c.blocked-- {
		select {
		case c.caughtUp <- struct{}{}:
		default: // there are as many tokens as lanes
		}
	}
	return true
}

// move is a lane's turn. b stays empty if all packets are pinned to other lanes.
func (c *cursor) move(l *lane, b *packet.Batch) {
	c.lock()
	defer c.mu.Unlock()
	c.queued--
	if c.takePinned(l.number, b) || c.ended {
		return
	}
	from := c.offset
	if c.file.shrunk() || faults(func() { c.fill(l, b) }) {
		c.shrank()
	}
	c.stride = c.offset - from
	c.position.Store(int64(c.offset))
}

// fill reads a batch of records. The lane's packets go to b, the others wait for their
// own lanes. The cursor ends at the end of the file and at damage. Wherever it stops,
// each packet that was counted has a lane. mu is held.
func (c *cursor) fill(l *lane, b *packet.Batch) {
	data := c.file.data
	if c.format == nil {
		f, off, _ := newFormat(data, c.source.context(c.file.path)) // checked when it was opened
		c.format, c.offset = asRaw(f, c.source.raw), off
	}
	b.Packets = slices.Grow(b.Packets, cursorBatch)
	list, kept, records := b.Packets[:cursorBatch], 0, uint64(0)
	defer func() {
		b.Packets = list[:kept]
		c.records.Add(records)
	}()
	for range cursorBatch {
		if c.offset < l.prefetchedFrom || c.offset >= l.prefetchedTo {
			l.prefetch(data, c.offset, prefetchStep)
		}
		p := &list[kept] // the next packet overwrites one that is not kept
		next, err := c.format.record(data, c.offset, p)
		c.offset = next
		if err != nil {
			context := c.source.context(c.file.path)
			if err := context.atEnd(c.format, len(data)-next, err); err != nil {
				c.source.fail(fmt.Errorf("read %s: offset %d: %w", c.file.path, next, err))
			}
			c.ended, c.complete = true, true
			return
		}
		records++
		kept++ // before laneOf, which may fault: decoding then faults too, and counts an outcome
		if to := c.source.laneOf(p, l.number); to != l.number {
			kept--
			c.pinned[to] = append(c.pinned[to], *p)
		}
	}
}

// laneOf returns the lane for a packet that a lane has read.
func (s *Source) laneOf(p *packet.Packet, reader int) int {
	if len(s.lanes) == 1 || p.Link == packet.LinkDnstap || s.unpinned != nil && s.unpinned(p) {
		return reader
	}
	return s.choose(p).Lane(len(s.lanes))
}

// shrank ends the reading of a file that has become shorter. Lanes keep the packets
// that they have, and those that wait for them. mu is held.
func (c *cursor) shrank() {
	c.source.fail(fmt.Errorf("read %s: offset %d: the file became shorter while it was read", c.file.path, c.offset))
	c.ended, c.complete = true, true
}

// faults calls f, and reports whether it touched bytes that a mapped file no longer
// has.
func faults(f func()) (yes bool) {
	defer func() {
		if fault := recover(); capture.IsFault(fault) {
			yes = true
		} else if fault != nil {
			panic(fault)
		}
	}()
	f()
	return false
}

// await waits for a token, up to capture.ReadTimeout.
func (l *lane) await(token <-chan struct{}) bool {
	if l.timer == nil {
		l.timer = time.NewTimer(capture.ReadTimeout)
	} else {
		l.timer.Reset(capture.ReadTimeout)
	}
	defer l.timer.Stop()
	select {
	case <-token:
		return true
	case <-l.timer.C:
		return false
	}
}

const (
	// maxPrefetch is how many bytes are loaded into the cache at once: a part of a
	// core's second level.
	maxPrefetch = 256 << 10
	// prefetchStep is how many are loaded at a time if a move goes further than
	// expected.
	prefetchStep = 16 << 10
	cacheLine    = 64
)

// prefetch touches n bytes of a file, one in each cache line. Those loads overlap,
// whereas moving from one record's length to the next would wait for memory each time.
func (l *lane) prefetch(data []byte, from, n int) {
	from = min(from, len(data))
	end := min(from+min(n, maxPrefetch), len(data))
	touched := byte(0)
	for i := from; i < end; i += cacheLine {
		touched |= data[i]
	}
	l.touched |= touched
	l.prefetchedFrom, l.prefetchedTo = from, end
}
