package file

import (
	"io"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"dnsmonster-sensor/sensor/capture"
	"dnsmonster-sensor/userspace/packet"
)

// chunkLen is how much of a stream is read at a time, at most. A record that is
// longer gets a chunk of its own.
const chunkLen = 256 << 10

// chunk is a part of a stream. It is used again when nobody holds it.
type chunk struct {
	buf  []byte
	refs atomic.Int32
	home *chunks
}

// chunks are all that a stream may have at a time: where the lanes hold them
// all, its reader waits. That bounds the stream's memory.
type chunks struct {
	free  chan *chunk
	limit int
	made  int // by the reader alone
}

func newChunks(limit int) *chunks {
	return &chunks{free: make(chan *chunk, limit), limit: limit}
}

// get returns a chunk of at least size bytes, held once. It returns nil when
// stop is closed before there is one.
func (c *chunks) get(size int, stop <-chan struct{}) *chunk {
	var k *chunk
	select {
	case k = <-c.free:
	default:
		if c.made < c.limit {
			c.made++
			k = &chunk{home: c}
			break
		}
		select {
		case k = <-c.free:
		case <-stop:
			return nil
		}
	}
	if len(k.buf) < size {
		k.buf = make([]byte, max(size, chunkLen))
	}
	k.refs.Store(1)
	return k
}

func (k *chunk) release() {
	if k.refs.Add(-1) == 0 {
		if len(k.buf) > chunkLen {
			k.buf = nil // one long record does not keep its memory
		}
		k.home.free <- k // there is room for all that were made
	}
}

// handful is packets of one lane that lie in one chunk, which it holds.
type handful struct {
	packets []packet.Packet
	chunk   *chunk
	queue   *laneQueue
}

// release gives the handful back. Its packets are not valid any more. It may be
// called for nil.
func (h *handful) release() {
	if h != nil {
		h.chunk.release()
		h.chunk = nil
		h.queue.spare(h)
	}
}

// laneQueue takes handfuls from the reader of a stream to one lane. It needs no
// bound of its own: what is in it holds chunks, of which there are few.
type laneQueue struct {
	mu     sync.Mutex
	list   []*handful
	spares []*handful
	given  uint64 // packets that were put
	closed bool
	more   chan struct{} // a token: look again
	done   chan struct{} // closed with the queue
}

func newLaneQueue() *laneQueue {
	return &laneQueue{more: make(chan struct{}, 1), done: make(chan struct{})}
}

// put reports whether the queue has taken h; a closed one takes nothing.
func (q *laneQueue) put(h *handful) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return false
	}
	q.list = append(q.list, h)
	q.given += uint64(len(h.packets))
	select {
	case q.more <- struct{}{}:
	default:
	}
	return true
}

// get waits for the next handful. It returns os.ErrDeadlineExceeded where none
// came for a while, io.EOF once the queue is closed and empty.
func (q *laneQueue) get() (*handful, error) {
	var timeout <-chan time.Time
	for {
		h, closed := q.tryGet()
		if h != nil {
			return h, nil
		}
		if closed {
			return nil, io.EOF
		}
		if timeout == nil {
			t := time.NewTimer(capture.ReadTimeout)
			defer t.Stop()
			timeout = t.C
		}
		select {
		case <-q.more:
		case <-q.done:
		case <-timeout:
			return nil, os.ErrDeadlineExceeded
		}
	}
}

func (q *laneQueue) tryGet() (h *handful, closed bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.list) == 0 {
		return nil, q.closed
	}
	h = q.list[0]
	n := copy(q.list, q.list[1:])
	q.list[n] = nil
	q.list = q.list[:n]
	return h, false
}

// close lets nothing more in. What is queued can still be taken.
func (q *laneQueue) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	if !q.closed {
		q.closed = true
		close(q.done)
	}
}

func (q *laneQueue) count() uint64 {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.given
}

// spare keeps a handful's memory to use again.
func (q *laneQueue) spare(h *handful) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.spares = append(q.spares, h)
}

// empty returns a handful without packets, which holds nothing yet.
func (q *laneQueue) empty() *handful {
	q.mu.Lock()
	defer q.mu.Unlock()
	if n := len(q.spares); n > 0 {
		h := q.spares[n-1]
		q.spares = q.spares[:n-1]
		h.packets = h.packets[:0]
		return h
	}
	return &handful{queue: q}
}
