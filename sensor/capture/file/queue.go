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

// chunkLen is how much of a stream is read at a time, at most. A longer record gets a
// chunk of its own.
const chunkLen = 256 << 10

// chunk is a part of a stream. It is reused when nobody holds it.
type chunk struct {
	buf  []byte
	refs atomic.Int32
	pool *chunkPool
}

// chunkPool bounds the memory of a stream: when the lanes hold all chunks, the reader
// waits.
type chunkPool struct {
	free  chan *chunk
	limit int
	made  int // used by the reader alone
}

func newChunkPool(limit int) *chunkPool {
	return &chunkPool{free: make(chan *chunk, limit), limit: limit}
}

// get returns a chunk of at least size bytes with one reference. It returns nil if
// stop is closed before there is one.
func (p *chunkPool) get(size int, stop <-chan struct{}) *chunk {
	var c *chunk
	select {
	case c = <-p.free:
	default:
		if p.made < p.limit {
			p.made++
			c = &chunk{pool: p}
			break
		}
		select {
		case c = <-p.free:
		case <-stop:
			return nil
		}
	}
	if len(c.buf) < size {
		c.buf = make([]byte, max(size, chunkLen))
	}
	c.refs.Store(1)
	return c
}

func (c *chunk) release() {
	if c.refs.Add(-1) == 0 {
		if len(c.buf) > chunkLen {
			c.buf = nil // the memory of one long record is not kept
		}
		c.pool.free <- c // there is room for all that were made
	}
}

// laneBatch is the packets of one lane in one chunk, which it holds.
type laneBatch struct {
	packets []packet.Packet
	chunk   *chunk
	queue   *laneQueue
}

// release gives the batch back; its packets become invalid. It may be called for nil.
func (b *laneBatch) release() {
	if b != nil {
		b.chunk.release()
		b.chunk = nil
		b.queue.recycle(b)
	}
}

// laneQueue passes batches from the reader of a stream to one lane. It needs no bound
// of its own: its batches hold chunks, and the number of chunks is bounded.
type laneQueue struct {
	mu     sync.Mutex
	list   []*laneBatch
	spares []*laneBatch
	given  uint64 // packets that were put
	closed bool
	more   chan struct{} // a token: look again
	done   chan struct{} // closed with the queue
}

func newLaneQueue() *laneQueue {
	return &laneQueue{more: make(chan struct{}, 1), done: make(chan struct{})}
}

// put reports whether the queue has accepted b; a closed queue does not.
func (q *laneQueue) put(b *laneBatch) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return false
	}
	q.list = append(q.list, b)
	q.given += uint64(len(b.packets))
	select {
	case q.more <- struct{}{}:
	default:
	}
	return true
}

// get waits for the next batch. It returns os.ErrDeadlineExceeded if none came in
// time, and io.EOF once the queue is closed and empty.
func (q *laneQueue) get() (*laneBatch, error) {
	var timeout <-chan time.Time
	for {
		b, closed := q.tryGet()
		if b != nil {
			return b, nil
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

func (q *laneQueue) tryGet() (b *laneBatch, closed bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.list) == 0 {
		return nil, q.closed
	}
	b = q.list[0]
	n := copy(q.list, q.list[1:])
	q.list[n] = nil
	q.list = q.list[:n]
	return b, false
}

// close rejects further batches. Queued batches can still be taken.
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

// recycle keeps a batch's memory for later use.
func (q *laneQueue) recycle(b *laneBatch) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.spares = append(q.spares, b)
}

// newBatch returns a batch without packets and without a chunk.
func (q *laneQueue) newBatch() *laneBatch {
	q.mu.Lock()
	defer q.mu.Unlock()
	if n := len(q.spares); n > 0 {
		b := q.spares[n-1]
		q.spares = q.spares[:n-1]
		b.packets = b.packets[:0]
		return b
	}
	return &laneBatch{queue: q}
}
