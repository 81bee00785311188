//go:build linux

package bpf

import (
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
	"unsafe"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"dnsmonster-sensor/test/await"
	"dnsmonster-sensor/test/lab/namespace"
)

// inNamespace moves the test's thread into a network namespace of its own, with
// lo up. IPv6 is off, so that there are no packets but the test's own.
func inNamespace(t *testing.T) {
	t.Helper()
	needRoot(t)
	namespace.Enter(t)
	up(t, "lo")
	for _, set := range []string{"all", "default"} {
		// The file belongs to the namespace of the thread that opens it.
		_ = os.WriteFile("/proc/sys/net/ipv6/conf/"+set+"/disable_ipv6", []byte("1"), 0o644)
	}
}

func ip(t *testing.T, args string) {
	t.Helper()
	if out, err := exec.Command("ip", strings.Fields(args)...).CombinedOutput(); err != nil {
		t.Fatalf("ip %s: %v: %s", args, err, out)
	}
}

func tcCommand(t *testing.T, args string) {
	t.Helper()
	if out, err := exec.Command("tc", strings.Fields(args)...).CombinedOutput(); err != nil {
		t.Fatalf("tc %s: %v: %s", args, err, out)
	}
}

func up(t *testing.T, name string) {
	t.Helper()
	ip(t, "link set "+name+" up")
}

// carrier waits until the kernel sends again on an interface whose peer was down;
// until then it drops packets.
func carrier(t *testing.T, name string) {
	t.Helper()
	await.True(t, name+" has a carrier", func() bool {
		l, err := netlink.LinkByName(name)
		return err == nil && l.Attrs().OperState == netlink.OperUp
	})
}

func index(t *testing.T, name string) int {
	t.Helper()
	l, err := netlink.LinkByName(name)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return l.Attrs().Index
}

// veth makes a pair v0 and v1 in this namespace, and returns their indexes.
func veth(t *testing.T) (v0, v1 int) {
	t.Helper()
	ip(t, "link add v0 type veth peer name v1")
	up(t, "v0")
	up(t, "v1")
	return index(t, "v0"), index(t, "v1")
}

// send sends a frame out of an interface.
func send(t *testing.T, ifindex int, frame []byte) {
	t.Helper()
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	if err := unix.Sendto(fd, frame, 0, &unix.SockaddrLinklayer{Ifindex: ifindex}); err != nil {
		t.Fatal(err)
	}
}

// tunDevice opens a tun or tap device. The device receives what is written to the file.
func tunDevice(t *testing.T, name string, flags uint16) *os.File {
	t.Helper()
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Skipf("no tun device: %v", err)
	}
	var req struct {
		name  [unix.IFNAMSIZ]byte
		flags uint16
		_     [22]byte
	}
	copy(req.name[:], name)
	req.flags = flags | unix.IFF_NO_PI
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.TUNSETIFF, uintptr(unsafe.Pointer(&req))); errno != 0 {
		t.Fatalf("make %s: %v", name, errno)
	}
	up(t, name)
	f := os.NewFile(uintptr(fd), name)
	t.Cleanup(func() { f.Close() })
	return f
}

// seen waits until a hook has counted n packets, and then a moment for any more.
func (s *kit) seen(hook string, n uint64) {
	s.t.Helper()
	await.Within(await.Limit, func() bool {
		c := s.counters(hook)
		return c.value("seen") >= n && c.outcomes() >= n
	})
	time.Sleep(20 * time.Millisecond)
	if c := s.counters(hook); c.value("seen") != n || c.outcomes() != n {
		s.t.Errorf("%s: %+v, want %d seen", hook, c, n)
	}
}

func (s *kit) attach(ifindex int, mode Mode) *Attachment {
	s.t.Helper()
	a, err := s.k.Attach(ifindex, mode)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { a.Close() })
	return a
}

func wantLines(t *testing.T, ifindex int, want ...string) {
	t.Helper()
	n, err := FindNeighbours(ifindex)
	if err != nil {
		t.Fatal(err)
	}
	lines := n.Lines()
	if len(lines) != len(want) {
		t.Errorf("neighbours %q, want %q", lines, want)
		return
	}
	for i, w := range want {
		if !strings.Contains(lines[i], w) {
			t.Errorf("neighbours %q, want %q", lines, want)
		}
	}
}

func hardwareAddress(t *testing.T, ifindex int) []byte {
	t.Helper()
	l, err := netlink.LinkByIndex(ifindex)
	if err != nil {
		t.Fatal(err)
	}
	return l.Attrs().HardwareAddr
}
