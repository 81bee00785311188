//go:build linux

package afpacket

import (
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"dnsmonster-sensor/sensor/capture"
	"dnsmonster-sensor/sensor/capture/watch"
	"dnsmonster-sensor/test/await"
	"dnsmonster-sensor/test/lab/namespace"
	"dnsmonster-sensor/userspace/decode"
	"dnsmonster-sensor/userspace/packet"
)

func query(payload string) []byte { return ip4(17, udp(40000, 53, []byte(payload))) }

// TestVLANTags: the kernel keeps one tag beside the bytes of what comes in, and of what
// goes out through a device with offload. The outermost tag is the same in all cases,
// with its priority and its drop eligible bit, and all bytes are there.
func TestVLANTags(t *testing.T) {
	pair(t)
	kinds := []struct {
		name  string
		frame []byte
		tci   uint16
		tags  int
	}{
		{"none", eth(0x0800, query("none")), 0, 0},
		{"802.1Q", eth(0x8100, tag(0x2005, 0x0800, query("q"))), 0x2005, 1},
		{"priority", eth(0x8100, tag(0xe000, 0x0800, query("priority"))), 0xe000, 1},
		{"drop eligible", eth(0x8100, tag(0x1007, 0x0800, query("dei"))), 0x1007, 1},
		{"802.1ad", eth(0x88a8, tag(0x3009, 0x0800, query("ad"))), 0x3009, 1},
		{"QinQ", eth(0x88a8, tag(0x0064, 0x8100, tag(0x0005, 0x0800, query("qinq")))), 0x0064, 2},
		{"old QinQ", eth(0x9100, tag(0x0065, 0x8100, tag(0x0006, 0x0800, query("9100")))), 0x0065, 2},
		{"four", eth(0x8100, tag(1, 0x8100, tag(2, 0x8100, tag(3, 0x8100, tag(4, 0x0800, query("four")))))), 1, 4},
	}
	for _, offload := range []string{"on", "off"} {
		for _, name := range []string{"va", "vb"} {
			if out, err := exec.Command("ethtool", "-K", name, "rxvlan", offload, "txvlan", offload).CombinedOutput(); err != nil {
				t.Logf("ethtool: %v: %s", err, out) // old kernels of veth have no such switch
			}
		}
		for _, interfaces := range [][]string{{"va"}, {watch.Any}} {
			r := read(t, Options{Watch: named(interfaces...), Lanes: 2})
			send := []func([]byte){injector(t, "vb"), injector(t, "va")}
			for _, k := range kinds {
				send[0](k.frame)
				send[1](k.frame)
			}
			want := 2
			if interfaces[0] == watch.Any {
				want = 4 // each passes both ends
			}
			list := r.end()
			for _, k := range kinds {
				n := 0
				for _, p := range list {
					if payload(p.Packet.Data) != payload(k.frame) {
						continue
					}
					n++
					var l decode.Layers
					decode.Decode(&p.Packet, &l)
					bytes := len(k.frame)
					if p.HasVLAN {
						bytes -= 4
					}
					if l.HasVLAN != (k.tags > 0) || l.VLAN != k.tci || len(p.Data) != bytes || int(p.WireLen) != bytes {
						t.Errorf("offload %s, %v, %s, %v: tag %v %#x, %d bytes; want %#x", offload, interfaces, k.name, p.Direction, l.HasVLAN, l.VLAN, len(p.Data), k.tci)
					}
				}
				if n != want {
					t.Errorf("offload %s, %v, %s: %d packets, want %d", offload, interfaces, k.name, n, want)
				}
			}
		}
	}
}

