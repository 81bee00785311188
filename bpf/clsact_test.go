//go:build linux

package bpf

import (
	"errors"
	"fmt"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// addFilter adds a filter of somebody else.
func addFilter(t *testing.T, f netlink.Filter) {
	t.Helper()
	if err := netlink.FilterAdd(f); err != nil {
		t.Fatal(err)
	}
}

func neighbourFilter(t *testing.T, ifindex int, priority uint16, handle uint32) *netlink.BpfFilter {
	return &netlink.BpfFilter{
		FilterAttrs: netlink.FilterAttrs{
			LinkIndex: ifindex, Parent: netlink.HANDLE_MIN_INGRESS, Handle: handle, Protocol: unix.ETH_P_ALL, Priority: priority,
		},
		Fd: verdictProgram(t, ebpf.SchedCLS, tcActOK).FD(), Name: "neighbour", DirectAction: true,
	}
}

// Others have the first priority already, with a filter that ends the chain for every
// packet that it sees.
func TestClsactBesideFirstPriority(t *testing.T) {
	const ours, egress = "ingress: dnsmonster-sensor, bpf, priority ", "egress: dnsmonster-sensor, bpf, priority 1"
	s := newKit(t, Options{})
	total := uint64(0)
	f := func(name string, priority uint16, handle uint32, protocol uint16, seen uint64, want ...string) {
		t.Run(name, func(t *testing.T) {
			inNamespace(t)
			v0, v1 := veth(t)
			tcCommand(t, "qdisc add dev v0 clsact")
			other := neighbourFilter(t, v0, priority, handle)
			other.Protocol = protocol
			addFilter(t, other)
			a := s.attach(v0, ModeClsact)
			wantLines(t, v0, append(want, egress)...)
			send(t, v1, query4(80))
			total += seen
			s.seen("tc ingress", total)
			if !a.Alive() {
				t.Error("not alive")
			}
			if err := a.Close(); err != nil {
				t.Error(err)
			}
			wantLines(t, v0, "ingress: neighbour")
		})
	}
	f("same priority and handle", 1, 1, unix.ETH_P_ALL, 1, ours+"1", "ingress: neighbour, bpf, priority 1")
	f("other handle", 1, 2, unix.ETH_P_ALL, 1, ours+"1", "ingress: neighbour, bpf, priority 1")
	f("later priority", 2, 1, unix.ETH_P_ALL, 1, ours+"1", "ingress: neighbour, bpf, priority 2")
	// All filters of a priority have one protocol, so here ours can only follow.
	f("other protocol", 1, 1, unix.ETH_P_IP, 0, "ingress: neighbour, bpf, priority 1", ours+"2")
}

// Alive notices filters that others have removed or replaced.
func TestClsactRemovedByOthers(t *testing.T) {
	s := newKit(t, Options{})
	total := uint64(0)
	f := func(name string, remove func(t *testing.T, v0 int)) {
		t.Run(name, func(t *testing.T) {
			inNamespace(t)
			v0, v1 := veth(t)
			a := s.attach(v0, ModeClsact)
			if !a.Alive() {
				t.Error("not alive")
			}
			remove(t, v0)
			if a.Alive() {
				t.Error("alive without its filter")
			}
			if err := a.Close(); err != nil {
				t.Error(err)
			}
			s.attach(v0, ModeClsact)
			send(t, v1, query4(80))
			total++
			s.seen("tc ingress", total)
		})
	}
	ours := func(t *testing.T, v0 int) *netlink.BpfFilter {
		list, err := netlink.FilterList(&netlink.Device{LinkAttrs: netlink.LinkAttrs{Index: v0}}, netlink.HANDLE_MIN_INGRESS)
		if err != nil || len(ourFilters(list)) != 1 {
			t.Fatalf("filters %v, %v", list, err)
		}
		return ourFilters(list)[0]
	}
	f("qdisc", func(t *testing.T, v0 int) { tcCommand(t, "qdisc del dev v0 clsact") })
	f("filters", func(t *testing.T, v0 int) { tcCommand(t, "filter del dev v0 ingress") })
	f("egress filters", func(t *testing.T, v0 int) { tcCommand(t, "filter del dev v0 egress") })
	f("replaced under our name", func(t *testing.T, v0 int) {
		other := neighbourFilter(t, v0, 1, ours(t, v0).Handle)
		other.Name = FilterName
		if err := netlink.FilterReplace(other); err != nil {
			t.Fatal(err)
		}
	})
}

// A process without rights can neither keep us from attaching nor make a stale filter
// look like one in use.
func TestClsactMarkNeedsRights(t *testing.T) {
	inNamespace(t)
	s := newKit(t, Options{})
	v0, _ := veth(t)
	var handle uint32
	attachAndKill(t, v0, ModeClsact, func() {
		beside := s.attach(v0, ModeClsact)
		if err := beside.Close(); err != nil {
			t.Error(err)
		}
		list, err := netlink.FilterList(&netlink.Device{LinkAttrs: netlink.LinkAttrs{Index: v0}}, netlink.HANDLE_MIN_INGRESS)
		if err != nil || len(ourFilters(list)) != 1 {
			t.Fatalf("filters %v, %v", list, err)
		}
		handle = ourFilters(list)[0].Handle
	})
	// Anybody can take the number.
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, markProtocol)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	if err := unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Pid: markOf(handle)}); err != nil {
		t.Fatal(err)
	}
	if living, err := livingMarks(); err != nil || living[markOf(handle)] {
		t.Errorf("a socket without the group is a mark: %v, %v", living, err)
	}
	s.attach(v0, ModeClsact)
	wantLines(t, v0, "ingress: dnsmonster-sensor", "egress: dnsmonster-sensor")

	dropCapabilities(t)
	if _, err := setMark(); !errors.Is(err, unix.EPERM) {
		t.Errorf("anybody can make a mark: %v", err)
	}
}

