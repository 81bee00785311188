//go:build (libpcap && cgo) || windows

package libpcap

import (
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"dnsmonster-sensor/userspace/packet"
)

// attachment captures one interface. Its goroutine reads the handles until Close, or until
// the interface is gone.
type attachment struct {
	source  *Source
	device  device
	waker   *waker
	closing atomic.Bool
	done    chan struct{} // closed when the goroutine has ended

	mu    sync.Mutex // for the handles; not held while waiting
	ports []*port
	ended bool  // the handles are closed
	err   error // why it has ended by itself

	// Used by the goroutine alone.
	chunk   *chunk
	filled  int               // bytes of the chunk
	pending [][]packet.Packet // by lane: packets of the chunk that were not put
	waiting []*handle         // of ports
	idle    int               // waits in a row that ended early and brought nothing
}

// port is one handle: an interface in one direction, or in both.
type port struct {
	*handle
	packet packet.Packet // what all its packets have in common
	counts counts
}

// counts is a port's share of the counters, which do not wrap around.
type counts struct {
	last             stats // as the system has reported them
	dropped          uint64
	interfaceDropped uint64
	unknown          bool // the system has failed to report them
}

// update asks the system.
func (p *port) update() {
	now, err := p.stats()
	if err != nil {
		p.counts.unknown = true
		return
	}
	c := &p.counts
	c.dropped += uint64(now.dropped - c.last.dropped)
	c.interfaceDropped += uint64(now.interfaceDropped - c.last.interfaceDropped)
	c.last = now
}

// attach opens an interface's handles and begins to read them.
func (s *Source) attach(d device) (*attachment, error) {
	ports, err := s.openPorts(d)
	if err != nil {
		return nil, err
	}
	k, err := newWaker()
	if err != nil {
		closePorts(ports)
		return nil, err
	}
	a := &attachment{source: s, device: d, waker: k, ports: ports, done: make(chan struct{}), pending: make([][]packet.Packet, len(s.lanes))}
	for _, p := range ports {
		a.waiting = append(a.waiting, p.handle)
	}
	s.mu.Lock()
	s.attached[a] = true
	s.mu.Unlock()
	go a.run() // Close waits for it
	return a, nil
}

func closePorts(ports []*port) {
	for _, p := range ports {
		p.close()
	}
}

// openPorts opens a handle for each direction if the system can, else one for both.
func (s *Source) openPorts(d device) (ports []*port, err error) {
	defer func() {
		if err != nil {
			closePorts(ports)
		}
	}()
	for _, way := range d.directions() {
		p, err := s.openPort(d)
		if err != nil {
			return ports, err
		}
		ports = append(ports, p)
		if p.setDirection(way.of) == nil {
			p.packet.Direction = way.is
			continue
		}
		if p = ports[0]; len(ports) > 1 {
			ports[1].close()
			ports = ports[:1]
			_ = p.setDirection(directionBoth)
		}
		p.packet.Direction = packet.DirectionUnknown
		break
	}
	for _, p := range ports {
		if err := s.filter(p, d); err != nil {
			return ports, fmt.Errorf("install a filter: %w", err)
		}
	}
	return ports, d.verify(ports[0])
}

func (s *Source) openPort(d device) (*port, error) {
	h, warning, err := openHandle(d.name, s.settings)
	if err != nil {
		return nil, err
	}
	if warning != nil {
		s.warn(d, warning)
	}
	link, err := packet.ParseLinkType(uint16(h.linkType()))
	if err != nil {
		h.close()
		return nil, err
	}
	return &port{handle: h, packet: packet.Packet{Link: link, Interface: uint32(d.index)}}, nil
}

// The pauses of a reader. Its waits end early when packets come.
const (
	waitLimit = time.Second
	// drainLimit is how long a handle of Linux is read after Close, if the numbers do not
	// show that nothing is left: the kernel hands a block over after blockTime, or twice
	// that, and a tick.
	drainLimit = 10 * blockTime
)

// run reads until Close, or until a handle fails.
func (a *attachment) run() {
	defer close(a.done)
	defer a.finish()
	var limit time.Time // for draining
	for {
		n, err := a.read()
		if err != nil {
			a.mu.Lock()
			a.err = err
			a.mu.Unlock()
			return
		}
		if a.closing.Load() {
			if limit.IsZero() {
				limit = time.Now().Add(drainLimit)
			}
			if n == 0 && a.drained() || time.Now().After(limit) {
				return
			}
			time.Sleep(time.Millisecond)
			continue
		}
		began := time.Now()
		wait(a.waiting, a.waker, waitLimit)
		a.rest(n, time.Since(began))
	}
}

