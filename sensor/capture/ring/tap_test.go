//go:build linux

package ring

import (
	"log/slog"
	"slices"
	"strings"
	"testing"

	"github.com/vishvananda/netlink"

	"dnsmonster-sensor/bpf"
	"dnsmonster-sensor/sensor/capture"
	"dnsmonster-sensor/sensor/capture/watch"
	"dnsmonster-sensor/test/lab/namespace"
	"dnsmonster-sensor/test/testlog"
)

func indexOf(t *testing.T, name string) int {
	t.Helper()
	l, err := netlink.LinkByName(name)
	if err != nil {
		t.Fatal(err)
	}
	return l.Attrs().Index
}

// TestWhatATapCutsOff: addresses of the interface and of all devices above it count,
// IPv6 link-local addresses do not, and neither do those of the other end of a pair.
func TestWhatATapCutsOff(t *testing.T) {
	f := func(want, commands string) {
		t.Helper()
		t.Run(want, func(t *testing.T) {
			ip := namespace.Enter(t)
			ip("link add v0 type veth peer name v1\nlink set v0 up\nlink set v1 up\naddr add 203.0.113.1/24 dev v1")
			ip(commands)
			got, err := cutOff(indexOf(t, "v0"))
			if err != nil || got != want {
				t.Errorf("%q, %v, want %q", got, err, want)
			}
			if err := CheckTap([]string{"v0"}); (err != nil) != (want != "") || err != nil && !strings.Contains(err.Error(), want) {
				t.Errorf("check: %v", err)
			}
		})
	}
	f("", "link show v0")
	f("", "addr add fe80::1/64 dev v0 nodad")
	f("the address 192.0.2.10/24", "addr add 192.0.2.10/24 dev v0")
	f("the address 169.254.1.1/16", "addr add 169.254.1.1/16 dev v0")
	f("the address 2001:db8::10/64", "addr add 2001:db8::10/64 dev v0 nodad")
	f("the address 192.0.2.10/32 and the address 2001:db8::10/64", "addr add 192.0.2.10 peer 192.0.2.11 dev v0\naddr add 2001:db8::10/64 dev v0 nodad")
	f("the address 192.0.2.1/32, the address 192.0.2.2/32, the address 192.0.2.3/32 and 2 more",
		"addr add 192.0.2.1 dev v0\naddr add 192.0.2.2 dev v0\naddr add 192.0.2.3 dev v0\naddr add 192.0.2.4 dev v0\naddr add 192.0.2.5 dev v0")
	f("", "link add link v0 name m0 type macvlan mode bridge")
	f("the address 192.0.2.10/24 of m0, which is above it", "link add link v0 name m0 type macvlan mode bridge\naddr add 192.0.2.10/24 dev m0")
	f("the bridge br0, which it belongs to", "link add br0 type bridge\nlink set v0 master br0")
	f("the bridge br0, which it belongs to and the address 192.0.2.10/24 of br0, which is above it",
		"link add br0 type bridge\nlink set v0 master br0\naddr add 192.0.2.10/24 dev br0")
}

// TestDevicesAbove of all kinds, each once; not the other end of a pair, and not a device
// whose lower device is in another namespace and has the same number.
func TestDevicesAbove(t *testing.T) {
	attrs := func(index, parent, master, ns int) netlink.LinkAttrs {
		return netlink.LinkAttrs{Index: index, ParentIndex: parent, MasterIndex: master, NetNsID: ns}
	}
	links := []netlink.Link{
		&netlink.Dummy{LinkAttrs: attrs(1, 0, 3, -1)},
		&netlink.Veth{LinkAttrs: attrs(2, 1, 0, -1)},
		&netlink.Bond{LinkAttrs: attrs(3, 0, 4, -1)},
		&netlink.Bridge{LinkAttrs: attrs(4, 0, 0, -1)},
		&netlink.Vlan{LinkAttrs: attrs(5, 4, 3, -1)}, // above a bridge, and in the bond: a circle
		&netlink.IPVlan{LinkAttrs: attrs(6, 5, 0, -1)},
		&netlink.Macvlan{LinkAttrs: attrs(7, 1, 0, 2)},
		&netlink.Netkit{LinkAttrs: attrs(8, 1, 0, -1)},
		&netlink.Dummy{LinkAttrs: attrs(9, 0, 0, -1)},
	}
	var got []int
	for _, l := range withUppers(links, 1) {
		got = append(got, l.Attrs().Index)
	}
	if want := []int{1, 3, 4, 5, 6}; !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}

