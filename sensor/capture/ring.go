package capture

import (
	"fmt"
	"io"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"

	"dnsmonster-sensor/bpf"
	"dnsmonster-sensor/userspace/packet"
)

// A ring lane gives up to ringBatch packets at once, and soon no more where they
// are a ringShare-th of the ring, which the kernel lacks until the next Read.
const (
	ringBatch = 256
	ringShare = 16
)

// RingOptions is what a Ring captures, and how.
type RingOptions struct {
	Interfaces []string        // or Any alone
	Names      *InterfaceNames // gets to know what they are called; nil: of no use
	Mode       Mode
	Kernel     bpf.Options // Rings is the number of lanes
	Log        *slog.Logger
	Stop       <-chan struct{} // closed: nothing more is attached; nil: never

	Promiscuous bool // see what is sent to others, too
}

// Ring is a live Source: programs on interfaces fill the kernel's ring buffers,
// one for each lane.
type Ring struct {
	kernel  *bpf.Kernel
	watch   *watch
	lanes   []*ringLane
	clock   *bootClock
	closing atomic.Bool
	stop    chan struct{}
	tasks   sync.WaitGroup
	once    sync.Once
}

// OpenRing loads the programs and attaches them to all interfaces, or to none.
func OpenRing(o RingOptions) (*Ring, error) {
	o.Kernel.XDP = o.Mode == ModeXDP
	k, err := bpf.Load(o.Kernel)
	if err != nil {
		return nil, err
	}
	if o.Names == nil {
		o.Names = NewInterfaceNames()
	}
	s := &Ring{kernel: k, clock: o.Names.clock, stop: make(chan struct{})}
	s.clock.measure()
	for _, r := range k.Rings() {
		s.lanes = append(s.lanes, &ringLane{source: s, ring: r})
	}
	if s.watch, err = newWatch(k, o, s.stop); err != nil {
		_ = k.Close()
		return nil, err
	}
	if err := s.watch.begin(); err != nil {
		_ = s.watch.close()
		s.watch.links.close()
		_ = k.Close()
		return nil, err
	}
	s.tasks.Go(func() { s.clock.follow(s.stop) })
	s.tasks.Go(s.watch.links.follow)
	s.tasks.Go(s.watch.follow)
	return s, nil
}

// Lanes returns one lane for each ring.
func (s *Ring) Lanes() []Lane {
	lanes := make([]Lane, len(s.lanes))
	for i, l := range s.lanes {
		lanes[i] = l
	}
	return lanes
}

// Live is true: nobody can ask the network to wait.
func (s *Ring) Live() bool { return true }

// Attached describes each attachment in a few words, for the start line.
func (s *Ring) Attached() []string { return s.watch.describe() }

// Kernel reads the programs' counters.
func (s *Ring) Kernel() (KernelStats, error) {
	counters, err := s.kernel.Counters()
	if err != nil {
		return KernelStats{}, err
	}
	var k KernelStats
	for _, c := range counters {
		k.Hooks = append(k.Hooks, HookStats(c))
	}
	return k, nil
}

// Given is what the kernel says it has put into the rings.
func (s *Ring) Given() uint64 {
	k, err := s.Kernel()
	if err != nil {
		return 0
	}
	var n uint64
	for _, h := range k.Hooks {
		n += h.Delivered
	}
	return n
}

// Err is nil: what can go wrong with a ring goes wrong at the start.
func (s *Ring) Err() error { return nil }

// Close detaches. What the rings hold can still be read.
func (s *Ring) Close() error {
	var err error
	s.once.Do(func() {
		close(s.stop)
		s.watch.links.close()
		s.tasks.Wait()
		err = s.watch.close()
		s.closing.Store(true)
	})
	return err
}

// Free gives the kernel's memory back, after the lanes have ended and the
// counters were read for the last time.
func (s *Ring) Free() error { return s.kernel.Close() }

// ringLane reads one ring.
type ringLane struct {
	source *Ring
	ring   *bpf.Ring
}

// Read fills b with what the ring holds, up to a batch. The packets stay in the
// ring until the next Read.
func (l *ringLane) Read(b *packet.Batch) error {
	l.ring.Release()
	// Asked before the wait: what was detached by then can be in the ring, but
	// nothing can come after it.
	closing := l.source.closing.Load()
	if err := l.take(b); err != nil || len(b.Packets) > 0 {
		return err
	}
	if err := l.ring.Wait(); err != nil {
		return fmt.Errorf("read ring: %w", err)
	}
	if err := l.take(b); err != nil || len(b.Packets) > 0 {
		return err
	}
	if closing && l.ring.Empty() {
		return io.EOF
	}
	return os.ErrDeadlineExceeded
}

// take fills b without waiting.
func (l *ringLane) take(b *packet.Batch) error {
	b.Packets = b.Packets[:0]
	offset := l.source.clock.offset.Load()
	for most := l.ring.Size() / ringShare; len(b.Packets) < ringBatch && l.ring.Held() < most; {
		raw, ok := l.ring.Next()
		if !ok {
			return nil
		}
		p, err := ringPacket(raw, offset)
		if err != nil {
			return err
		}
		b.Packets = append(b.Packets, p)
	}
	return nil
}

// ringPacket turns a kernel record into a packet that borrows its bytes.
func ringPacket(raw []byte, offset int64) (packet.Packet, error) {
	r, data, ok := bpf.ParseRecord(raw)
	if !ok {
		return packet.Packet{}, fmt.Errorf("read ring: a record of %d bytes is not of this program", len(raw))
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
