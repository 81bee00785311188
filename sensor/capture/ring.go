package capture

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cilium/ebpf/ringbuf"

	"dnsmonster-sensor/bpf"
	"dnsmonster-sensor/userspace/packet"
)

// ringBatch is how many packets a ring lane gives at once; ringWait bounds the
// wait for the first, because the kernel wakes the reader only from a watermark
// on.
const (
	ringBatch = 64
	ringWait  = 10 * time.Millisecond
)

// RingOptions is what a Ring captures, and how.
type RingOptions struct {
	Interfaces []string
	Mode       Mode
	Kernel     bpf.Options // Rings is the number of lanes
	Log        *slog.Logger

	Promiscuous bool // see what is sent to others, too
}

// Ring is a live Source: programs on interfaces fill the kernel's ring buffers,
// one for each lane.
type Ring struct {
	kernel  *bpf.Kernel
	watch   *watch
	lanes   []*ringLane
	clock   bootClock
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
	s := &Ring{kernel: k, stop: make(chan struct{})}
	s.clock.measure()
	for i, m := range k.Rings() {
		r, err := ringbuf.NewReader(m)
		if err != nil {
			s.free()
			return nil, fmt.Errorf("read ring %d: %w", i, err)
		}
		s.lanes = append(s.lanes, &ringLane{ring: s, reader: r, records: make([]ringbuf.Record, ringBatch)})
	}
	s.watch = newWatch(k, o)
	if err := s.watch.attachAll(o.Interfaces); err != nil {
		s.watch.detachAll()
		s.free()
		return nil, err
	}
	s.tasks.Go(func() { s.clock.follow(s.stop) })
	s.tasks.Go(func() { s.watch.follow(s.stop) })
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
		s.tasks.Wait()
		err = s.watch.detachAll()
		s.closing.Store(true)
	})
	return err
}

// Free gives the kernel's memory back, after the lanes have ended and the
// counters were read for the last time.
func (s *Ring) Free() error { return s.free() }

func (s *Ring) free() error {
	var errs []error
	for _, l := range s.lanes {
		errs = append(errs, l.reader.Close())
	}
	return errors.Join(append(errs, s.kernel.Close())...)
}

// ringLane reads one ring.
type ringLane struct {
	ring    *Ring
	reader  *ringbuf.Reader
	records []ringbuf.Record // their memory is used again by each Read
}

// Read fills b with what the ring holds, up to a batch.
func (l *ringLane) Read(b *packet.Batch) error {
	b.Packets = b.Packets[:0]
	// Asked before the wait: what was detached by then can be in the ring, but
	// nothing can come after it.
	closing := l.ring.closing.Load()
	offset := l.ring.clock.offset.Load()
	l.reader.SetDeadline(time.Now().Add(ringWait))
	for n := 0; n < ringBatch; n++ {
		if n > 0 && l.reader.AvailableBytes() == 0 {
			break
		}
		err := l.reader.ReadInto(&l.records[n])
		switch {
		case err == nil:
		case !errors.Is(err, os.ErrDeadlineExceeded):
			return fmt.Errorf("read ring: %w", err)
		case n > 0:
			return nil
		case closing:
			return io.EOF
		default:
			return os.ErrDeadlineExceeded
		}
		p, err := ringPacket(l.records[n].RawSample, offset)
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