// rest keeps the reader from spinning, should a wait end again and again for nothing.
func (a *attachment) rest(n int, waited time.Duration) {
	if n > 0 || waited > time.Millisecond {
		a.idle = 0
		return
	}
	if a.idle++; a.idle > 10 {
		time.Sleep(blockTime)
	}
}

// read reads what the handles have, and gives it to the lanes.
func (a *attachment) read() (n int, err error) {
	for _, p := range a.ports {
		for {
			a.makeRoom(p)
			a.mu.Lock()
			used, state := p.read(a.chunk.buf[a.filled:])
			if err = nil; state == stateFailed {
				err = p.err()
			}
			a.mu.Unlock()
			n += a.assign(p, used)
			if state == stateFull {
				a.flush()
			}
			if state == stateFailed && !a.device.survives(p) {
				a.flush()
				return n, err
			}
			if state == stateEmpty || state == stateFailed {
				break
			}
		}
	}
	a.flush()
	return n, nil
}

// makeRoom makes sure that the next record of a port has room.
func (a *attachment) makeRoom(p *port) {
	need := max(p.next(), recordHeader)
	if a.chunk != nil && a.chunk.refs.Load() == 1 && a.isFlushed() {
		a.filled = 0 // nobody else holds it
	}
	if a.chunk != nil && len(a.chunk.buf)-a.filled >= need {
		return
	}
	a.flush()
	if a.chunk != nil {
		a.source.chunks.release(a.chunk)
	}
	a.chunk, a.filled = a.source.chunks.get(need), 0
}

func (a *attachment) isFlushed() bool {
	for _, p := range a.pending {
		if len(p) > 0 {
			return false
		}
	}
	return true
}

// assign finds the lanes of the packets in the next used bytes of the chunk.
func (a *attachment) assign(port *port, used int) (n int) {
	b := a.chunk.buf[a.filled : a.filled+used]
	a.filled += used
	p := port.packet
	for len(b) > 0 {
		b = cutRecord(b, &p)
		lane := a.source.laneOf(&p)
		a.pending[lane] = append(a.pending[lane], p)
		n++
	}
	return n
}

// flush gives the lanes their packets.
func (a *attachment) flush() {
	for i, packets := range a.pending {
		if len(packets) > 0 {
			a.source.lanes[i].put(a.chunk, packets)
			clear(packets)
			a.pending[i] = packets[:0]
		}
	}
}

// drained reports whether nothing is left of what came before Close.
func (a *attachment) drained() bool {
	if runtime.GOOS != "linux" {
		return true
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, p := range a.ports {
		if p.update(); p.counts.unknown || p.counts.last.received-p.counts.last.dropped != p.counts.last.read {
			return false
		}
	}
	return true
}

// finish closes the handles. Their counters are kept.
func (a *attachment) finish() {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, p := range a.ports {
		p.update()
	}
	a.ended = true
	a.source.retire(a)
	closePorts(a.ports)
	if a.chunk != nil {
		a.source.chunks.release(a.chunk)
	}
	a.waker.close()
}

// add adds the attachment's counters to a sum.
func (a *attachment) add(sum *counts) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.ended {
		for _, p := range a.ports {
			p.update()
		}
		a.sum(sum)
	}
}

// sum is add for counters that are up to date. Both directions have the interface's own
// drops.
func (a *attachment) sum(sum *counts) {
	for i, p := range a.ports {
		sum.dropped += p.counts.dropped
		sum.unknown = sum.unknown || p.counts.unknown
		if i == 0 {
			sum.interfaceDropped += p.counts.interfaceDropped
		}
	}
}

// Alive implements watch.Attachment.
func (a *attachment) Alive() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return !a.ended && a.device.verify(a.ports[0]) == nil
}

// Ended implements watch.Ender.
func (a *attachment) Ended() <-chan struct{} { return a.done }

// Reason implements watch.Ender.
func (a *attachment) Reason() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.err
}

// Describe implements watch.Attachment.
func (a *attachment) Describe() string {
	switch {
	case len(a.ports) == 2:
		return "libpcap, both directions"
	case a.ports[0].packet.Direction == packet.DirectionIn:
		return "libpcap"
	}
	return "libpcap, directions unknown"
}

// stop ends the capture, without waiting for what is left.
func (a *attachment) stop() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.closing.Swap(true) && !a.ended {
		a.waker.wake()
	}
}

// Close ends the capture once what came before has been read.
func (a *attachment) Close() error {
	a.stop()
	<-a.done
	return nil
}
