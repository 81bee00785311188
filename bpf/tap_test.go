//go:build linux

package bpf

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"
)

// A tap drops every frame, whatever becomes of it: what it delivers, what it does not
// want, what it cannot copy, and what is no packet.
func TestTapVerdicts(t *testing.T) {
	needXDP(t)
	onOneCPU(t)
	usual := newKit(t, Options{Tap: true})
	f := func(o Options, outcome, program string, packet []byte) {
		t.Helper()
		s := usual
		if o.Of > 0 || o.FragmentQuota > 0 || o.Decap != nil {
			o.Tap = true
			s = newKit(t, o)
		}
		s.want(outcome, program, packet)
	}
	a, b := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.53")
	later := eth(0x0800, ip4with(ip4opts{frag: 100, id: 7}, a, b, 17, fill(50)))
	vxlan := eth(0x0800, ip4(a, b, 17, udp(5000, 4789, join([]byte{8, 0, 0, 0, 0, 0, 1, 0}, query4(80)))))
	f(Options{}, "delivered", sensorProgXdpEth, query4(80))
	f(Options{}, "delivered", sensorProgXdpL3, query4(80)[14:])
	f(Options{}, "delivered", sensorProgXdpEth, query4(3000))
	f(Options{}, "delivered", sensorProgXdpEth, query4(65535))
	f(Options{}, "delivered", sensorProgXdpEth, eth(0x0800, ip4(a, b, 6, tcp(40000, 53, fill(30)))))
	f(Options{}, "delivered", sensorProgXdpEth, eth(0x8100, vlan(7, 0x0800, query4(80)[14:])))
	f(Options{}, "not_dns", sensorProgXdpEth, eth(0x0800, ip4(a, b, 17, udp(40000, 443, fill(30)))))
	f(Options{}, "not_dns", sensorProgXdpEth, eth(0x0800, ip4(a, b, 1, fill(30))))
	f(Options{}, "not_dns", sensorProgXdpEth, eth(0x0806, fill(28)))
	f(Options{}, "not_dns", sensorProgXdpEth, eth(0x0800, nil))
	f(Options{Keep: 1, Of: 2}, "sampled_out", sensorProgXdpEth, query4(80)) // of two, the second is kept
	f(Options{}, "frag_quota", sensorProgXdpEth, later)
	f(Options{FragmentQuota: 10}, "delivered", sensorProgXdpEth, later)
	f(Options{}, "not_dns", sensorProgXdpEth, vxlan)
	f(Options{Decap: allTunnels(), TunnelPorts: tunnelPorts()}, "delivered", sensorProgXdpEth, vxlan)

	full := newKit(t, Options{Tap: true, RingBytes: MinRingBytes})
	fit := MinRingBytes / (128 + ringHeader)
	for range fit {
		full.run(sensorProgXdpEth, query4(80), nil)
	}
	if got := full.run(sensorProgXdpEth, query4(80), nil); got != "ring_full" {
		t.Errorf("a full ring: %s", got)
	}
	if hooks, err := full.k.Counters(); err != nil || len(hooks) != 1 || hooks[0].Hook != "xdp" {
		t.Errorf("hooks %+v, %v, want xdp alone", hooks, err)
	}
}

// received is a packet socket that counts what the stack gets of an interface.
type received struct {
	t  *testing.T
	fd int
}

func receive(t *testing.T, ifindex int) *received {
	t.Helper()
	const all = unix.ETH_P_ALL<<8&0xff00 | unix.ETH_P_ALL>>8
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err == nil {
		t.Cleanup(func() { unix.Close(fd) })
		err = unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: all, Ifindex: ifindex})
	}
	if err != nil {
		t.Fatal(err)
	}
	return &received{t, fd}
}

// want takes all that has arrived so far. The frames were counted by a program before,
// or came after one that was.
func (r *received) want(when string, frames ...[]byte) {
	r.t.Helper()
	var got [][]byte
	for buffer := make([]byte, 1<<16); ; {
		n, from, err := unix.Recvfrom(r.fd, buffer, 0)
		if err != nil {
			break
		}
		if from.(*unix.SockaddrLinklayer).Pkttype != unix.PACKET_OUTGOING {
			got = append(got, bytes.Clone(buffer[:n]))
		}
	}
	if !slices.EqualFunc(got, frames, bytes.Equal) {
		r.t.Errorf("%s: %d frames arrive, want %d", when, len(got), len(frames))
	}
}

// Nothing reaches the stack while a tap is attached, and all of it before and after:
// after its end, or after the death of its process.
func TestTapOnVeth(t *testing.T) {
	needXDP(t)
	inNamespace(t)
	s := newKit(t, Options{Tap: true})
	before := newKit(t, Options{}) // counts what arrives while there is no tap
	v0, v1 := veth(t)
	stack := receive(t, v0)
	other := eth(0x0800, ip4(a4, b4, 17, udp(40000, 443, fill(30))))
	counted := uint64(0)
	passes := func(when string) {
		t.Helper()
		a := before.attach(v0, AutoMode())
		send(t, v1, query4(80))
		send(t, v1, other)
		counted += 2
		before.seen("tc ingress", counted)
		a.Close()
		stack.want(when, query4(80), other)
	}
	passes("before")
	a := s.attach(v0, ModeTap)
	if want := "xdp drop (native)"; a.Describe() != want || !slices.Equal(a.Hooks(), []string{"xdp"}) || !a.Alive() {
		t.Errorf("%s, %q, alive %v, want %q", a.Describe(), a.Hooks(), a.Alive(), want)
	}
	wantLines(t, v0, "xdp (native): dnsmonster_tap")
	for i := range 30 {
		send(t, v1, query4(60+i))
		send(t, v1, other)
	}
	s.seen("xdp", 60)
	for i := range 30 {
		rec, data, _ := s.next()
		if !bytes.Equal(data, query4(60+i)) || rec.Out || !rec.XDP || int(rec.Ifindex) != v0 {
			t.Fatalf("record %d: %+v, %d bytes", i, rec, len(data))
		}
	}
	stack.want("tapped")
	if err := a.Close(); err != nil {
		t.Error(err)
	}
	wantLines(t, v0)
	passes("after the end")
	attachAndKill(t, v0, ModeTap, func() {
		wantLines(t, v0, "dnsmonster_tap")
		if _, err := s.k.Attach(v0, ModeTap); !errors.Is(err, unix.EBUSY) || !strings.Contains(err.Error(), "dnsmonster_tap (id ") {
			t.Errorf("beside another tap: %v", err)
		}
	})
	wantLines(t, v0)
	passes("after the process was killed")
}

