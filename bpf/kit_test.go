//go:build linux

package bpf

import (
	"bytes"
	"errors"
	"os"
	"runtime"
	"testing"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"dnsmonster-sensor/test/lab/tier"
)

func needRoot(t testing.TB) {
	t.Helper()
	tier.Kernel(t)
	if os.Geteuid() != 0 {
		t.Skip("needs root: it loads programs into the kernel")
	}
}

// onOneCPU pins the test's thread to one CPU, so that a per-CPU counter counts all.
func onOneCPU(t *testing.T) {
	t.Helper()
	var old, one unix.CPUSet
	runtime.LockOSThread()
	if err := unix.SchedGetaffinity(0, &old); err != nil {
		t.Fatal(err)
	}
	for cpu := range 1024 {
		if old.IsSet(cpu) {
			one.Set(cpu)
			break
		}
	}
	if err := unix.SchedSetaffinity(0, &one); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		unix.SchedSetaffinity(0, &old)
		runtime.UnlockOSThread()
	})
}

// kit is a loaded Kernel with what tests ask of it.
type kit struct {
	t   *testing.T
	k   *Kernel
	xdp bool // the XDP programs are loaded
	tap bool // no others, and they drop all
}

// needXDP skips the test where the kernel cannot run the XDP programs.
func needXDP(t *testing.T) {
	t.Helper()
	needRoot(t)
	if err := HaveXDP(); errors.Is(err, ebpf.ErrNotSupported) {
		t.Skip(err)
	} else if err != nil {
		t.Fatal(err)
	}
}

// lacks reports whether a program is for XDP and was not loaded.
func (s *kit) lacks(program string) bool { return hookOf(program) == "xdp" && !s.xdp && !s.tap }

// newKit loads the programs for port 53 with one small ring, unless o says otherwise.
// It does not load those for XDP if the kernel cannot run them.
func newKit(t *testing.T, o Options) *kit {
	t.Helper()
	needRoot(t)
	if o.Ports == nil {
		o.Ports = []uint16{53}
	}
	if o.Rings == 0 {
		o.Rings = 1
	}
	if o.RingBytes == 0 {
		o.RingBytes = 1 << 20
	}
	if err := HaveXDP(); o.XDP && err != nil {
		t.Log(err)
		o.XDP = false
	}
	k, err := Load(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { k.Close() })
	return &kit{t: t, k: k, xdp: o.XDP, tap: o.Tap}
}

func (s *kit) counters(hook string) *HookCounters {
	s.t.Helper()
	all, err := s.k.Counters()
	if err != nil {
		s.t.Fatal(err)
	}
	for _, c := range all {
		if c.Hook == hook {
			return &c
		}
	}
	s.t.Fatalf("no counters of %s", hook)
	return nil
}

func (s *kit) program(name string) *ebpf.Program {
	s.t.Helper()
	p := s.k.coll.Programs[name]
	if p == nil {
		s.t.Fatalf("no program %s", name)
	}
	return p
}

func hookOf(program string) string {
	switch program {
	case sensorProgXdpEth, sensorProgXdpL3:
		return "xdp"
	case sensorProgTcEgressEth, sensorProgTcEgressL3:
		return "tc egress"
	}
	return "tc ingress"
}

// run runs a program once and returns the packet's outcome. Whatever the outcome, the
// packet must go on unchanged, or be dropped by a tap, and be counted once.
func (s *kit) run(program string, packet, context []byte) string {
	s.t.Helper()
	before := s.counters(hookOf(program))
	o := &ebpf.RunOptions{Data: packet, DataOut: make([]byte, len(packet)+256)}
	if context != nil {
		o.Context = context
	}
	ret, err := s.program(program).Run(o)
	if err != nil {
		s.t.Fatalf("%s, %d bytes: %v", program, len(packet), err)
	}
	want := uint32(0xffffffff) // TC_ACT_UNSPEC
	switch {
	case s.tap:
		want = xdpDrop
	case hookOf(program) == "xdp":
		want = xdpPass
	}
	if ret != want {
		s.t.Errorf("%s returns %d, want %d", program, ret, want)
	}
	if !bytes.Equal(o.DataOut, packet) {
		s.t.Errorf("%s changed the packet", program)
	}
	return s.outcome(before, s.counters(hookOf(program)))
}

func (s *kit) outcome(before, after *HookCounters) string {
	s.t.Helper()
	if after.value("seen") != before.value("seen")+1 || after.outcomes() != before.outcomes()+1 {
		s.t.Errorf("counters: %+v, then %+v", before, after)
	}
	for i, c := range after.Counters {
		if c.isOutcome() && c.Value > before.Counters[i].Value {
			return c.Name
		}
	}
	return "none"
}

// value returns the value of a counter, which must exist.
func (h *HookCounters) value(name string) uint64 {
	for _, c := range h.Counters {
		if c.Name == name {
			return c.Value
		}
	}
	panic("no counter " + name)
}

func (c *Counter) isOutcome() bool {
	return c.Kind == KindSkipped || c.Kind == KindLost || c.Kind == KindDelivered
}

// outcomes returns the sum of all outcomes, which should equal seen.
func (h *HookCounters) outcomes() (n uint64) {
	for _, c := range h.Counters {
		if c.isOutcome() {
			n += c.Value
		}
	}
	return n
}

// next returns the next record of any ring, and the ring's index, -1 if all are
// empty. The data is valid until the next call.
func (s *kit) next() (rec Record, data []byte, ring int) {
	s.t.Helper()
	for i, r := range s.k.Rings() {
		r.Release()
		raw, ok := r.Next()
		if !ok {
			continue
		}
		rec, data, ok := ParseRecord(raw)
		if !ok {
			s.t.Fatalf("%d bytes are no record", len(raw))
		}
		return rec, data, i
	}
	return Record{}, nil, -1
}

// want runs a program and checks the outcome and the ring.
func (s *kit) want(outcome, program string, packet []byte) {
	s.t.Helper()
	if s.lacks(program) {
		return
	}
	if got := s.run(program, packet, nil); got != outcome {
		s.t.Errorf("%s: %s, want %s: % x", program, got, outcome, packet[:min(len(packet), 80)])
	}
	_, data, ring := s.next()
	if outcome != "delivered" {
		if ring >= 0 {
			s.t.Errorf("%s: %s, and yet in ring %d", program, outcome, ring)
		}
		return
	}
	if !bytes.Equal(data, packet) {
		s.t.Errorf("%s: %d bytes in the ring, want the packet's %d", program, len(data), len(packet))
	}
}
