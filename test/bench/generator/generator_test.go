//go:build linux

package generator

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"runtime"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/features"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"

	"dnsmonster-sensor/test/lab/tier"
)

const iface = "dest0"

// namespace makes a network namespace with an interface, and returns its path.
func namespace(t *testing.T) string {
	t.Helper()
	tier.Kernel(t)
	if os.Geteuid() != 0 {
		t.Skip("needs root: it makes network namespaces")
	}
	if err := features.HaveProgramHelper(ebpf.XDP, asm.FnXdpStoreBytes); err != nil {
		t.Skipf("this kernel has no live frames, which came with this helper: %v", err)
	}
	name := fmt.Sprintf("sensor-generator-%d", os.Getpid())
	path, err := MakeNamespace(t.Context(), name, iface)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { RemoveNamespace(name) })
	return path
}

// packetSocket opens a socket that receives every frame of the interface.
func packetSocket(t *testing.T, namespace string) (fd int) {
	t.Helper()
	opened := make(chan error)
	go func() {
		runtime.LockOSThread() // for ever: it is in another namespace now
		opened <- func() error {
			index, _, err := enter(namespace, iface, "")
			if err != nil {
				return err
			}
			const every = unix.ETH_P_ALL>>8 | unix.ETH_P_ALL&0xff<<8 // in network byte order
			if fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0); err != nil {
				return err
			}
			return errors.Join(
				unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 64<<20),
				unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: every, Ifindex: index}))
		}()
	}()
	if err := <-opened; err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	return fd
}

// aCPU returns a processor that the test may use.
func aCPU(t *testing.T) int {
	t.Helper()
	var set unix.CPUSet
	if err := unix.SchedGetaffinity(0, &set); err != nil {
		t.Fatal(err)
	}
	for cpu := range 1024 {
		if set.IsSet(cpu) {
			return cpu
		}
	}
	t.Fatal("no processor")
	return 0
}

// frame returns a frame of n bytes that differs from those of other numbers, addressed
// to nobody.
func frame(n, number int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i*7 + number*13)
	}
	copy(b, []byte{2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 0x88, 0xb5}) // local experimental EtherType
	return b
}

func load(t *testing.T, frames ...[]byte) *Generator {
	t.Helper()
	var s Store
	for _, f := range frames {
		if ok, err := s.Add(f); !ok || err != nil {
			t.Fatal(ok, err)
		}
	}
	g, err := New(&s)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(g.Close)
	return g
}

// TestFramesArriveAsTheyAre: in order, in a loop, and unchanged, also a short one after a
// long one, and in an incomplete batch.
func TestFramesArriveAsTheyAre(t *testing.T) {
	ns := namespace(t)
	var frames [][]byte
	for i, n := range []int{frameMax, 60, 61, 1514, 14, 1500, 67, frameMax, 300} {
		frames = append(frames, frame(n, i))
	}
	g := load(t, frames...)
	fd := packetSocket(t, ns)
	const count = 1000
	for round := range 2 {
		r, err := g.Send(Load{Count: count, CPU: aCPU(t), Namespace: ns, Interface: iface})
		if err != nil {
			t.Fatal(err)
		}
		if r.Sent != count || r.Took <= 0 {
			t.Errorf("round %d: %+v", round, r)
		}
		got := make([]byte, 2*frameMax)
		for i := range count {
			n, _, err := unix.Recvfrom(fd, got, 0)
			if err != nil {
				t.Fatalf("round %d, frame %d: %v", round, i, err)
			}
			if want := frames[i%len(frames)]; !bytes.Equal(got[:n], want) {
				t.Fatalf("round %d, frame %d: %d bytes % x, want %d bytes % x", round, i, n, got[:min(n, 32)], len(want), want[:min(len(want), 32)])
			}
		}
		if _, _, err := unix.Recvfrom(fd, got, 0); err != unix.EAGAIN {
			t.Fatalf("round %d: more than was sent, or %v", round, err)
		}
	}
}

// TestSentIsSeen: a socket counts as many frames as are sent, at every rate.
func TestSentIsSeen(t *testing.T) {
	ns := namespace(t)
	g := load(t, frame(100, 0), frame(1400, 1), frame(64, 2))
	for _, rate := range []int{0, 700, 30_000, 200_000} {
		fd := packetSocket(t, ns)
		count := 200_001
		if rate > 0 {
			count = rate/4 + 1
		}
		r, err := g.Send(Load{Count: count, Rate: rate, CPU: aCPU(t), Namespace: ns, Interface: iface})
		if err != nil {
			t.Fatal(err)
		}
		st, err := unix.GetsockoptTpacketStats(fd, unix.SOL_PACKET, unix.PACKET_STATISTICS)
		if err != nil {
			t.Fatal(err)
		}
		if r.Sent != count || int(st.Packets) != count { // including those that the socket dropped
			t.Errorf("at %d/s: sent %d, seen %d, want %d", rate, r.Sent, st.Packets, count)
		}
		// Never faster than requested; slower is allowed on a busy machine.
		if early := 200 * time.Millisecond; rate > 0 && r.Took < early {
			t.Errorf("at %d/s: %d frames in %v", rate, count, r.Took)
		}
		if r.Each <= 0 || r.Each > 100*time.Microsecond {
			t.Errorf("at %d/s: a frame costs %v", rate, r.Each)
		}
		if rate == 0 && r.Idle > r.Took/2 {
			t.Errorf("at full speed: idle for %v of %v", r.Idle, r.Took)
		}
	}
}

