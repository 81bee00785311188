//go:build linux

package bpf

import (
	"bytes"
	"os/exec"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The kernel keeps the outermost VLAN tag beside the frame, not in it.
func TestTagBesideTheFrame(t *testing.T) {
	inNamespace(t)
	s := newKit(t, Options{})
	v0, v1 := veth(t)
	s.attach(v0, AutoMode())
	f := func(proto uint16, tci uint16, inner uint16, payload []byte) {
		t.Helper()
		n := s.counters("tc ingress").value("seen")
		send(t, v1, eth(proto, vlan(tci, inner, payload)))
		s.seen("tc ingress", n+1)
		rec, data, _ := s.next()
		if !rec.HasVLAN || rec.VLANTCI != tci || rec.VLANProto != proto {
			t.Errorf("tag %04x/%04x: %+v", proto, tci, rec)
		}
		if !bytes.Equal(data, eth(inner, payload)) {
			t.Errorf("tag %04x/%04x: data % x", proto, tci, data)
		}
	}
	q := ip4(a4, b4, 17, udp(40000, 53, fill(30)))
	f(0x8100, 7, 0x0800, q)
	f(0x8100, 0xe005, 0x0800, q) // with a priority
	f(0x88a8, 9, 0x0800, q)
	f(0x88a8, 9, 0x8100, vlan(8, 0x0800, q))
	f(0x88a8, 9, 0x8100, vlan(8, 0x8100, vlan(7, 0x0800, q)))
}

// A device without a link header, in both directions.
func TestTun(t *testing.T) {
	inNamespace(t)
	s := newKit(t, Options{XDP: true})
	tun := tunDevice(t, "tun0", unix.IFF_TUN)
	a := s.attach(index(t, "tun0"), AutoMode())
	ip(t, "address add 198.51.100.53/24 dev tun0")
	f := func(packet []byte) {
		t.Helper()
		n := s.counters("tc ingress").value("seen")
		if _, err := tun.Write(packet); err != nil {
			t.Fatal(err)
		}
		s.seen("tc ingress", n+1)
		rec, data, _ := s.next()
		if !rec.L3 || !bytes.Equal(data, packet) {
			t.Errorf("%+v, data % x", rec, data)
		}
	}
	f(ip4(a4, b4, 17, udp(40000, 53, fill(30))))
	f(ip6(a6, b6, 17, udp(40000, 53, fill(30))))

	send(t, index(t, "tun0"), ip4(b4, a4, 17, udp(53, 40000, fill(30))))
	s.seen("tc egress", 1)
	if rec, data, _ := s.next(); !rec.L3 || !rec.Out || len(data) != 58 {
		t.Errorf("leaving: %+v, %d bytes", rec, len(data))
	}

	a.Close()
	needXDP(t)
	s.attach(index(t, "tun0"), ModeXDP)
	if _, err := tun.Write(ip4(a4, b4, 17, udp(40000, 53, fill(30)))); err != nil {
		t.Fatal(err)
	}
	s.seen("xdp", 1)
	if rec, data, _ := s.next(); !rec.L3 || !rec.XDP || len(data) != 58 {
		t.Errorf("xdp: %+v, %d bytes", rec, len(data))
	}
}

// vnet is the header that a tap device with IFF_VNET_HDR takes before a frame. If the
// frame is larger than a page, the kernel keeps linear bytes of it in the linear part.
func vnet(linear byte) []byte { return []byte{0, 0, linear, 0, 0, 0, 0, 0, 0, 0} }

// Every size class through a real device, with headers beyond the linear part.
func TestSizesOnTap(t *testing.T) {
	inNamespace(t)
	f := func(packet func(n int) []byte) {
		t.Helper()
		s := newKit(t, Options{})
		tap := tunDevice(t, "tap0", unix.IFF_TAP|unix.IFF_VNET_HDR)
		defer tap.Close()
		a := s.attach(index(t, "tap0"), AutoMode())
		defer a.Close()
		for _, n := range append(boundaries(65535), 3500, 3700, 4096, 9000, 65534) {
			if n < 100 {
				continue
			}
			before := s.counters("tc ingress")
			if _, err := tap.Write(join(vnet(20), packet(n))); err != nil {
				t.Fatalf("%d bytes: %v", n, err)
			}
			s.seen("tc ingress", before.value("seen")+1)
			if _, data, _ := s.next(); !bytes.Equal(data, packet(n)) {
				t.Errorf("%d bytes: %d in the ring, %s", n, len(data), s.outcome(before, s.counters("tc ingress")))
			}
		}
	}
	f(query4)
	f(func(n int) []byte { // ports after an extension header
		return eth(0x86dd, ip6(a6, b6, 60, ext(17, 0, udp(40000, 53, fill(n-70)))))
	})
}

// A header that reaches beyond HEADERS_MAX makes the packet one of unknown kind.
func TestDeepHeadersOnTap(t *testing.T) {
	inNamespace(t)
	s := newKit(t, Options{})
	tap := tunDevice(t, "tap0", unix.IFF_TAP|unix.IFF_VNET_HDR)
	s.attach(index(t, "tap0"), AutoMode())
	if _, err := tap.Write(join(vnet(60), eth(0x86dd, ip6(a6, b6, 60, ext(17, 40, udp(40000, 53, fill(60000))))))); err != nil {
		t.Fatal(err)
	}
	s.seen("tc ingress", 1)
	if c := s.counters("tc ingress"); c.value("frag_quota") != 1 {
		t.Errorf("%+v, want one beyond the quota", c)
	}
}

// Before Linux 5.18 (seen on 5.10) an ipip device shows the outer frame to TC,
// link header included.
func TestTunnelWithoutLinkHeader(t *testing.T) {
	needXDP(t)
	inNamespace(t)
	s := newKit(t, Options{})
	v0, v1 := veth(t)
	ip(t, "address add 192.0.2.10/24 dev v0")
	if out, err := exec.Command("ip", "link", "add", "ipip0", "type", "ipip", "local", "192.0.2.10", "remote", "192.0.2.20").CombinedOutput(); err != nil {
		t.Skipf("no ipip device in this kernel: %s", out)
	}
	up(t, "ipip0")
	s.attach(index(t, "ipip0"), AutoMode())
	inner := ip4(a4, b4, 17, udp(40000, 53, fill(30)))
	src, dst := [4]byte{192, 0, 2, 20}, [4]byte{192, 0, 2, 10}
	outer := join([]byte{0x45, 0}, be16(uint16(20+len(inner)), 0, 0), []byte{64, 4}, be16(0), src[:], dst[:], inner)
	sum := uint32(0)
	for i := 0; i < 20; i += 2 {
		sum += uint32(outer[i])<<8 | uint32(outer[i+1])
	}
	sum = sum>>16 + sum&0xffff
	sum = ^(sum>>16 + sum)
	outer[10], outer[11] = byte(sum>>8), byte(sum)
	frame := eth(0x0800, outer)
	copy(frame, hardwareAddress(t, v0))
	send(t, v1, frame)
	s.seen("tc ingress", 1)
	if rec, data, _ := s.next(); !rec.L3 || !bytes.Equal(data, inner) {
		t.Errorf("%+v, data % x", rec, data)
	}
}

// An AF_XDP socket is reported, because nobody else sees the packets that it takes.
func TestSocketIsANeighbour(t *testing.T) {
	inNamespace(t)
	v0, v1 := veth(t)
	fd, err := unix.Socket(unix.AF_XDP, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Skipf("no AF_XDP in this kernel: %v", err)
	}
	defer unix.Close(fd)
	mem, err := unix.Mmap(-1, 0, 16*4096, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Munmap(mem)
	set := func(option int, value unsafe.Pointer, size uintptr) {
		t.Helper()
		if _, _, errno := unix.Syscall6(unix.SYS_SETSOCKOPT, uintptr(fd), unix.SOL_XDP, uintptr(option), uintptr(value), size, 0); errno != 0 {
			t.Fatalf("set option %d: %v", option, errno)
		}
	}
	reg := unix.XDPUmemReg{Addr: uint64(uintptr(unsafe.Pointer(&mem[0]))), Len: uint64(len(mem)), Size: 4096}
	set(unix.XDP_UMEM_REG, unsafe.Pointer(&reg), unsafe.Sizeof(reg))
	size := uint32(16)
	for _, ring := range []int{unix.XDP_UMEM_FILL_RING, unix.XDP_UMEM_COMPLETION_RING, unix.XDP_RX_RING} {
		set(ring, unsafe.Pointer(&size), 4)
	}
	if err := unix.Bind(fd, &unix.SockaddrXDP{Flags: unix.XDP_COPY, Ifindex: uint32(v0)}); err != nil {
		t.Fatal(err)
	}
	if n, err := countXSKs(v0); err == nil && n < 0 {
		t.Skip("this kernel does not report AF_XDP sockets (no xsk_diag)")
	}
	wantLines(t, v0, "AF_XDP sockets: 1")
	wantLines(t, v1)
}
