// Package dnstap receives dnstap frames over unix, TCP and TLS sockets, as the receiving
// end of Frame Streams: it listens for senders, or connects to those that listen. Frames
// come out as packets of userspace/packet.LinkDnstap, whose messages the worker reads.
//
// It imports no other input, and decodes no frame. Its tests send with golang-dnstap and
// golang-framestream; what these would never send, they write themselves.
//
// One goroutine for each connection reads large pieces, finds the frames in them, and hands
// the whole buffer to the lane of that connection. The lane gives the buffer back at its
// next Read. A connection whose lane is behind waits. Then its sender has to wait or to
// drop.
package dnstap

import (
	"context"
	"errors"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"dnsmonster-sensor/sensor/capture"
)

// bounds are how much time and memory strangers can take.
type bounds struct {
	start  time.Duration // from the connection to START, TLS included
	frame  time.Duration // from the first byte of a frame to its last one
	hurry  time.Duration // the same while other senders wait for memory
	silent time.Duration // after which a large buffer is taken back
	answer time.Duration // for sending an answer
	drain  time.Duration // for reading what has arrived, when the source is closed
	memory int64         // of all buffers that are not small
}

var usual = bounds{
	start: 30 * time.Second, frame: time.Minute, hurry: 2 * time.Second, silent: 2 * time.Second,
	answer: 5 * time.Second, drain: time.Second, memory: 64 << 20,
}

// Source receives frames.
type Source struct {
	options      Options
	bounds       bounds
	addresses    []Address
	lanes        []*lane
	memory       memory
	certificates *certificates
	said         limiter
	max          int // connections

	given atomic.Uint64
	meters

	listeners []*listening
	close     func() error
	closing   chan struct{} // closed by Close
	ended     chan struct{} // closed when no connection is left
	dialing   context.CancelFunc
	running   sync.WaitGroup // connections, and what makes them
	clock     sync.WaitGroup

	mu    sync.Mutex
	conns map[*conn]struct{}
	until time.Time // not zero: the source is closed, and connections end by then
}

// Open begins to receive.
func Open(o Options) (*Source, error) { return open(o, usual) }

func open(o Options, b bounds) (*Source, error) {
	list, err := parseAddresses(o)
	if err != nil {
		return nil, err
	}
	s := &Source{
		options: o, bounds: b, addresses: list, memory: memory{max: b.memory}, said: limiter{log: o.Log},
		closing: make(chan struct{}), ended: make(chan struct{}), conns: make(map[*conn]struct{}),
		certificates: &certificates{options: o},
	}
	s.close = sync.OnceValue(s.end)
	s.max = maxConnections(o)
	for range max(1, o.Lanes) {
		s.lanes = append(s.lanes, newLane(s))
	}
	if err := s.certificates.check(list); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	s.dialing = cancel
	if o.Dial {
		for _, a := range list {
			s.running.Go(func() { s.dial(ctx, a) })
		}
	} else if err := s.listen(list); err != nil {
		cancel()
		return nil, err
	}
	s.clock.Go(s.watch)
	return s, nil
}

// Lanes implements capture.Source.
func (s *Source) Lanes() (list []capture.Lane) {
	for _, l := range s.lanes {
		list = append(list, l)
	}
	return list
}

// Live implements capture.Source. A source that listens must not make servers wait; with
// Dial, reading waits for the outputs.
func (s *Source) Live() bool { return !s.options.Dial }

// Given implements capture.Source.
func (s *Source) Given() uint64 { return s.given.Load() }

// Err implements capture.Source. A connection that fails is no failure of the source.
func (s *Source) Err() error { return nil }

// Close stops the intake: sockets are removed, and what has arrived is still delivered. It
// returns within a moment, whatever senders do.
func (s *Source) Close() error { return s.close() }

func (s *Source) end() error {
	s.dialing()
	s.mu.Lock()
	s.until = time.Now().Add(s.bounds.drain)
	close(s.closing) // before connections end by it: their end is no fault of the senders
	for c := range s.conns {
		c.stop(s.until)
	}
	s.mu.Unlock()
	var errs []error
	for _, l := range s.listeners {
		errs = append(errs, l.end())
	}
	stubborn := time.AfterFunc(s.bounds.drain+answerRoom, s.cutOff)
	s.running.Wait()
	stubborn.Stop()
	close(s.ended)
	s.clock.Wait()
	return errors.Join(errs...)
}

// answerRoom is for the last answers, after what has arrived was read.
const answerRoom = 100 * time.Millisecond