// listenAs opens the abstract socket of an earlier version, as a user.
func listenAs(t *testing.T, ifindex int, user uintptr) (fd int) {
	t.Helper()
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err == nil {
		err = unix.Bind(fd, &unix.SockaddrUnix{Name: fmt.Sprintf("@dnsmonster-sensor/clsact/%d", ifindex)})
	}
	if err != nil {
		t.Fatal(err)
	}
	become := func(user uintptr) { // only this thread
		if _, _, errno := unix.RawSyscall(unix.SYS_SETRESUID, ^uintptr(0), user, ^uintptr(0)); errno != 0 {
			t.Fatal(errno)
		}
	}
	become(user)
	err = unix.Listen(fd, 1)
	become(0)
	if err != nil {
		t.Fatal(err)
	}
	return fd
}

// A running sensor of a version that had no marks keeps its filters. The socket of
// another user does not count.
func TestFiltersOfEarlierVersion(t *testing.T) {
	inNamespace(t)
	needTCX(t)
	s := newKit(t, Options{})
	v0, _ := veth(t)
	tcCommand(t, "qdisc add dev v0 clsact")
	old := neighbourFilter(t, v0, 1, handleQdisc)
	old.Name = FilterName
	addFilter(t, old)

	guard := listenAs(t, v0, 0)
	if err := s.attach(v0, ModeClsact).Close(); err != nil {
		t.Error(err)
	}
	wantLines(t, v0, "ingress: dnsmonster-sensor")
	if err := s.attach(v0, ModeTCX).Close(); err != nil {
		t.Error(err)
	}
	wantLines(t, v0, "ingress: dnsmonster-sensor")
	unix.Close(guard)

	defer unix.Close(listenAs(t, v0, 65534))
	if err := s.attach(v0, ModeClsact).Close(); err != nil {
		t.Error(err)
	}
	wantLines(t, v0)
}
