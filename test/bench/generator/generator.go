//go:build linux

// Package generator makes frames arrive at an interface, on one processor and faster
// than a process could send them. Frames and a rate come in; the result is what was
// sent. The kernel runs an XDP program on its own frames (BPF_F_TEST_XDP_LIVE_FRAMES),
// which copies each frame from a store and passes it to the network stack. It imports
// nothing of this project but, in tests, the tiers.
//
// The frames pass no driver, and start where a driver hands over received frames: TC
// programs and packet sockets see them, an XDP program of the interface does not.
package generator

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"os"
	"runtime"
	"time"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

// As in generator.bpf.c.
const (
	storeBytes = 64 << 20
	frameMax   = 2048
	slotAlign  = 8

	xdpDrop     = 1
	xdpPass     = 2
	xdpRedirect = 4
)

// burstMax bounds a burst of frames, as a driver takes them from a network card. It is
// also the largest batch of the kernel's test run.
const burstMax = 64

// burstsPerSecond is the number of bursts at low rates.
const burstsPerSecond = 1000

// Store holds frames for a Generator. Its zero value is empty.
type Store struct {
	slots  []byte
	frames int
}

// Add appends a copy of a frame. It returns false, and adds nothing, if the store is
// full.
func (s *Store) Add(frame []byte) (bool, error) {
	if len(frame) < 14 || len(frame) > frameMax {
		return false, fmt.Errorf("store a frame: %d bytes, want 14 to %d", len(frame), frameMax)
	}
	if len(s.slots)+slotAlign+frameMax > storeBytes {
		return false, nil
	}
	s.slots = binary.NativeEndian.AppendUint64(s.slots, uint64(len(frame)))
	s.slots = append(s.slots, frame...)
	for len(s.slots)%slotAlign != 0 {
		s.slots = append(s.slots, 0)
	}
	s.frames++
	return true, nil
}

// Frames returns the number of frames in the store.
func (s *Store) Frames() int { return s.frames }

// Generator sends the frames of a store in a loop.
type Generator struct {
	coll *ebpf.Collection
	used uint32
}

// New loads the program with a copy of the frames. The caller closes the Generator.
func New(s *Store) (*Generator, error) {
	if s.frames == 0 {
		return nil, errors.New("load generator: the store is empty")
	}
	spec, err := loadGenerator()
	if err != nil {
		return nil, err
	}
	whole := make([]byte, storeBytes)
	copy(whole, s.slots)
	if err := spec.Variables[generatorVarStore].Set(whole); err != nil {
		return nil, err
	}
	coll, err := ebpf.NewCollection(spec)
	if err != nil {
		return nil, fmt.Errorf("load generator: %w", err)
	}
	return &Generator{coll, uint32(len(s.slots))}, nil
}

// Close frees the program and its frames.
func (g *Generator) Close() { g.coll.Close() }

// Load says what to send, and where.
type Load struct {
	Count int
	Rate  int // frames per second; 0: full speed
	CPU   int // the processor that sends

	// Namespace is the path of a network namespace, and Interface the interface in it at
	// which frames arrive. Without an Interface, frames are made and dropped.
	Namespace, Interface string

	// Through is the other end of the veth pair of Interface, if frames are to be sent
	// there: then they pass the driver of Interface, and native XDP programs see them.
	// Until one is attached nothing arrives.
	Through string
}

// Result is the result of a Load.
type Result struct {
	Sent int           // exact number of frames
	Took time.Duration // from the first frame to the last
	Idle time.Duration // part of Took: waiting for the time of the next burst
	// Each is what a frame costs the processor that sends, without waiting: the median of
	// all bursts, which does not have what other programs take of the processor.
	Each time.Duration
}

// PerSecond returns the rate that was reached.
func (r Result) PerSecond() float64 { return float64(r.Sent) / max(r.Took.Seconds(), 1e-9) }

// Send sends a load and returns when all of it is sent. If the processor is too slow for
// the rate, it takes longer: it only catches up after delays of a few milliseconds.
func (g *Generator) Send(l Load) (Result, error) {
	var r Result
	err := make(chan error)
	go func() {
		runtime.LockOSThread() // for ever: the thread's affinity and namespace end with it
		var e error
		r, e = g.send(l)
		err <- e
	}()
	return r, <-err
}

