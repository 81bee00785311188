//go:build linux

package lab

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

// Tunnel is a second path from the client to the server: an interface on each, whose
// packets cross the wire inside other packets. Hosts and servers use it like any
// other interface; Wrap decides what the wire carries.
type Tunnel struct {
	Frames bool // it carries Ethernet frames, otherwise IP packets
	MTU    int  // of the interfaces; 0 is 1400
	// Wrap returns the frames that carry one packet or frame of src. No
	// host accepts them: they are addressed to neither. The packet itself is handed
	// over beside the wire.
	Wrap func(src *Host, inner []byte) [][]byte
}

// ServerAddrs are the server's addresses in a tunnel. Call Lab.WaitReady before the
// first packet that counts.
type ServerAddrs struct{ V4, V6 netip.Addr }

// addAddrs gives the n-th tunnel's interfaces their addresses.
func (l *Lab) addAddrs(t testing.TB, iface string, mtu int) ServerAddrs {
	t.Helper()
	l.tunnels++
	n := l.tunnels
	if n > 63 {
		t.Fatal("a lab has at most 63 tunnels")
	}
	for i, h := range []*Host{l.Server, l.Client} {
		for _, args := range [][]string{
			{"link", "set", iface, "addrgenmode", "none"},
			{"link", "set", iface, "mtu", fmt.Sprint(mtu), "up"},
			{"addr", "add", fmt.Sprintf("198.51.100.%d/30", 4*n+1+i), "dev", iface},
			{"addr", "add", fmt.Sprintf("2001:db8:%d::%d/64", n, 1+i), "dev", iface, "nodad"},
		} {
			if err := ip(append([]string{"-n", h.NS}, args...)...); err != nil {
				t.Fatal(err)
			}
		}
		if err := h.settle(iface); err != nil {
			t.Fatal(err)
		}
	}
	return ServerAddrs{netip.AddrFrom4([4]byte{198, 51, 100, byte(4*n + 1)}), netip.MustParseAddr(fmt.Sprintf("2001:db8:%d::1", n))}
}

// WaitReady returns once packets pass in both directions between the client and an
// address: the first packets of a new interface can be lost. It connects over TCP to a
// port where nobody listens.
func (l *Lab) WaitReady(t testing.TB, at netip.Addr) {
	t.Helper()
	err := l.Client.Do(func() error {
		conn, err := net.DialTCP("tcp", nil, net.TCPAddrFromAddrPort(netip.AddrPortFrom(at, 9)))
		if err == nil {
			conn.Close()
		}
		return err
	})
	if !errors.Is(err, unix.ECONNREFUSED) {
		t.Fatalf("reach %s: %v, and not: connection refused", at, err)
	}
}

// OpenTunnel opens a tunnel until the test ends.
func (l *Lab) OpenTunnel(t testing.TB, tunnel Tunnel) ServerAddrs {
	t.Helper()
	iface := fmt.Sprintf("tun%d", l.tunnels+1)
	var tuns, wires [2]*os.File
	for i, h := range []*Host{l.Server, l.Client} {
		err := h.Do(func() (err error) {
			if tuns[i], err = openTun(iface, tunnel.Frames); err != nil {
				return err
			}
			wires[i], err = openWire(h.Iface)
			return err
		})
		if err != nil {
			t.Fatalf("open a tunnel: %v", err)
		}
	}
	mtu := tunnel.MTU
	if mtu == 0 {
		mtu = 1400
	}
	ends := l.addAddrs(t, iface, mtu)
	done := make(chan struct{}, 2)
	carry := func(from int, src *Host) {
		b := make([]byte, 1<<16)
		for {
			n, err := tuns[from].Read(b)
			if err != nil {
				break
			}
			for _, frame := range tunnel.Wrap(src, b[:n]) {
				if _, err := wires[from].Write(frame); err != nil {
					t.Errorf("send a wrapped packet: %v", err)
				}
			}
			if _, err := tuns[1-from].Write(b[:n]); err != nil && !errors.Is(err, os.ErrClosed) {
				t.Errorf("hand over a packet: %v", err)
			}
		}
		done <- struct{}{}
	}
	go carry(0, l.Server)
	go carry(1, l.Client)
	t.Cleanup(func() {
		for i := range tuns {
			tuns[i].Close()
		}
		<-done
		<-done
		for i := range wires {
			wires[i].Close()
		}
	})
	return ends
}

// openTun makes an interface whose packets the file reads and writes.
func openTun(iface string, frames bool) (*os.File, error) {
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("open /dev/net/tun: %w", err)
	}
	req, err := unix.NewIfreq(iface)
	if err != nil {
		return nil, err
	}
	req.SetUint16(unix.IFF_NO_PI | unix.IFF_TUN)
	if frames {
		req.SetUint16(unix.IFF_NO_PI | unix.IFF_TAP)
	}
	if err := unix.IoctlIfreq(fd, unix.TUNSETIFF, req); err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("make %s: %w", iface, err)
	}
	return os.NewFile(uintptr(fd), iface), nil
}

// openWire opens a socket that sends whole frames from an interface.
func openWire(iface string) (*os.File, error) {
	i, err := net.InterfaceByName(iface)
	if err != nil {
		return nil, err
	}
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0) // receives nothing
	if err != nil {
		return nil, fmt.Errorf("open packet socket: %w", err)
	}
	if err := unix.Bind(fd, &unix.SockaddrLinklayer{Ifindex: i.Index}); err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("bind to %s: %w", iface, err)
	}
	return os.NewFile(uintptr(fd), iface), nil
}

// OpenKernelTunnel makes one of the kernel's own tunnels between the hosts: type and
// arguments as for `ip link add`, where LOCAL4, REMOTE4, LOCAL6, REMOTE6 and WIRE
// stand for addresses and the interface. ok is false where this kernel has no such
// device.
func (l *Lab) OpenKernelTunnel(t testing.TB, mtu int, link string, args ...string) (ends ServerAddrs, ok bool) {
	t.Helper()
	iface := fmt.Sprintf("dev%d", l.tunnels+1)
	for _, h := range []*Host{l.Server, l.Client} {
		words := map[string]string{
			"LOCAL4": h.V4.String(), "REMOTE4": h.peer.V4.String(), "LOCAL6": h.V6.String(), "REMOTE6": h.peer.V6.String(), "WIRE": h.Iface,
		}
		add := []string{"-n", h.NS, "link", "add"}
		if link != "" {
			add = append(add, "link", map[bool]string{true: h.Iface, false: link}[link == "WIRE"])
		}
		add = append(add, "name", iface, "type")
		for _, a := range args {
			if w, found := words[a]; found {
				a = w
			}
			add = append(add, a)
		}
		if err := ip(add...); err != nil {
			t.Logf("not in this kernel: %v", err)
			return ServerAddrs{}, false
		}
	}
	return l.addAddrs(t, iface, mtu), true
}
