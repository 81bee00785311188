//go:build (libpcap && cgo) || windows

package libpcap

import (
	"io"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"dnsmonster-sensor/sensor/capture"
	"dnsmonster-sensor/userspace/packet"
)

// chunkLen is the size of a chunk. A packet that is longer gets a chunk of its own.
const chunkLen = 64 << 10

// chunk is memory that a reader fills with records. The lanes of its packets hold it
// until they have read them.
type chunk struct {
	buf  []byte
	refs atomic.Int32
}

// chunkPool keeps chunks that nobody holds. It needs no bound: the lanes' limits bound
// how many chunks there are.
type chunkPool struct {
	mu   sync.Mutex
	free []*chunk
}

// get returns a chunk of at least size bytes with one reference.
func (p *chunkPool) get(size int) *chunk {
	p.mu.Lock()
	defer p.mu.Unlock()
	c := &chunk{}
	if n := len(p.free); n > 0 {
		c, p.free = p.free[n-1], p.free[:n-1]
	}
	if len(c.buf) < size {
		c.buf = make([]byte, max(size, chunkLen))
	}
	c.refs.Store(1)
	return c
}

// release gives a reference back.
func (p *chunkPool) release(c *chunk) {
	if c.refs.Add(-1) > 0 {
		return
	}
	if len(c.buf) > chunkLen {
		return // the memory of a long packet is not kept
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.free = append(p.free, c)
}

// batch is the packets of one lane in one chunk.
type batch struct {
	packets []packet.Packet
	chunk   *chunk
}

// lane holds the packets that its reader has not read. The chunks that it holds are
// bounded; what comes when they are full is lost, and counted.
type lane struct {
	chunks *chunkPool
	limit  int           // bytes of the chunks that it holds
	more   chan struct{} // a token: look again
	done   chan struct{} // closed with the lane

	mu     sync.Mutex
	list   []*batch
	spares []*batch
	taken  *batch // by the last Read
	held   int    // bytes of the chunks of list and taken
	given  uint64
	full   uint64 // packets that were lost
	closed bool
}

func newLane(chunks *chunkPool, limit int) *lane {
	return &lane{chunks: chunks, limit: limit, more: make(chan struct{}, 1), done: make(chan struct{})}
}

// put adds packets of a chunk, all or none of them.
func (l *lane) put(c *chunk, packets []packet.Packet) {
	l.mu.Lock()
	defer l.mu.Unlock()
	var b *batch
	if n := len(l.list); n > 0 && l.list[n-1].chunk == c {
		b = l.list[n-1]
	} else if l.closed || l.held+len(c.buf) > l.limit {
		l.full += uint64(len(packets))
		return
	} else {
		b = l.newBatch()
		b.chunk = c
		c.refs.Add(1)
		l.held += len(c.buf)
		l.list = append(l.list, b)
	}
	b.packets = append(b.packets, packets...)
	l.given += uint64(len(packets))
	select {
	case l.more <- struct{}{}:
	default:
	}
}

func (l *lane) newBatch() *batch {
	n := len(l.spares)
	if n == 0 {
		return &batch{}
	}
	b := l.spares[n-1]
	l.spares = l.spares[:n-1]
	return b
}

// take returns the next batch, nil if there is none, and gives the last one back.
func (l *lane) take() (b *batch, closed bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if t := l.taken; t != nil {
		l.held -= len(t.chunk.buf)
		l.chunks.release(t.chunk)
		clear(t.packets)
		t.packets, t.chunk, l.taken = t.packets[:0], nil, nil
		l.spares = append(l.spares, t)
	}
	if len(l.list) == 0 {
		return nil, l.closed
	}
	b = l.list[0]
	n := copy(l.list, l.list[1:])
	l.list[n] = nil
	l.list = l.list[:n]
	l.taken = b
	return b, false
}

// next waits for the next batch.
func (l *lane) next() (*batch, error) {
	var timeout <-chan time.Time
	for {
		b, closed := l.take()
		switch {
		case b != nil:
			return b, nil
		case closed:
			return nil, io.EOF
		case timeout == nil:
			t := time.NewTimer(capture.ReadTimeout)
			defer t.Stop()
			timeout = t.C
		}
		select {
		case <-l.more:
		case <-l.done:
		case <-timeout:
			return nil, os.ErrDeadlineExceeded
		}
	}
}

// Read fills b with packets that stay in their chunk until the next Read.
func (l *lane) Read(b *packet.Batch) error {
	b.Packets, b.Messages = b.Packets[:0], b.Messages[:0]
	next, err := l.next()
	if err != nil {
		return err
	}
	b.Packets = append(b.Packets, next.packets...)
	return nil
}

// Discard implements capture.Discarder.
func (l *lane) Discard() (n int, err error) {
	b, err := l.next()
	if err != nil {
		return 0, err
	}
	return len(b.packets), nil
}

// close ends the lane once its packets have been read.
func (l *lane) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.closed {
		l.closed = true
		close(l.done)
	}
}

func (l *lane) counts() (given, full uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.given, l.full
}