// passAll attaches a native XDP program to the interface, which passes all frames.
func passAll(t *testing.T, namespace string) {
	t.Helper()
	prog, err := ebpf.NewProgram(&ebpf.ProgramSpec{Type: ebpf.XDP, Instructions: asm.Instructions{asm.Mov.Imm(asm.R0, xdpPass), asm.Return()}, License: "MIT"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { prog.Close() })
	attached := make(chan error)
	go func() {
		runtime.LockOSThread() // for ever: it is in another namespace now
		attached <- func() error {
			index, _, err := enter(namespace, iface, "")
			if err != nil {
				return err
			}
			l, err := link.AttachXDP(link.XDPOptions{Program: prog, Interface: index, Flags: link.XDPDriverMode})
			if err == nil {
				t.Cleanup(func() { l.Close() })
			}
			return err
		}()
	}()
	if err := <-attached; err != nil {
		t.Fatal(err)
	}
}

// TestThroughTheWire: frames that are sent at the other end pass native XDP, unchanged and
// in order.
func TestThroughTheWire(t *testing.T) {
	ns := namespace(t)
	g := load(t, frame(100, 0), frame(1400, 1), frame(64, 2))
	fd := packetSocket(t, ns)
	const count = 500
	l := Load{Count: count, Rate: 100_000, CPU: aCPU(t), Namespace: ns, Interface: iface, Through: Far}
	got := make([]byte, 2*frameMax)
	if _, err := g.Send(l); err != nil {
		t.Fatal(err)
	}
	if _, _, err := unix.Recvfrom(fd, got, 0); err != unix.EAGAIN {
		t.Errorf("without an XDP program a frame passed the wire, or %v", err)
	}
	passAll(t, ns)
	if r, err := g.Send(l); err != nil || r.Sent != count {
		t.Fatalf("%+v, %v", r, err)
	}
	for i := range count {
		n, _, err := unix.Recvfrom(fd, got, 0)
		if err != nil {
			t.Fatalf("frame %d: %v", i, err)
		}
		if want := frame([]int{100, 1400, 64}[i%3], i%3); !bytes.Equal(got[:n], want) {
			t.Fatalf("frame %d: %d bytes % x", i, n, got[:min(n, 32)])
		}
	}
}

// TestSendToNobody: without an interface, frames are made and nobody receives them.
func TestSendToNobody(t *testing.T) {
	ns := namespace(t)
	fd := packetSocket(t, ns)
	r, err := load(t, frame(100, 0)).Send(Load{Count: 1000, CPU: aCPU(t)})
	if err != nil || r.Sent != 1000 {
		t.Errorf("%+v, %v", r, err)
	}
	if _, _, err := unix.Recvfrom(fd, make([]byte, 2048), 0); err != unix.EAGAIN {
		t.Errorf("somebody received one: %v", err)
	}
}

func TestStore(t *testing.T) {
	var s Store
	if _, err := New(&s); err == nil {
		t.Error("an empty store can be sent")
	}
	for _, n := range []int{0, 13, frameMax + 1} {
		if ok, err := s.Add(make([]byte, n)); ok || err == nil {
			t.Errorf("a frame of %d bytes: %v, %v", n, ok, err)
		}
	}
	want := 0
	for ok := true; ok; {
		var err error
		if ok, err = s.Add(make([]byte, frameMax)); err != nil {
			t.Fatal(err)
		}
		if ok {
			want++
		}
	}
	if s.Frames() != want || want != storeBytes/(slotAlign+frameMax) || len(s.slots) > storeBytes {
		t.Errorf("%d frames, %d bytes; %d were taken", s.Frames(), len(s.slots), want)
	}
}

func TestSendErrors(t *testing.T) {
	ns := namespace(t)
	g := load(t, frame(100, 0))
	for _, l := range []Load{
		{Count: 1, CPU: 1 << 14},
		{Count: 1, CPU: aCPU(t), Namespace: "/run/netns/nowhere", Interface: iface},
		{Count: 1, CPU: aCPU(t), Namespace: ns, Interface: "nothing0"},
		{Count: 1, CPU: aCPU(t), Namespace: ns, Interface: iface, Through: "nothing0"},
	} {
		if r, err := g.Send(l); err == nil {
			t.Errorf("%+v: %+v, no error", l, r)
		}
	}
}

func TestMedian(t *testing.T) {
	for want, counts := range map[int][]uint32{0: {0, 0}, 1: {1, 3, 1}, 2: {1, 0, 2, 0}, 3: {0, 0, 0, 1}} {
		if got := median(counts); got != want {
			t.Errorf("median of %v is %d, want %d", counts, got, want)
		}
	}
}