// TestVLANDevice: what it sends has its tag beside the bytes if the device below inserts
// it.
func TestVLANDevice(t *testing.T) {
	ip := pair(t)
	if exec.Command("ip", "link", "add", "link", "va", "name", "va.7", "type", "vlan", "id", "7").Run() != nil {
		t.Skip("this kernel has no VLAN devices")
	}
	ip("link set va.7 up")
	carrier(t, "va.7")
	for _, offload := range []string{"on", "off"} {
		_ = exec.Command("ethtool", "-K", "va", "txvlan", offload).Run()
		r := read(t, Options{Watch: named("va")})
		injector(t, "va.7")(eth(0x0800, query("device")))
		var l decode.Layers
		if list := r.end(); len(list) != 1 {
			t.Errorf("offload %s: %d packets of a VLAN device", offload, len(list))
		} else if decode.Decode(&list[0].Packet, &l); l.VLAN != 7 || !l.HasVLAN || list[0].Direction != packet.DirectionOut {
			t.Errorf("offload %s: a VLAN device's packet has the tag %d, %v", offload, l.VLAN, list[0].Direction)
		}
	}
}

// payload returns what follows the UDP header in a frame of TestVLANTags.
func payload(frame []byte) string {
	var l decode.Layers
	decode.Decode(&packet.Packet{Data: frame, WireLen: uint32(len(frame)), Link: packet.LinkEthernet}, &l)
	return string(l.Payload)
}

// TestLoopbackOnce: each packet leaves lo and comes in again; it is one packet.
func TestLoopbackOnce(t *testing.T) {
	namespace.Enter(t)("link set lo up")
	for _, name := range []string{"lo", watch.Any} {
		for _, only := range []bool{false, true} {
			r := read(t, Options{Watch: named(name), OnlyIncoming: only, Lanes: 2})
			fd := datagrams(t)
			for i := range 10 {
				send(t, fd, fmt.Appendf(nil, "packet %d", i))
			}
			list := r.end()
			if len(list) != 10 {
				t.Errorf("%s: %d packets, want 10", name, len(list))
			}
			for _, p := range list {
				if p.Direction != packet.DirectionIn || p.Interface != 1 || p.Link != packet.LinkEthernet || time.Since(time.Unix(0, p.Time)).Abs() > time.Minute {
					t.Errorf("%s: %+v", name, p.Packet)
				}
			}
		}
	}
}

func TestOnlyIncoming(t *testing.T) {
	pair(t)
	for _, lanes := range []int{1, 2} {
		r := read(t, Options{Watch: named("va"), OnlyIncoming: true, Lanes: lanes})
		in, out := injector(t, "vb"), injector(t, "va")
		for range 5 {
			in(eth(0x0800, query("in")))
			out(eth(0x0800, query("out")))
		}
		if list := r.end(); len(list) != 5 || slices.ContainsFunc(list, func(p got) bool { return p.Direction != packet.DirectionIn }) {
			t.Errorf("%d packets, want 5 that came in", len(list))
		}
	}
}

// datagrams returns a socket that sends to port 53 of the loopback interface.
func datagrams(t *testing.T) int {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err == nil {
		t.Cleanup(func() { unix.Close(fd) })
		err = unix.Connect(fd, &unix.SockaddrInet4{Port: 53, Addr: [4]byte{127, 0, 0, 1}})
	}
	if err != nil {
		t.Fatal(err)
	}
	return fd
}

// send sends one. Nobody listens there: each causes an error at the next one.
func send(t *testing.T, fd int, data []byte) {
	t.Helper()
	for {
		if _, err := unix.Write(fd, data); err == nil {
			return
		} else if err != unix.ECONNREFUSED {
			t.Fatal(err)
		}
	}
}

// TestJoinedDatagrams: the kernel shows several datagrams as one packet, and says how
// long each is.
func TestJoinedDatagrams(t *testing.T) {
	namespace.Enter(t)("link set lo up")
	k, err := openSocket(geometryOf(1, 1), true, false)
	if err != nil {
		t.Fatal(err)
	}
	vnet := k.ring.vnet
	k.close()
	if !vnet {
		t.Skip("this kernel (before Linux 6.6) does not say how long the joined datagrams are")
	}
	fd := datagrams(t)
	if err := unix.SetsockoptInt(fd, unix.IPPROTO_UDP, unix.UDP_SEGMENT, 100); err != nil {
		t.Fatal(err)
	}
	r := read(t, Options{Watch: named("lo")})
	send(t, fd, make([]byte, 2050))
	list := r.end()
	if len(list) == 1 && (list[0].Segment != 100 || len(list[0].Data) != 14+20+8+2050) {
		t.Errorf("segments of %d bytes, frame of %d", list[0].Segment, len(list[0].Data))
	}
	if len(list) != 1 && len(list) != 21 { // joined, or not, as the device likes
		t.Errorf("%d packets", len(list))
	}
}

