package dnstap

import (
	"crypto/tls"
	"errors"
	"net"
	"os"
	"sync/atomic"
	"time"

	payload "dnsmonster-sensor/userspace/dnstap"
	"dnsmonster-sensor/userspace/framestream"
)

const contentType = payload.ContentType

// slotsOfConn is how many buffers of one connection may wait in its lane.
const slotsOfConn = 4

// A sender of many frames that has nothing more at the moment gets a pause to gather the
// next ones: to be woken for a few costs as much as to receive a hundred. A unix socket
// holds what comes meanwhile, up to 2 million frames a second.
const (
	many  = 8 << 10 // bytes of one read
	pause = 500 * time.Microsecond
)

// What a connection waits for, in its progress.
const (
	waitsForStart = iota // bounded: anybody can connect and say nothing
	waitsForFrame        // for ever
	waitsInFrame         // bounded: the sender has memory of ours
	progressStep
)

// conn is one connection, and the goroutine that reads it.
type conn struct {
	source *Source
	raw    net.Conn // closed to end the connection
	nc     net.Conn // raw, or TLS over it
	at     Address
	peer   string

	// progress is one of the constants above, and in the other bits a number that changes
	// with each step. If it stays the same for too long, the source ends the connection.
	progress atomic.Uint64
	expired  atomic.Bool
	holds    atomic.Bool // a buffer that is not small
	shrink   atomic.Bool // watch wants a large buffer back
	seen     uint64      // progress, as watch saw it last
	seenAt   time.Time   // when watch first saw that

	slots chan struct{} // buffers in the lane
	lane  *lane         // from the first START on

	state   framestream.Receiver
	spoke   bool // at least one control frame was accepted
	begun   bool // at least one stream has begun
	buf     *buffer
	busy    bool // the last read brought at least half a small buffer
	answers []byte

	unfinished int // bytes after the last whole frame, at the end
}

func (c *conn) step(kind uint64) {
	c.progress.Store(c.progress.Load()/progressStep*progressStep + progressStep + kind)
}

// rest sets what the connection waits for now.
func (c *conn) rest() {
	switch {
	case !c.state.Started():
		if c.progress.Load()%progressStep != waitsForStart {
			c.step(waitsForStart)
		}
	case c.buf.fill > c.buf.whole:
		if c.progress.Load()%progressStep != waitsInFrame {
			c.step(waitsInFrame)
		}
	default:
		c.step(waitsForFrame)
	}
}

// receive reads the connection to its end, and returns why it has ended: io.EOF, or what
// went wrong.
func (c *conn) receive() error {
	c.state.ContentType = contentType
	c.buf = c.source.memory.get(small)
	defer func() {
		if c.buf != nil {
			c.unfinished = c.buf.fill
			c.source.memory.put(c.buf)
			c.buf = nil
		}
	}()
	for {
		room := c.buf.data[c.buf.fill:]
		n, err := c.nc.Read(room)
		c.buf.fill += n
		c.busy = n >= classSize[small]/2
		if n >= many && n < len(room) && c.nc == c.raw { // TLS brings one record at a time
			time.Sleep(pause)
		}
		if n > 0 {
			if err := c.cut(); err != nil {
				return err
			}
		}
		if err != nil && !c.shrunk(err) {
			return err
		}
		c.rest()
	}
}

// shrunk handles the deadline that watch sets to take a large buffer back from a sender
// that has become silent. It reports whether the error was that deadline.
func (c *conn) shrunk(err error) bool {
	if !errors.Is(err, os.ErrDeadlineExceeded) || !c.shrink.Swap(false) || c.expired.Load() {
		return false
	}
	if c.buf.fill == 0 && c.buf.class != small {
		c.source.memory.put(c.buf)
		c.buf = c.source.memory.get(small)
	}
	c.holds.Store(c.buf.class != small)
	c.source.setReadDeadline(c, time.Time{})
	return true
}

// cut finds the whole frames in the buffer and hands them to the lane. Afterwards the
// buffer has room.
func (c *conn) cut() error {
	fault := c.frames()
	if c.buf.count > 0 {
		if err := c.handOn(); err != nil {
			return errors.Join(fault, err)
		}
	} else if c.buf.whole > 0 { // control frames only
		c.buf.fill = copy(c.buf.data, c.buf.data[c.buf.whole:c.buf.fill])
		c.buf.whole = 0
	}
	if fault == nil && c.buf.fill == len(c.buf.data) {
		fault = c.grow()
	}
	return fault
}

