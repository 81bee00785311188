package dnstap

import (
	"encoding/binary"
	"io"
	"os"
	"sync"
	"time"

	"dnsmonster-sensor/sensor/capture"
	"dnsmonster-sensor/userspace/framestream"
	"dnsmonster-sensor/userspace/packet"
)

// maxBatch is how many frames Read returns at most.
const maxBatch = 512

// lane is a queue of buffers. Connections bound what they have in it: see conn.slots.
type lane struct {
	source *Source
	conns  int           // that feed it; guarded by Source.mu
	more   chan struct{} // has an element if the queue may have become longer
	timer  *time.Timer

	mu    sync.Mutex
	queue []*buffer

	// What follows belongs to Read.
	taken []*buffer // from the queue
	at    int       // the first of taken with frames that were not returned
	done  int       // the first of taken that was not given back
}

func newLane(s *Source) *lane {
	return &lane{source: s, more: make(chan struct{}, 1), timer: time.NewTimer(capture.ReadTimeout)}
}

func (l *lane) push(b *buffer) {
	l.mu.Lock()
	l.queue = append(l.queue, b)
	l.mu.Unlock()
	select {
	case l.more <- struct{}{}:
	default:
	}
}

// Read implements capture.Lane.
func (l *lane) Read(b *packet.Batch) error {
	b.Packets, b.Messages = b.Packets[:0], b.Messages[:0]
	l.giveBack()
	if l.at == len(l.taken) {
		if err := l.take(); err != nil {
			return err
		}
	}
	for l.at < len(l.taken) && len(b.Packets) < maxBatch {
		if l.taken[l.at].frames(b) {
			l.at++
		}
	}
	return nil
}

// frames appends whole frames to a batch, and reports whether these were the last ones.
// The connection has checked all lengths. The time of a packet is when it came: the worker
// prefers the frame's own.
func (f *buffer) frames(b *packet.Batch) bool {
	data, at := f.data[:f.whole], f.next
	for at < len(data) && len(b.Packets) < maxBatch {
		length := int(binary.BigEndian.Uint32(data[at:]))
		at += framestream.HeadLen
		if length == 0 { // a control frame
			at += framestream.HeadLen + int(binary.BigEndian.Uint32(data[at:]))
			continue
		}
		b.Packets = append(b.Packets, packet.Packet{Data: data[at : at+length : at+length], Time: f.came, WireLen: uint32(length), Link: packet.LinkDnstap})
		at += length
		f.count--
	}
	f.next = at
	return f.count == 0
}

// giveBack returns the buffers that the last Read has emptied.
func (l *lane) giveBack() {
	for ; l.done < l.at; l.done++ {
		b := l.taken[l.done]
		l.taken[l.done] = nil
		c := b.conn
		l.source.memory.put(b)
		select {
		case <-c.slots:
		default: // it was in the queue beyond the bound, because the source was closed
		}
	}
}

// take takes all buffers of the queue. It waits for the first one.
func (l *lane) take() error {
	if l.takeQueue() {
		return nil
	}
	l.timer.Reset(capture.ReadTimeout)
	defer l.timer.Stop()
	for {
		select {
		case <-l.more:
			if l.takeQueue() {
				return nil
			}
		case <-l.source.ended:
			if l.takeQueue() { // the last ones
				return nil
			}
			return io.EOF
		case <-l.timer.C:
			return os.ErrDeadlineExceeded
		}
	}
}

func (l *lane) takeQueue() bool {
	l.mu.Lock()
	l.taken, l.queue = l.queue, l.taken[:0]
	l.mu.Unlock()
	l.at, l.done = 0, 0
	return len(l.taken) > 0
}