// TestSnapLen: the filter's result cuts the frames; that is no loss.
func TestSnapLen(t *testing.T) {
	pair(t)
	r := read(t, Options{Watch: named("va"), Select: capture.Selection{SnapLen: 100}})
	frame := eth(0x0800, query(strings.Repeat("x", 500)))
	injector(t, "vb")(frame)
	list := r.end()
	if len(list) != 1 || len(list[0].Data) != 100 || int(list[0].WireLen) != len(frame) || r.counter("overlong") != 0 {
		t.Errorf("%d packets, %+v, %d overlong", len(list), list, r.counter("overlong"))
	}
}

// TestOverlongIsCounted: a frame that does not fit into a block is cut by the kernel.
func TestOverlongIsCounted(t *testing.T) {
	namespace.Enter(t)("link set lo up")
	k, err := openSocket(geometry{block: 16 << 10, blocks: 4, retire: retireAfter}, true, false)
	if err != nil {
		t.Fatal(err)
	}
	defer k.close()
	pass := []unix.SockFilter{{Code: unix.BPF_RET | unix.BPF_K, K: wholeFrame}}
	if err := errors.Join(k.bind(1), k.setFilter(pass)); err != nil {
		t.Fatal(err)
	}
	send(t, datagrams(t), make([]byte, 40000))
	await.True(t, "a block is there", k.ring.ready)
	var b packet.Batch
	k.ring.take(&b, 10, 0)
	if p := b.Packets[0]; len(p.Data) >= 16<<10 || p.WireLen != 40042 || k.ring.cut.Load() == 0 {
		t.Errorf("%d bytes of %d, %d cut", len(p.Data), p.WireLen, k.ring.cut.Load())
	}
}

// TestRingFull: while nobody reads, the ring fills up. Each frame is either read or
// counted as lost, also if the counters are read often.
func TestRingFull(t *testing.T) {
	pair(t)
	const n = 3000
	s := open(t, Options{Watch: named("va"), BufferBytes: 1})
	send := injector(t, "vb")
	for i := range n {
		send(eth(0x0800, query(fmt.Sprintf("%06d%s", i, strings.Repeat("x", 400)))))
		if i%500 == 0 {
			s.Given()
		}
	}
	r := &reader{t: t, source: s}
	r.wait.Go(func() { r.lane(0, s.Lanes()[0]) })
	list := r.end()
	full := r.counter("ring_full")
	if uint64(len(list))+full != n || len(list) == 0 || full == 0 || r.counter("in") != n || r.counter("ring_freezes") == 0 {
		t.Errorf("%d read, %d lost, of %d; %d freezes, %d losing blocks", len(list), full, n, r.counter("ring_freezes"), r.counter("losing_blocks"))
	}
	for i, p := range list {
		if got := payload(p.Data)[:6]; got != fmt.Sprintf("%06d", i) {
			t.Fatalf("packet %d is %s", i, got)
		}
	}
}

// TestLastBlock: one packet, then the end.
func TestLastBlock(t *testing.T) {
	pair(t)
	s := open(t, Options{Watch: named("va"), Lanes: 2})
	injector(t, "vb")(eth(0x0800, query("last")))
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	r := &reader{t: t, source: s}
	for i, l := range s.Lanes() {
		r.wait.Go(func() { r.lane(i, l) })
	}
	if list := r.end(); len(list) != 1 || payload(list[0].Data) != "last" {
		t.Errorf("%d packets", len(list))
	}
}

