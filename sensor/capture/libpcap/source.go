//go:build (libpcap && cgo) || windows

package libpcap

import (
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"dnsmonster-sensor/sensor/capture"
	"dnsmonster-sensor/sensor/capture/watch"
	"dnsmonster-sensor/userspace/packet"
)

// Source is a live capture.Source: handles of libpcap on interfaces.
type Source struct {
	watch     *watch.Watcher
	lanes     []*lane
	choose    func(*packet.Packet) packet.Hash
	chunks    chunkPool
	settings  settings
	selection capture.Selection
	log       *slog.Logger
	once      sync.Once

	mu       sync.Mutex
	attached map[*attachment]bool
	closed   counts               // of attachments that have ended
	warned   map[string]time.Time // when a line was logged last
}

// maxSnapLen is libpcap's own limit for the bytes of a packet.
const maxSnapLen = 256 << 10

// The least memory of a handle and of a lane.
const (
	minHandleBytes = 2 << 20
	minLaneBytes   = 16 * chunkLen
)

// Open opens handles on all interfaces, or on none.
func Open(o Options) (*Source, error) {
	if err := Supported(); err != nil {
		return nil, err
	}
	if o.BufferBytes == 0 {
		o.BufferBytes = DefaultBufferBytes
	}
	s := &Source{
		log: o.Watch.Log, choose: o.Choose, settings: settingsOf(o), selection: o.Select,
		attached: make(map[*attachment]bool), warned: make(map[string]time.Time),
	}
	o.Lanes = max(o.Lanes, 1)
	limit := max(o.BufferBytes/2/o.Lanes, minLaneBytes, maxSnapLen+chunkLen)
	for range o.Lanes {
		s.lanes = append(s.lanes, newLane(&s.chunks, limit))
	}
	var err error
	if s.watch, err = watch.Open(s, o.Watch); err != nil {
		return nil, err
	}
	return s, nil
}

func settingsOf(o Options) settings {
	handles := 2 * len(o.Watch.Interfaces)
	if slices.ContainsFunc(o.Watch.Interfaces, watch.IsPattern) {
		all, _ := Devices()
		handles = 2 * len(all)
	}
	t := settings{
		snapLen: maxSnapLen, promiscuous: o.Watch.Promiscuous && !watchIsPromiscuous,
		bufferBytes: max(o.BufferBytes/2/max(handles, 1), minHandleBytes),
	}
	if n := int(o.Select.SnapLen); n > 0 {
		t.snapLen = min(n, maxSnapLen)
	}
	return t
}

// Attach implements watch.Attacher.
func (s *Source) Attach(index int) (watch.Attachment, error) {
	d, err := findDevice(index)
	if err != nil {
		return nil, err
	}
	a, err := s.attach(d)
	if err != nil {
		return nil, fmt.Errorf("libpcap: %w", err)
	}
	return a, nil
}

// retire keeps the counters of an attachment that ends.
func (s *Source) retire(a *attachment) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.attached, a)
	a.sum(&s.closed)
}

// laneOf returns the number of a packet's lane.
func (s *Source) laneOf(p *packet.Packet) int {
	if len(s.lanes) == 1 || s.choose == nil {
		return 0
	}
	return s.choose(p).Lane(len(s.lanes))
}

// warn logs what the library says about an interface that it captures all the same, at
// most once a minute for an interface: an interface that comes and goes may say it many
// times.
func (s *Source) warn(d device, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if time.Since(s.warned[d.name]) < time.Minute {
		return
	}
	maps.DeleteFunc(s.warned, func(_ string, at time.Time) bool { return time.Since(at) >= time.Minute })
	s.warned[d.name] = time.Now()
	s.log.Warn("libpcap has a warning", "interface", d.name, "error", err)
}

// Lanes returns one lane for each reader.
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

// Given is the number of packets that the lanes were given.
func (s *Source) Given() (n uint64) {
	for _, l := range s.lanes {
		given, _ := l.counts()
		n += given
	}
	return n
}

// Kernel implements capture.KernelCounter. What came in is what was read, and what the
// system says it has dropped.
func (s *Source) Kernel() (capture.KernelStats, error) {
	var delivered, full uint64
	for _, l := range s.lanes {
		g, f := l.counts()
		delivered, full = delivered+g, full+f
	}
	sum := s.dropped()
	return capture.KernelStats{Hooks: []capture.HookStats{{Hook: "libpcap", Filtered: true, Counters: []capture.Counter{
		{Name: "in", Kind: capture.CountsIn, Value: delivered + full + sum.dropped, Known: !sum.unknown},
		{Name: "ring_full", Kind: capture.CountsLost, Value: sum.dropped, Known: !sum.unknown},
		{Name: "lane_full", Kind: capture.CountsLost, Value: full, Known: true},
		{Name: "delivered", Kind: capture.CountsDelivered, Value: delivered, Known: true},
		{Name: "interface_dropped", Kind: capture.CountsMeter, Value: sum.interfaceDropped, Known: !sum.unknown && knowsInterfaceDrops},
	}}}}, nil
}

// dropped asks the system for its counters.
func (s *Source) dropped() counts {
	for {
		s.mu.Lock()
		open := slices.Collect(maps.Keys(s.attached))
		before := s.closed
		s.mu.Unlock()
		sum := before
		for _, a := range open {
			a.add(&sum)
		}
		s.mu.Lock()
		same := s.closed == before && len(s.attached) == len(open)
		s.mu.Unlock()
		if same { // none has moved from one to the other meanwhile
			return sum
		}
	}
}

// Err is nil: an interface that cannot be read any more is attached again.
func (s *Source) Err() error { return nil }

// Close ends the capture. What came before can still be read.
func (s *Source) Close() (err error) {
	s.once.Do(func() {
		s.mu.Lock()
		for a := range s.attached { // all at once: each needs a moment
			a.stop()
		}
		s.mu.Unlock()
		err = s.watch.Close()
		for _, l := range s.lanes {
			l.close()
		}
	})
	return err
}

// Free implements capture.Freer.
func (s *Source) Free() error {
	s.chunks.mu.Lock()
	defer s.chunks.mu.Unlock()
	s.chunks.free = nil
	return nil
}

var (
	_ interface {
		capture.Source
		capture.KernelCounter
		capture.Freer
		capture.InterfaceNamer
		watch.Attacher
	} = (*Source)(nil)
	_ interface {
		capture.Lane
		capture.Discarder
	} = (*lane)(nil)
	_ interface {
		watch.Attachment
		watch.Ender
	} = (*attachment)(nil)
)