// TestTapOnLoopbackIsRefused: a host talks to itself there.
func TestTapOnLoopbackIsRefused(t *testing.T) {
	namespace.Enter(t)("link set lo up")
	if err := CheckTap([]string{"lo"}); err == nil || !strings.Contains(err.Error(), "all that this host sends to itself") {
		t.Errorf("lo: %v", err)
	}
	if err := CheckTap([]string{"none0", "eth*"}); err != nil {
		t.Errorf("interfaces that do not exist: %v", err)
	}
}

func tapOptions(force bool, log *slog.Logger, names ...string) Options {
	return Options{
		Watch: watch.Options{Interfaces: names, Log: log}, Select: capture.Selection{Ports: []uint16{53}},
		Lanes: 1, RingBytes: bpf.MinRingBytes, Tap: true, Force: force,
	}
}

func needXDP(t *testing.T) {
	t.Helper()
	if err := bpf.HaveXDP(); err != nil {
		t.Skip(err)
	}
}

// TestTapIsRefused at each attaching, unless it is forced, and leaves nothing behind.
func TestTapIsRefused(t *testing.T) {
	ip := namespace.Enter(t)
	needXDP(t)
	ip("link add v0 type veth peer name v1\nlink set v0 up\nlink set v1 up\naddr add 192.0.2.10/24 dev v0")
	log := slog.New(slog.DiscardHandler)
	_, err := Open(tapOptions(false, log, "v0"))
	if err == nil || !strings.Contains(err.Error(), "v0") || !strings.Contains(err.Error(), "192.0.2.10/24") || !strings.Contains(err.Error(), "--force") {
		t.Errorf("with an address: %v", err)
	}
	if _, err := Open(tapOptions(true, log, watch.Any)); err == nil || !strings.Contains(err.Error(), "any") {
		t.Errorf("any: %v", err)
	}
	if n, err := bpf.FindNeighbours(indexOf(t, "v0")); err != nil || n.XDP != nil {
		t.Errorf("attached all the same: %v, %v", n, err)
	}
	s, err := Open(tapOptions(true, log, "v0"))
	if err != nil {
		t.Fatal(err)
	}
	if n, err := bpf.FindNeighbours(indexOf(t, "v0")); err != nil || n.XDP == nil || !bpf.IsTap(n.XDP.Name) {
		t.Errorf("forced, and not attached: %v, %v", n, err)
	} else if hidden := HiddenBy(n); len(hidden) != 1 || !strings.Contains(hidden[0], "drops all that arrives") {
		t.Errorf("another sensor is told %q", hidden)
	}
	if got := s.Attached(); len(got) != 1 || got[0] != "v0: xdp drop (native)" {
		t.Errorf("attached %q", got)
	}
	s.Close()
	s.Free()
}

// TestTapTellsOfNewAddresses: once, also one of a device above that is made later; and
// not if nothing was added, or if it was forced.
func TestTapTellsOfNewAddresses(t *testing.T) {
	ip := namespace.Enter(t)
	needXDP(t)
	ip("link add v0 type veth peer name v1\nlink set v0 up\nlink set v1 up")
	o := tapOptions(false, nil, "v0")
	k, err := bpf.Load(o.kernel())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { k.Close() })
	f := func(force bool, add string, want string) {
		t.Helper()
		log := &testlog.Log{}
		o := tapOptions(force, slog.New(slog.NewTextHandler(log, nil)), "v0")
		a, err := newPrograms(k, &o).Attach(indexOf(t, "v0"))
		if err != nil {
			t.Fatal(err)
		}
		ip("addr add 203.0.113.9/24 dev v1\naddr del 203.0.113.9/24 dev v1") // not above v0
		if !a.Alive() || log.String() != "" {
			t.Errorf("nothing was added: alive %v, log %q", a.Alive(), log)
		}
		ip(add)
		for range 3 {
			if !a.Alive() {
				t.Error("not alive")
			}
			ip("link set v1 down\nlink set v1 up")
		}
		if log.Count("\n") != min(len(want), 1) || !strings.Contains(log.String(), want) {
			t.Errorf("%s: log %q, want once %q", add, log, want)
		}
		if err := a.Close(); err != nil {
			t.Error(err)
		}
	}
	f(false, "link add link v0 name m0 type macvlan mode bridge\naddr add 192.0.2.20/24 dev m0", "192.0.2.20/24 of m0")
	ip("link del m0")
	f(true, "addr add 192.0.2.21/24 dev v0", "")
	ip("addr del 192.0.2.21/24 dev v0")
	f(false, "addr add 192.0.2.22/24 dev v0", "the address 192.0.2.22/24")
}