// TestRaw: a device without link header, in both directions.
func TestRaw(t *testing.T) {
	ip := namespace.Enter(t)
	quiet()
	tun := device(t, "tun9", unix.IFF_TUN|unix.IFF_NO_PI)
	ip("link set lo up\nlink set tun9 up")
	for _, name := range []string{"tun9", watch.Any} {
		r := read(t, Options{Watch: named(name), Lanes: 3})
		send := injector(t, "tun9")
		m, frames := model{}, [][]byte{query("in"), query("out"), ip6(17, udp(40000, 53, []byte("in"))), ip6(6, tcp(40000, 53, []byte("out")))}
		for i, f := range frames {
			if i%2 == 1 {
				send(f)
			} else if _, err := tun.Write(f); err != nil {
				t.Fatal(err)
			}
		}
		list := r.end()
		if len(list) != len(frames) {
			t.Errorf("%s: %d packets", name, len(list))
		}
		for _, p := range list {
			i := slices.IndexFunc(frames, func(f []byte) bool { return string(f) == string(p.Data) })
			if i < 0 || p.Link != packet.LinkRaw || (p.Direction == packet.DirectionOut) != (i%2 == 1) || int(p.Interface) != index(t, "tun9") {
				t.Errorf("%s: frame %d: %+v", name, i, p)
			} else if want := int(m.hash(eth(etherType(p.Data), p.Data)) % 3); p.lane != want {
				t.Errorf("%s: frame %d is on lane %d, want %d", name, i, p.lane, want)
			}
		}
	}
}

func TestAllocatesNothing(t *testing.T) {
	namespace.Enter(t)("link set lo up")
	s := open(t, Options{Watch: named("lo")})
	defer s.Free()
	defer s.Close()
	fd, data := datagrams(t), make([]byte, 60)
	b := packet.Batch{Packets: make([]packet.Packet, 0, maxBatch)} // on a slow machine the first batches are small
	read, lane := 0, s.Lanes()[0]
	n := testing.AllocsPerRun(20, func() {
		for range 100 {
			send(t, fd, data)
		}
		for want := read + 100; read < want; read += len(b.Packets) {
			if err := lane.Read(&b); err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Fatal(err)
			}
		}
	})
	if n != 0 {
		t.Errorf("100 packets cost %v allocations, want 0", n)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	for !errors.Is(lane.Read(&b), io.EOF) {
	}
}

func TestGeometry(t *testing.T) {
	f := func(bytes, sockets, block, blocks int) {
		t.Helper()
		if g := geometryOf(bytes, sockets); g.block != block || g.blocks != blocks {
			t.Errorf("%d bytes for %d sockets: %d blocks of %d", bytes, sockets, g.blocks, g.block)
		}
	}
	f(64<<20, 2, 128<<10, 256)
	f(64<<20, 1, 256<<10, 256)
	f(1<<30, 2, 1<<20, 512)
	f(4<<20, 1, 128<<10, 32)
	f(1, 1, 128<<10, 4)
	f(64<<20, 600, 128<<10, 4)
	f(3<<20, 4, 128<<10, 6)
}

// TestTooLargeRings: the error names the option, and nothing was allocated.
func TestTooLargeRings(t *testing.T) {
	s, err := Open(Options{Watch: named("lo"), Lanes: 2, BufferBytes: math.MaxInt / 2})
	if err == nil {
		s.Close()
		s.Free()
	}
	if err == nil || !strings.Contains(err.Error(), "--afpacketbuffersizemb") {
		t.Errorf("a ring of %d bytes: %v", math.MaxInt/2, err)
	}
	if err := explainRing(geometry{block: minBlock, blocks: 4}, unix.ENOMEM); !strings.Contains(err.Error(), "--afpacketbuffersizemb") || !errors.Is(err, unix.ENOMEM) {
		t.Error(err)
	}
}

// TestManyPorts: a filter for more ports than the kernel takes is coarser, and still
// passes all of them.
func TestManyPorts(t *testing.T) {
	pair(t)
	var ports []uint16
	for i := range 20000 {
		ports = append(ports, uint16(1+i*3))
	}
	r := read(t, Options{Watch: named("va"), Select: capture.Selection{Ports: ports}})
	send := injector(t, "vb")
	for i := range 100 {
		send(eth(0x0800, ip4(17, udp(60100, ports[i*199], []byte("x")))))
	}
	send(eth(0x0800, ip4(17, udp(60101, 60102, []byte("x")))))
	if list := r.end(); len(list) != 100 {
		t.Errorf("%d packets, want 100", len(list))
	}
}