func (g *Generator) send(l Load) (Result, error) {
	var cpus unix.CPUSet
	cpus.Set(l.CPU)
	if err := unix.SchedSetaffinity(0, &cpus); err != nil {
		return Result{}, fmt.Errorf("send from processor %d: %w", l.CPU, err)
	}
	asked := generatorLoad{Count: uint64(l.Count), Burst: burstMax, Used: g.used, Verdict: xdpDrop}
	if l.Rate > 0 {
		asked.Burst = uint32(min(max(l.Rate/burstsPerSecond, 1), burstMax))
		asked.Gap = uint64(asked.Burst) * uint64(time.Second) / uint64(l.Rate)
	}
	run := &ebpf.RunOptions{Data: make([]byte, frameMax), Repeat: uint32(l.Count), BatchSize: asked.Burst, Flags: unix.BPF_F_TEST_XDP_LIVE_FRAMES}
	if l.Interface != "" {
		index, through, err := enter(l.Namespace, l.Interface, l.Through)
		if err != nil {
			return Result{}, err
		}
		asked.Verdict = xdpPass
		if through > 0 {
			asked.Verdict, asked.Target = xdpRedirect, uint32(through)
		}
		run.Context = &arrival{DataEnd: frameMax, Ifindex: uint32(index)}
	}
	if err := g.coll.Variables[generatorVarAsked].Set(&asked); err != nil {
		return Result{}, err
	}
	var done generatorProgress
	if err := g.coll.Variables[generatorVarDone].Set(&done); err != nil {
		return Result{}, err
	}
	if err := g.coll.Variables[generatorVarTook].Set(make([]uint32, tookCount)); err != nil {
		return Result{}, err
	}
	if _, err := g.coll.Programs[generatorProgGenerate].Run(run); err != nil {
		return Result{}, fmt.Errorf("send %d frames: %w", l.Count, err)
	}
	if err := g.coll.Variables[generatorVarDone].Get(&done); err != nil {
		return Result{}, err
	}
	if done.Sent != asked.Count {
		return Result{}, fmt.Errorf("send %d frames: the program made %d", l.Count, done.Sent)
	}
	took := make([]uint32, tookCount)
	if err := g.coll.Variables[generatorVarTook].Get(&took); err != nil {
		return Result{}, err
	}
	each := time.Duration(median(took)) * tookUnit / time.Duration(asked.Burst)
	return Result{int(done.Sent), time.Duration(done.End - done.Begin), time.Duration(done.Waited), each}, nil
}

// The counters of bursts by their time, as the program has them.
const (
	tookCount = 8192
	tookUnit  = 128 * time.Nanosecond
)

// median returns the index of the counter that holds the median.
func median(counts []uint32) int {
	var all, half uint64
	for _, n := range counts {
		all += uint64(n)
	}
	for i, n := range counts {
		if half += uint64(n); 2*half > all {
			return i
		}
	}
	return 0
}

// arrival is struct xdp_md, which says where a frame arrives.
type arrival struct {
	Data, DataEnd, DataMeta uint32
	Ifindex, Queue          uint32
	EgressIfindex           uint32
}

// enter moves the thread into a network namespace and returns the indexes of interfaces
// there. A name may be empty: then the index is 0.
func enter(namespace, name, through string) (index, other int, err error) {
	f, err := os.Open(namespace)
	if err != nil {
		return 0, 0, fmt.Errorf("open network namespace: %w", err)
	}
	defer f.Close()
	if err := unix.Setns(int(f.Fd()), unix.CLONE_NEWNET); err != nil {
		return 0, 0, fmt.Errorf("enter network namespace %s: %w", namespace, err)
	}
	var all [2]int
	for i, name := range []string{name, through} {
		if name == "" {
			continue
		}
		dev, err := net.InterfaceByName(name)
		if err != nil {
			return 0, 0, fmt.Errorf("send to %s: %w", name, err)
		}
		all[i] = dev.Index
	}
	return all[0], all[1], nil
}
