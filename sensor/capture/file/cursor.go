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
	// fileBatch is how many packets of a mapped file a lane takes at once.
	fileBatch = 512
	// fullAt is how many packets wait for a lane before the others let it catch
	// up.
	fullAt = 2 * fileBatch
)

// walk is the one way through a mapped file, which all lanes share. A lane takes
// the next packets when it has handled its last ones: so each record is walked
// once, and a lane that is slow takes less. Packets that are bound to another
// lane wait for that one, in file order.
//
// Only the walk from header to header is done by one lane at a time. Lanes that
// queue for it bring the bytes that will be theirs into their own cache
// meanwhile.
type walk struct {
	file   *mapped
	source *Source

	walked   atomic.Uint64 // records so far
	position atomic.Int64  // offset, for those who do not hold mu

	mu       sync.Mutex
	format   format // nil before the first record
	offset   int    // of the next record
	ended    bool
	complete bool              // it has ended at the end of the file, or by an error
	queued   int               // lanes that are about to walk
	stride   int               // bytes that the last one walked
	bound    [][]packet.Packet // by lane: what waits for it
	behind   int               // lanes that wait until another one has caught up
	caught   chan struct{}     // a token for each of those when that has happened
}

func (s *Source) newWalk(m *mapped, lanes int) *walk {
	return &walk{file: m, source: s, bound: make([][]packet.Packet, lanes), caught: make(chan struct{}, lanes)}
}

// errFull means that a lane has to catch up before there is more.
var errFull = errors.New("a lane is behind")

// take fills b, which is empty, for a lane. What waits for it comes before what
// is behind it in the file. It returns io.EOF when nothing can come any more, and
// os.ErrDeadlineExceeded where another lane did not catch up for a while.
func (w *walk) take(l *lane, b *packet.Batch) error {
	for {
		next, n, err := w.queue(l.number, b)
		if err == errFull && l.await(w.caught) {
			continue
		}
		if err == errFull {
			return os.ErrDeadlineExceeded
		}
		if err != nil || len(b.Packets) > 0 {
			return err
		}
		faults(func() { l.warmUp(w.file.data, next, n) }) // the walk will see that the file is shorter
		if w.walk(l, b); len(b.Packets) > 0 {
			return nil
		}
	}
}

// queue gives a lane what waits for it. If that is nothing, it puts the lane into
// the queue of those that walk, and returns where its turn will probably begin and
// how many bytes it will take.
func (w *walk) queue(lane int, b *packet.Batch) (next, n int, err error) {
	w.lock()
	defer w.mu.Unlock()
	if w.collect(lane, b) {
		return 0, 0, nil
	}
	if w.source.stop.Load() {
		w.ended = true
	}
	if w.ended {
		w.bound[lane] = nil // files may be many
		return 0, 0, io.EOF
	}
	if slices.ContainsFunc(w.bound, func(list []packet.Packet) bool { return len(list) >= fullAt }) {
		w.behind++
		return 0, 0, errFull
	}
	next = w.offset + w.queued*w.stride
	w.queued++
	return next, w.stride, nil
}

// lock takes mu. It is held for some microseconds at a time: going to sleep would
// take longer, and what else there is to do can be done meanwhile.
func (w *walk) lock() {
	for range 100 {
		if w.mu.TryLock() {
			return
		}
		runtime.Gosched()
	}
	w.mu.Lock()
}

// collect takes what waits for a lane. mu is held.
func (w *walk) collect(lane int, b *packet.Batch) bool {
	mine := w.bound[lane]
	if len(mine) == 0 {
		return false
	}
	w.bound[lane], b.Packets = b.Packets, mine
	for ; w.behind > 0; w.behind-- {
		select {
		case w.caught <- struct{}{}:
		default: // there are as many tokens as lanes
		}
	}
	return true
}

// walk is a lane's turn. b stays empty where all packets were others'.
func (w *walk) walk(l *lane, b *packet.Batch) {
	w.lock()
	defer w.mu.Unlock()
	w.queued--
	if w.collect(l.number, b) || w.ended {
		return
	}
	from := w.offset
	if w.file.shrunk() || faults(func() { w.fill(l, b) }) {
		w.shrank()
	}
	w.stride = w.offset - from
	w.position.Store(int64(w.offset))
}

// fill walks a batch of records. Those that the lane can take fill b, the others
// wait for their own lanes. At the end of the file and at damage the walk has
// ended. Wherever it stops, all packets that were walked have a lane. mu is held.
func (w *walk) fill(l *lane, b *packet.Batch) {
	data := w.file.data
	if w.format == nil {
		f, off, _ := newFormat(data, w.source.told(w.file.path)) // checked when it was opened
		w.format, w.offset = asRaw(f, w.source.raw), off
	}
	b.Packets = slices.Grow(b.Packets, fileBatch)
	list, kept, walked := b.Packets[:fileBatch], 0, uint64(0)
	defer func() {
		b.Packets = list[:kept]
		w.walked.Add(walked)
	}()
	for range fileBatch {
		if w.offset < l.warmFrom || w.offset >= l.warm {
			l.warmUp(data, w.offset, warmStep)
		}
		p := &list[kept] // the next packet takes the place of one that is not kept
		next, err := w.format.record(data, w.offset, p)
		w.offset = next
		if err != nil {
			if err != io.EOF {
				w.source.fail(fmt.Errorf("read %s: offset %d: %w", w.file.path, next, err))
			}
			w.ended, w.complete = true, true
			return
		}
		walked++
		kept++ // if choosing faults, so will handling, which has an outcome for that
		if to := w.source.laneOf(p, l.number); to != l.number {
			kept--
			w.bound[to] = append(w.bound[to], *p)
		}
	}
}

// laneOf returns whose a packet is that a lane has walked.
func (s *Source) laneOf(p *packet.Packet, walker int) int {
	if len(s.lanes) == 1 || s.loose != nil && s.loose(p) {
		return walker
	}
	return s.choose(p).Lane(len(s.lanes))
}

// shrank gives the file up because it has become shorter. Packets of it that
// lanes have, or that wait for them, stay theirs. mu is held.
func (w *walk) shrank() {
	w.source.fail(fmt.Errorf("read %s: offset %d: the file became shorter while it was read", w.file.path, w.offset))
	w.ended, w.complete = true, true
}

// faults calls f and reports whether it has touched bytes that a mapped file does
// not have any more.
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

// await waits for a token, for as long as a lane has capture.ReadTimeout.
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
	// warmMost is how many bytes of a mapped file are brought into the cache at
	// once: some part of a core's second level.
	warmMost = 256 << 10
	// warmStep is how many at a time where a turn goes on behind what it was
	// expected to take.
	warmStep  = 16 << 10
	cacheLine = 64
)

// warmUp touches n bytes of a file, all of them at the same time. The walk by
// itself goes from one packet's length to the next, and would wait for memory at
// each.
func (l *lane) warmUp(data []byte, from, n int) {
	from = min(from, len(data))
	end := min(from+min(n, warmMost), len(data))
	touched := byte(0)
	for i := from; i < end; i += cacheLine {
		touched |= data[i]
	}
	l.touched |= touched
	l.warmFrom, l.warm = from, end
}
