//go:build linux

// Package ring is the live input: the programs of package bpf on interfaces fill one
// ring buffer for each lane, and packets come out that point into the ring. Package
// watch says on which interfaces the programs are. It must not import another input. Its tests send
// datagrams to themselves, in a network namespace of their own.
package ring

import (
	"fmt"
	"io"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"dnsmonster-sensor/bpf"
	"dnsmonster-sensor/sensor/capture"
	"dnsmonster-sensor/sensor/capture/watch"
	"dnsmonster-sensor/userspace/packet"
)

// A batch ends after maxBatch packets, or once it holds 1/batchDivisor of the ring: the
// kernel cannot use that memory until the next Read.
const (
	maxBatch     = 256
	batchDivisor = 16
)

// Source is a live capture.Source: programs on interfaces fill the kernel's ring
// buffers, one for each lane.
type Source struct {
	kernel  *bpf.Kernel
	watch   *watch.Watcher
	lanes   []*lane
	clock   *watch.BootClock
	closing atomic.Bool
	once    sync.Once
}

// Open loads the programs and attaches them to all interfaces, or to none.
func Open(o Options) (*Source, error) {
	if o.Tap && slices.Contains(o.Watch.Interfaces, watch.Any) {
		return nil, errTapAny
	}
	k, err := bpf.Load(o.kernel())
	if err != nil {
		return nil, &LoadError{err}
	}
	s := &Source{kernel: k}
	s.watch, err = watch.Open(newPrograms(k, &o), o.Watch)
	if err != nil {
		_ = k.Close()
		return nil, err
	}
	s.clock = s.watch.Clock()
	for _, r := range k.Rings() {
		s.lanes = append(s.lanes, &lane{source: s, ring: r})
	}
	return s, nil
}

// Lanes returns one lane for each ring.
func (s *Source) Lanes() []capture.Lane {
	lanes := make([]capture.Lane, len(s.lanes))
	for i, l := range s.lanes {
		lanes[i] = l
	}
	return lanes
}

// Live is true: the network does not wait.
func (s *Source) Live() bool { return true }

// Attached describes each attachment in a few words, for the start line.
func (s *Source) Attached() []string { return s.watch.Attached() }

// InterfaceName implements capture.InterfaceNamer.
func (s *Source) InterfaceName(index uint32, at int64) string {
	return s.watch.InterfaceName(index, at)
}

// kinds maps the programs' kinds of counters to those of the ledger.
var kinds = map[bpf.Kind]capture.CounterKind{
	bpf.KindIn: capture.CountsIn, bpf.KindSkipped: capture.CountsSkipped, bpf.KindLost: capture.CountsLost, bpf.KindDelivered: capture.CountsDelivered,
	bpf.KindMeter: capture.CountsMeter, bpf.KindIncomplete: capture.CountsIncomplete,
}

// Kernel reads the programs' counters.
func (s *Source) Kernel() (capture.KernelStats, error) {
	hooks, err := s.kernel.Counters()
	if err != nil {
		return capture.KernelStats{}, err
	}
	var k capture.KernelStats
	for _, h := range hooks {
		stats := capture.HookStats{Hook: h.Hook}
		for _, c := range h.Counters {
			stats.Counters = append(stats.Counters, capture.Counter{Name: c.Name, Kind: kinds[c.Kind], Value: c.Value, Known: true})
		}
		k.Hooks = append(k.Hooks, stats)
	}
	return k, nil
}

// Given is the number of packets that the programs have put into the rings.
func (s *Source) Given() uint64 {
	hooks, err := s.kernel.Counters()
	if err != nil {
		return 0
	}
	var n uint64
	for _, h := range hooks {
		for _, c := range h.Counters {
			if c.Kind == bpf.KindDelivered {
				n += c.Value
			}
		}
	}
	return n
}

// Err is nil: everything that can go wrong outside the lanes goes wrong in Open.
func (s *Source) Err() error { return nil }