// frames moves the end of the whole frames, and answers control frames.
func (c *conn) frames() error {
	b := c.buf
	for {
		f, n, err := framestream.Next(b.data[b.whole:b.fill], framestream.MaxFrame)
		switch {
		case err == framestream.ErrMore:
			return nil
		case err == nil && f.Control == framestream.Data:
			if err = c.state.Data(); err == nil {
				b.count++
			}
		case err == nil:
			err = c.control(&f)
		}
		if err != nil {
			return c.notFrames(err, b.data[b.whole:b.fill])
		}
		b.whole += n
	}
}

// control handles a control frame.
func (c *conn) control(f *framestream.Frame) (err error) {
	started := c.state.Started()
	if c.answers, err = c.state.Control(f, c.answers[:0]); err != nil {
		return err
	}
	c.spoke = true
	if started && !c.state.Started() {
		c.source.stopped.Add(1)
	}
	if len(c.answers) > 0 {
		c.raw.SetWriteDeadline(time.Now().Add(c.source.bounds.answer))
		if _, err := c.nc.Write(c.answers); err != nil {
			return &answerError{err}
		}
	}
	if !started && c.state.Started() {
		c.source.begins(c)
	}
	return nil
}

// handOn gives the lane all frames that are whole. What is left moves into another buffer.
func (c *conn) handOn() error {
	full := c.buf
	tail := full.data[full.whole:full.fill]
	class := small
	if c.busy {
		class = large
	}
	c.slot()
	next, err := c.take(class, len(tail))
	if err == nil {
		next.fill = copy(next.data, tail)
	}
	full.conn, c.buf = c, next
	full.came = time.Now().UnixNano()
	c.holds.Store(next != nil && next.class != small)
	c.source.given.Add(uint64(full.count))
	c.lane.push(full)
	c.step(waitsForFrame) // what is left belongs to another frame, whose time begins now
	return err
}

// slot waits until the lane has room for another buffer. A source that is closed delivers
// what it has received, so it does not wait any more.
func (c *conn) slot() {
	select {
	case c.slots <- struct{}{}:
		return
	default:
	}
	c.step(waitsForFrame) // it is not the sender who is slow
	select {
	case c.slots <- struct{}{}:
	case <-c.source.closing:
	}
}

// take gets a buffer for the beginning of a frame, and room behind it. If memory is short,
// a smaller one than wanted will do; if none will, it waits.
func (c *conn) take(class, length int) (*buffer, error) {
	least := small
	for classSize[least] <= length {
		least++
	}
	for waited := time.Duration(0); ; waited += memoryPause {
		for i := max(class, least); i >= least; i-- {
			if b := c.source.memory.get(i); b != nil {
				return b, nil
			}
		}
		if waited == 0 {
			c.step(waitsForFrame) // it is not the sender who is slow
			c.source.memory.short.Add(1)
			defer c.source.memory.short.Add(-1)
		}
		if waited >= c.source.bounds.frame {
			return nil, errMemory
		}
		select {
		case <-time.After(memoryPause):
		case <-c.source.closing:
			return nil, errMemory
		}
	}
}

const memoryPause = 5 * time.Millisecond

// grow moves the beginning of a long frame to a longer buffer.
func (c *conn) grow() error {
	next, err := c.take(c.buf.class+1, len(c.buf.data))
	if err != nil {
		return err
	}
	next.fill = copy(next.data, c.buf.data[:c.buf.fill])
	c.source.memory.put(c.buf)
	c.buf = next
	c.holds.Store(true)
	return nil
}

// shake does the TLS handshake, if this is a tls address.
func (c *conn) shake() error {
	if c.at.Network != "tls" {
		return nil
	}
	config, err := c.source.certificates.config(c.at)
	if err != nil {
		return err
	}
	var t *tls.Conn
	if c.source.options.Dial {
		t = tls.Client(c.raw, config)
	} else {
		t = tls.Server(c.raw, config)
	}
	c.nc = t
	return t.Handshake()
}

// expire ends a connection that stands still.
func (c *conn) expire() {
	c.expired.Store(true)
	c.source.setReadDeadline(c, past)
	c.raw.SetWriteDeadline(past)
}

var past = time.Unix(1, 0)

// stop ends the connection because the source is closed. What has been sent is still
// read: to the end of what a unix socket holds, since the sender cannot write from now on;
// and to the end of what has arrived, over TCP.
func (c *conn) stop(until time.Time) {
	c.raw.SetDeadline(until)
	if half, ok := c.raw.(interface{ CloseRead() error }); ok {
		half.CloseRead()
	}
}