// cutOff closes the connections that are left: those of senders that do not read answers.
func (s *Source) cutOff() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.conns {
		c.raw.Close()
	}
}

// setReadDeadline sets a connection's deadline, unless the source is closed: then there is
// one that must not move.
func (s *Source) setReadDeadline(c *conn, t time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.until.IsZero() {
		c.raw.SetReadDeadline(t)
	}
}

// add makes a connection known. It returns nil if there are too many.
func (s *Source) add(raw net.Conn, at Address) *conn {
	c := &conn{source: s, raw: raw, nc: raw, at: at, slots: make(chan struct{}, slotsOfConn), seenAt: time.Now()}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.conns) >= s.max {
		return nil
	}
	s.conns[c] = struct{}{}
	s.opened.Add(1)
	if !s.until.IsZero() {
		c.stop(s.until)
	}
	return c
}

// begins gives a connection a lane, the one with the fewest others, at its first stream.
func (s *Source) begins(c *conn) {
	s.streams.Add(1)
	if c.begun {
		return
	}
	c.begun = true
	s.mu.Lock()
	c.lane = s.lanes[0]
	for _, l := range s.lanes {
		if l.conns < c.lane.conns {
			c.lane = l
		}
	}
	c.lane.conns++
	s.mu.Unlock()
	first := s.senders.Add(1) == 1
	s.connected(c, first)
}

// serve receives from a connection to its end.
func (s *Source) serve(c *conn) {
	c.peer = peerOf(c.raw)
	err := c.shake()
	if err != nil {
		err = &tlsError{err}
	} else if err = c.receive(); strings.Contains(err.Error(), "remote error: tls:") { // TLS 1.3 refuses our certificate later
		err = &tlsError{err}
	}
	s.left(c, err)
	c.nc.Close() // with TLS it may wait for the sender
	c.raw.Close()
	s.mu.Lock()
	delete(s.conns, c)
	if c.lane != nil {
		c.lane.conns--
	}
	s.mu.Unlock()
	if c.begun {
		s.senders.Add(-1)
	}
}

// watch ends connections that stand still where they may not, and takes large buffers back
// from those that are silent.
func (s *Source) watch() {
	tick := time.NewTicker(max(min(s.bounds.start, s.bounds.frame, s.bounds.hurry, s.bounds.silent)/4, time.Millisecond))
	defer tick.Stop()
	for {
		select {
		case <-s.ended:
			return
		case now := <-tick.C:
			s.mu.Lock()
			var still, silent []*conn
			for c := range s.conns {
				switch stands := c.stands(now, s.bounds, s.memory.short.Load() > 0); {
				case stands == waitsForFrame:
					silent = append(silent, c)
				case stands >= 0:
					still = append(still, c)
				}
			}
			s.mu.Unlock()
			for _, c := range still {
				c.expire()
			}
			s.lookAtFiles()
			for _, c := range silent {
				c.shrink.Store(true)
				s.setReadDeadline(c, past)
			}
		}
	}
}

// stands returns what the connection has waited for too long, -1 if for nothing.
func (c *conn) stands(now time.Time, b bounds, short bool) int {
	p := c.progress.Load()
	if p != c.seen {
		c.seen, c.seenAt = p, now
		return -1
	}
	waited, what := now.Sub(c.seenAt), int(p%progressStep)
	switch {
	case what == waitsForStart && waited > b.start,
		what == waitsInFrame && (waited > b.frame || short && c.holds.Load() && waited > b.hurry),
		what == waitsForFrame && c.holds.Load() && waited > b.silent:
		return what
	}
	return -1
}

// Senders is where senders connect, and how many are connected.
type Senders struct {
	Addresses []string // where the source listens, with the ports that the kernel has chosen; with Dial: those it connects to
	Connected int      // connections that have begun a stream
	Files     bool     // there are socket files that have our mode and group
}

// Senders says who is connected.
func (s *Source) Senders() Senders {
	out := Senders{Connected: int(s.senders.Load())}
	for _, l := range s.listeners {
		out.Addresses = append(out.Addresses, l.at.String())
		out.Files = out.Files || l.file != nil
	}
	if s.options.Dial {
		for _, a := range s.addresses {
			out.Addresses = append(out.Addresses, a.String())
		}
	}
	return out
}

// Reload reads the files of certificates now. If they are broken, those that were read
// before stay in use.
func (s *Source) Reload() error { return s.certificates.reload() }
