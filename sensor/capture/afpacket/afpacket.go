//go:build linux

// Package afpacket is the live input for hosts without BPF rights: packet sockets whose
// rings (TPACKET_V3) are read in place. It needs CAP_NET_RAW, and nothing else: no limit
// on locked memory counts the rings. Interfaces come in from package watch; packets that
// point into the rings come out. It must not import another input. Its tests send frames
// through veth pairs in network namespaces of their own, and compare its programs with
// models in Go and with the programs of package bpf.
//
// Each interface has one socket with one ring for each lane; with `any` one set of
// sockets receives from all interfaces, also from those that are created later. A
// classic BPF program in each socket chooses packets (filter.go). Another one chooses
// the lane (spread.go).
package afpacket

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"dnsmonster-sensor/sensor/capture"
	"dnsmonster-sensor/sensor/capture/watch"
)

// Options says what to capture, and how.
type Options struct {
	Watch  watch.Options     // with Dedup, copies come on one lane, whatever tunnel they are in
	Select capture.Selection // Sample is left to the worker
	Lanes  int               // at most so many

	// BufferBytes is the memory of all rings together, 64 MiB if it is 0. It is divided
	// among the lanes and the interfaces. A pattern has room for twice as many interfaces
	// as match when the source is opened, and for at least 4. Those beyond that have the
	// smallest rings, of 512 KiB, and with hundreds of interfaces all have: 300 interfaces
	// and 2 lanes take 300 MiB, and each ring is full after 0.2 s without a reader. For
	// these `any` is better: it needs one ring for each lane, however many interfaces
	// there are. Frames of more than 64 KiB, which the kernel has joined where an
	// administrator allows it (BIG TCP), may be cut in rings of less than 256 MiB, and
	// are counted then.
	BufferBytes int

	OnlyIncoming bool // not what this host sends
}

const defaultBuffer = 64 << 20

// Source is a live capture.Source.
type Source struct {
	lanes        []*lane
	watch        *watch.Watcher
	log          *slog.Logger
	filter       []unix.SockFilter
	spread       []unix.SockFilter
	geometry     geometry // of a ring, while the rings have not used up
	buffer       int      // bytes; then they are the smallest ones
	snapLen      uint32
	onlyIncoming bool
	control      int    // a socket that asks the kernel about interfaces
	all          *group // of any, otherwise nil

	closing atomic.Bool
	once    sync.Once
	closers sync.WaitGroup // of sockets

	mu      sync.Mutex
	sockets []*socket // open
	past    counts    // of sockets that were closed
	errs    []error   // of closing sockets
}

// maxRanges bounds how many port ranges a filter has. Each costs up to four
// instructions, and the kernel refuses long programs.
const maxRanges = 800

// Open attaches to all interfaces, or to none.
func Open(o Options) (*Source, error) {
	if o.Lanes < 1 {
		return nil, fmt.Errorf("packet sockets: %d lanes", o.Lanes)
	}
	s := &Source{log: cmp.Or(o.Watch.Log, slog.New(slog.DiscardHandler)), snapLen: o.Select.SnapLen, onlyIncoming: o.OnlyIncoming, control: -1}
	o.Watch.Log = s.log
	if o.Watch.Dedup && len(o.Select.Decap) > 0 && o.Lanes > 1 {
		// The program that chooses the lane sees the outermost addresses only.
		o.Lanes = 1
		s.log.Info("one worker has all packets: --dedup has to compare those inside and outside of tunnels (--decap)")
	}
	s.buffer = cmp.Or(o.BufferBytes, defaultBuffer)
	s.geometry = geometryOf(s.buffer, o.Lanes*interfacesPlanned(o.Watch.Interfaces))
	if err := s.geometry.check(o.Lanes); err != nil {
		return nil, err
	}
	if err := s.open(o); err != nil {
		_ = s.Close()
		_ = s.Free()
		return nil, err
	}
	return s, nil
}

func (s *Source) open(o Options) (err error) {
	if s.filter, err = fittingFilter(o.Select, o.OnlyIncoming); err != nil {
		return err
	}
	if s.spread, err = spread(o.Select); err != nil {
		return err
	}
	if s.control, err = unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0); err != nil {
		return fmt.Errorf("ask for interfaces: %w", err)
	}
	for range o.Lanes {
		l, err := newLane(s)
		if err != nil {
			return err
		}
		s.lanes = append(s.lanes, l)
	}
	if slices.Equal(o.Watch.Interfaces, []string{watch.Any}) {
		g, err := s.newGroup(0)
		if err != nil {
			return err
		}
		if err := s.adopt(g); err != nil {
			return err
		}
		s.all = g
	}
	s.watch, err = watch.Open(attacher{s}, o.Watch)
	return err
}