// A device whose driver cannot run XDP programs, or not with this MTU, gets the kernel's
// own, generic XDP. The records are the same, large frames included.
func TestGenericXDP(t *testing.T) {
	needXDP(t)
	f := func(mode Mode, kind, want string) {
		t.Run(string(mode)+" on "+kind, func(t *testing.T) {
			inNamespace(t)
			s := newKit(t, Options{XDP: mode == ModeXDP, Tap: mode == ModeTap})
			var dev int
			var give func(frame []byte)
			switch kind {
			case "lo":
				dev = 1
				give = func(frame []byte) { send(t, 1, frame) }
			case "macvlan": // its driver has no XDP
				_, v1 := veth(t)
				ip(t, "link set v0 promisc on")
				const add = "link add link v0 name mv0 address 02:00:00:00:00:01 type macvlan mode passthru"
				if out, err := exec.Command("ip", strings.Fields(add)...).CombinedOutput(); strings.Contains(string(out), "Unknown device type") {
					t.Skip("this kernel has no macvlan devices")
				} else if err != nil {
					t.Fatalf("%v: %s", err, out)
				}
				up(t, "mv0")
				dev = index(t, "mv0")
				give = func(frame []byte) { send(t, v1, frame) }
			}
			a := s.attach(dev, mode)
			if !strings.HasPrefix(a.Describe(), want) {
				t.Errorf("attached as %s, want %s", a.Describe(), want)
			}
			for i, n := range []int{60, 300, 1400} {
				give(query4(n))
				s.seen("xdp", uint64(i)+1)
				if rec, data, _ := s.next(); !bytes.Equal(data, query4(n)) || !rec.XDP || rec.Out || int(rec.Ifindex) != dev {
					t.Errorf("%d bytes: %+v, %d bytes", n, rec, len(data))
				}
			}
		})
	}
	f(ModeXDP, "lo", "xdp (generic)")
	f(ModeTap, "lo", "xdp drop (generic)")
	f(ModeXDP, "macvlan", "xdp (generic)")
	f(ModeTap, "macvlan", "xdp drop (generic)")
}

// Frames beyond a page are in several buffers: the programs take them natively.
func TestXDPWithLargeMTU(t *testing.T) {
	needXDP(t)
	f := func(mode Mode, mtu int) {
		t.Run(fmt.Sprint(mode, " ", mtu), func(t *testing.T) {
			inNamespace(t)
			s := newKit(t, Options{XDP: mode == ModeXDP, Tap: mode == ModeTap})
			v0, v1 := veth(t)
			ip(t, fmt.Sprintf("link set v0 mtu %d", mtu))
			ip(t, fmt.Sprintf("link set v1 mtu %d", mtu))
			a := s.attach(v0, mode)
			if !strings.Contains(a.Describe(), "(native)") {
				t.Errorf("attached as %s, want native", a.Describe())
			}
			for i, n := range []int{60, mtu/2 + 14, mtu + 14} {
				send(t, v1, query4(n))
				s.seen("xdp", uint64(i)+1)
				if rec, data, _ := s.next(); !bytes.Equal(data, query4(n)) || int(rec.WireLen) != n {
					t.Errorf("%d bytes: %+v, %d bytes", n, rec, len(data))
				}
			}
		})
	}
	f(ModeXDP, 1500)
	f(ModeXDP, 9000)
	f(ModeXDP, 65521) // the copy helper takes 65535 bytes
	f(ModeTap, 9000)
}

// Another program on the only place for XDP is named, whoever it belongs to.
func TestTapBesideAnother(t *testing.T) {
	needXDP(t)
	inNamespace(t)
	s := newKit(t, Options{Tap: true})
	v0, _ := veth(t)
	l, err := link.AttachXDP(link.XDPOptions{Program: verdictProgram(t, ebpf.XDP, xdpPass), Interface: v0})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if _, err = s.k.Attach(v0, ModeTap); !errors.Is(err, unix.EBUSY) || !strings.Contains(err.Error(), "neighbour (id ") {
		t.Errorf("error %v, want one that names the other program", err)
	}
	for _, mode := range []Mode{ModeTCX, ModeClsact, ModeXDP} {
		if _, err := s.k.Attach(v0, mode); err == nil || !strings.Contains(err.Error(), "not for mode") {
			t.Errorf("a tap's programs in mode %s: %v", mode, err)
		}
	}
	wantLines(t, v0, "xdp (native): neighbour (id ")
}