// Close detaches. What the rings hold can still be read.
func (s *Source) Close() error {
	var err error
	s.once.Do(func() {
		err = s.watch.Close()
		s.closing.Store(true)
	})
	return err
}

// Free removes the programs, their counters and the rings from the kernel.
func (s *Source) Free() error { return s.kernel.Close() }

// lane reads one ring.
type lane struct {
	source *Source
	ring   *bpf.Ring
	err    error // that ends the lane
	broken int   // records that were taken from the ring and are no packets
}

// Read fills b from the ring. The packets stay in the ring until the next Read.
func (l *lane) Read(b *packet.Batch) error {
	l.ring.Release()
	// Read before the wait: once closing is set nothing more enters the ring, so that
	// a ring that is empty after the wait stays empty.
	closing := l.source.closing.Load()
	if l.take(b); len(b.Packets) > 0 || l.err != nil {
		return l.end(b)
	}
	if err := l.ring.Wait(); err != nil {
		l.err = fmt.Errorf("read ring: %w", err)
		return l.err
	}
	if l.take(b); len(b.Packets) > 0 || l.err != nil {
		return l.end(b)
	}
	if closing && l.ring.Empty() {
		return io.EOF
	}
	return os.ErrDeadlineExceeded
}

// end returns the lane's error once all packets before it have been returned.
func (l *lane) end(b *packet.Batch) error {
	if len(b.Packets) > 0 {
		return nil
	}
	return l.err
}

// take fills b without waiting.
func (l *lane) take(b *packet.Batch) {
	b.Packets = b.Packets[:0]
	offset := l.source.clock.Offset()
	for most := l.ring.Size() / batchDivisor; l.err == nil && len(b.Packets) < maxBatch && l.ring.Held() < most; {
		raw, ok := l.ring.Next()
		if !ok {
			return
		}
		p, err := parsePacket(raw, offset)
		if err != nil {
			l.err, l.broken = err, 1
			return
		}
		b.Packets = append(b.Packets, p)
	}
}

// Discard implements capture.Discarder.
func (l *lane) Discard() (n int, err error) {
	closing := l.source.closing.Load()
	n, l.broken = l.broken, 0
	for _, ok := l.ring.Next(); ok; _, ok = l.ring.Next() {
		n++
	}
	l.ring.Release()
	switch {
	case n > 0:
		return n, nil
	case closing && l.ring.Empty():
		return 0, io.EOF
	}
	if l.ring.Wait() != nil { // perhaps the reason why the lane has failed
		time.Sleep(capture.ReadTimeout)
	}
	return 0, os.ErrDeadlineExceeded
}

// parsePacket turns a record of the programs into a packet that borrows its bytes.
func parsePacket(raw []byte, offset int64) (packet.Packet, error) {
	r, data, ok := bpf.ParseRecord(raw)
	if !ok {
		return packet.Packet{}, fmt.Errorf("read ring: a record of %d bytes is not in this program's format", len(raw))
	}
	p := packet.Packet{
		Data:      data,
		Time:      int64(r.BootNs) + offset,
		WireLen:   r.WireLen,
		Interface: r.Ifindex,
		Sample:    packet.Ratio{Keep: r.SampleKeep, Of: r.SampleOf},
		Link:      packet.LinkEthernet,
		VLAN:      r.VLANTCI,
		HasVLAN:   r.HasVLAN,
		Direction: packet.DirectionIn,
		Segment:   r.SegSize,
	}
	if r.Out {
		p.Direction = packet.DirectionOut
	}
	if r.L3 {
		p.Link = packet.LinkRaw
	}
	return p, nil
}

var (
	_ interface {
		capture.Source
		capture.KernelCounter
		capture.Freer
		capture.InterfaceNamer
	} = (*Source)(nil)
	_ interface {
		capture.Lane
		capture.Discarder
	} = (*lane)(nil)
)