// fittingFilter returns the most exact filter that the kernel takes.
func fittingFilter(sel capture.Selection, onlyIncoming bool) ([]unix.SockFilter, error) {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("try a filter: %w", err)
	}
	k := &socket{fd: fd}
	defer unix.Close(fd)
	for ranges := maxRanges; ; ranges /= 2 {
		code, err := filter(sel, onlyIncoming, ranges)
		if err == nil {
			err = k.setFilter(code)
		}
		if err == nil || ranges <= 1 {
			return code, err
		}
	}
}

// nextGeometry is that of the rings of another interface.
func (s *Source) nextGeometry() geometry {
	s.mu.Lock()
	defer s.mu.Unlock()
	used := 0
	for _, k := range s.sockets {
		used += len(k.ring.memory)
	}
	if used+s.geometry.block*s.geometry.blocks*len(s.lanes) > s.buffer {
		return geometry{minBlock, minBlocks, s.geometry.retire}
	}
	return s.geometry
}

// interfacesPlanned is how many interfaces the memory is divided among.
func interfacesPlanned(words []string) (n int) {
	if slices.Contains(words, watch.Any) {
		return 1
	}
	all, _ := watch.Interfaces() // without them the shares are larger
	for _, word := range words {
		matches := 0
		for _, i := range all {
			if watch.Matches(word, i.Name) {
				matches++
			}
		}
		if watch.IsPattern(word) {
			matches = max(2*matches, 4)
		}
		n += max(matches, 1)
	}
	return n
}

// adopt gives each lane its ring of a group.
func (s *Source) adopt(g *group) error {
	s.mu.Lock()
	s.sockets = append(s.sockets, g.sockets...)
	s.mu.Unlock()
	for i, l := range s.lanes {
		if err := l.add(g.sockets[i].ring); err != nil {
			for _, k := range g.sockets[i:] {
				s.closeSocket(k)
			}
			for _, k := range g.sockets[:i] { // their lanes have them
				err = errors.Join(err, k.end())
			}
			return err
		}
	}
	return nil
}

// closeSocket closes a socket that nobody reads any more. The kernel takes milliseconds
// for it.
func (s *Source) closeSocket(k *socket) {
	s.mu.Lock()
	s.past.add(k.final())
	s.sockets = slices.DeleteFunc(s.sockets, func(other *socket) bool { return other == k })
	s.mu.Unlock()
	s.closers.Go(func() { // until Free
		if err := k.close(); err != nil {
			s.mu.Lock()
			s.errs = append(s.errs, err)
			s.mu.Unlock()
		}
	})
}

// Lanes implements capture.Source.
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

// counts returns the sums of all sockets, closed ones too.
func (s *Source) counts() counts {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.past
	for _, k := range s.sockets {
		c.add(k.current())
	}
	return c
}

// Kernel implements capture.KernelCounter. Frames that the filters did not pass are not
// counted by the kernel.
func (s *Source) Kernel() (capture.KernelStats, error) {
	c := s.counts()
	return capture.KernelStats{Hooks: []capture.HookStats{{Hook: "af_packet", Filtered: true, Counters: []capture.Counter{
		{Name: "in", Kind: capture.CountsIn, Value: c.in, Known: true}, // passed the filter
		{Name: "ring_full", Kind: capture.CountsLost, Value: c.full, Known: true},
		{Name: "copy_failed", Kind: capture.CountsLost, Value: c.failed, Known: true},
		{Name: "not_read", Kind: capture.CountsLost, Value: c.missing, Known: true},
		{Name: "delivered", Kind: capture.CountsDelivered, Value: c.delivered(), Known: true},
		{Name: "ring_freezes", Kind: capture.CountsMeter, Value: c.freezes, Known: true},
		{Name: "losing_blocks", Kind: capture.CountsMeter, Value: c.losing, Known: true},
		{Name: "overlong", Kind: capture.CountsIncomplete, Value: c.cut, Known: true},
	}}}}, nil
}

// Given is the number of packets that the kernel has put into the rings.
func (s *Source) Given() uint64 { return s.counts().delivered() }

// Err is nil: everything that can go wrong outside the lanes goes wrong in Open.
func (s *Source) Err() error { return nil }

// Close ends the intake. What the rings hold can still be read.
func (s *Source) Close() (err error) {
	s.once.Do(func() {
		if s.watch != nil {
			err = s.watch.Close()
		}
		if s.all != nil {
			err = errors.Join(err, s.all.Close())
		}
		s.closing.Store(true)
		for _, l := range s.lanes {
			l.wake()
		}
	})
	return err
}

// Free closes all sockets.
func (s *Source) Free() error {
	s.mu.Lock()
	left := slices.Clone(s.sockets)
	s.mu.Unlock()
	for _, k := range left { // no lane has read them to the end
		s.closeSocket(k)
	}
	s.closers.Wait()
	errs := s.errs
	for _, l := range s.lanes {
		errs = append(errs, l.free())
	}
	if s.control >= 0 {
		errs = append(errs, unix.Close(s.control))
		s.control = -1
	}
	return errors.Join(errs...)
}

var _ interface {
	capture.Source
	capture.KernelCounter
	capture.Freer
	capture.InterfaceNamer
} = (*Source)(nil)
