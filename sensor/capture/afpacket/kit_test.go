//go:build linux

package afpacket

import (
	"encoding/binary"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"dnsmonster-sensor/sensor/capture"
	"dnsmonster-sensor/sensor/capture/watch"
	"dnsmonster-sensor/test/await"
	"dnsmonster-sensor/test/lab/namespace"
	"dnsmonster-sensor/userspace/packet"
)

// Frames are built from parts: eth(0x0800, ip4(17, udp(1234, 53, payload))).

func join(parts ...[]byte) []byte { return slices.Concat(parts...) }

func be16(list ...uint16) (b []byte) {
	for _, v := range list {
		b = binary.BigEndian.AppendUint16(b, v)
	}
	return b
}

func be32(v uint32) []byte { return binary.BigEndian.AppendUint32(nil, v) }

func eth(kind uint16, payload []byte) []byte {
	return join([]byte{2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2}, be16(kind), payload)
}

// tag is what follows the EtherType of a VLAN tag.
func tag(tci, kind uint16, payload []byte) []byte { return join(be16(tci, kind), payload) }

var (
	a4 = []byte{192, 0, 2, 1}
	b4 = []byte{198, 51, 100, 53}
	a6 = []byte{0x20, 1, 0xd, 0xb8, 15: 1}
	b6 = []byte{0x20, 1, 0xd, 0xb8, 0, 53, 15: 53}
)

// ip4frag is an IPv4 packet with flags and offset.
func ip4frag(src, dst, options []byte, frag uint16, proto byte, payload []byte) []byte {
	words := 5 + len(options)/4
	return join([]byte{byte(0x40 | words), 0}, be16(uint16(words*4+len(payload)), 7, frag), []byte{64, proto, 0, 0}, src, dst, options, payload)
}

func ip4(proto byte, payload []byte) []byte { return ip4frag(a4, b4, nil, 0, proto, payload) }

func ip6(next byte, payload []byte) []byte {
	return join([]byte{0x60, 0, 0, 0}, be16(uint16(len(payload))), []byte{next, 64}, a6, b6, payload)
}

// ext is an extension header of IPv6 of 8+8*more bytes.
func ext(next byte, more int, payload []byte) []byte {
	return join([]byte{next, byte(more)}, make([]byte, 6+8*more), payload)
}

func frag6(next byte, offset, more uint16, payload []byte) []byte {
	return join([]byte{next, 0}, be16(offset<<3|more), be32(9), payload)
}

func udp(src, dst uint16, payload []byte) []byte {
	return join(be16(src, dst, uint16(8+len(payload)), 0), payload)
}

func tcp(src, dst uint16, payload []byte) []byte {
	return join(be16(src, dst), be32(1), be32(0), []byte{0x50, 0x18}, be16(1024, 0, 0), payload)
}

// pair makes two connected interfaces, va and vb, in a namespace of the test's own, where
// nobody else sends.
func pair(t *testing.T) (ip func(string)) {
	t.Helper()
	ip = namespace.Enter(t)
	quiet()
	ip("link set lo up\nlink add va type veth peer name vb\nlink set va up\nlink set vb up")
	carrier(t, "va", "vb")
	return ip
}

// quiet switches IPv6 off, so that the kernel sends nothing by itself.
func quiet() {
	for _, set := range []string{"all", "default"} {
		// The file belongs to the namespace of the thread that opens it.
		_ = os.WriteFile("/proc/sys/net/ipv6/conf/"+set+"/disable_ipv6", []byte("1"), 0o644)
	}
}

// carrier waits until interfaces can send.
func carrier(t *testing.T, names ...string) {
	t.Helper()
	for _, name := range names {
		await.True(t, name+" has a carrier", func() bool {
			i, err := net.InterfaceByName(name)
			return err == nil && i.Flags&net.FlagRunning != 0
		})
	}
}

// device makes an interface that receives what is written to the file.
func device(t *testing.T, name string, flags uint16) *os.File {
	t.Helper()
	f, err := os.OpenFile("/dev/net/tun", os.O_RDWR, 0)
	if err != nil {
		t.Skip(err)
	}
	t.Cleanup(func() { f.Close() })
	req, err := unix.NewIfreq(name)
	if err != nil {
		t.Fatal(err)
	}
	req.SetUint16(flags)
	if err := unix.IoctlIfreq(int(f.Fd()), unix.TUNSETIFF, req); err != nil {
		t.Fatal(err)
	}
	return f
}

func index(t *testing.T, name string) int {
	t.Helper()
	i, err := net.InterfaceByName(name)
	if err != nil {
		t.Fatal(err)
	}
	return i.Index
}

// injector returns a function that sends frames on an interface.
func injector(t *testing.T, name string) func(frame []byte) {
	t.Helper()
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	to := &unix.SockaddrLinklayer{Ifindex: index(t, name)}
	return func(frame []byte) {
		t.Helper()
		for {
			err := unix.Sendto(fd, frame, 0, to)
			if err == nil {
				return
			}
			if !errors.Is(err, unix.ENOBUFS) {
				t.Fatalf("send % x: %v", frame, err)
			}
			time.Sleep(time.Millisecond)
		}
	}
}

// got is a packet that a lane has returned. Its data is a copy.
type got struct {
	packet.Packet
	lane int
}

// reader reads all lanes of a source.
type reader struct {
	t      *testing.T
	source *Source
	wait   sync.WaitGroup
	mu     sync.Mutex
	list   []got
	ended  bool
}

func open(t *testing.T, o Options) *Source {
	t.Helper()
	if o.Lanes == 0 {
		o.Lanes = 1
	}
	if o.Select.Ports == nil {
		o.Select.Ports = []uint16{53}
	}
	if o.BufferBytes == 0 {
		o.BufferBytes = 8 << 20
	}
	if o.Watch.Log == nil {
		o.Watch.Log = slog.New(slog.DiscardHandler)
	}
	s, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// read opens a source and reads it.
func read(t *testing.T, o Options) *reader {
	t.Helper()
	r := &reader{t: t, source: open(t, o)}
	for i, l := range r.source.Lanes() {
		r.wait.Go(func() { r.lane(i, l) })
	}
	t.Cleanup(func() { r.end() })
	return r
}

func (r *reader) lane(i int, l capture.Lane) {
	var b packet.Batch
	for {
		err := l.Read(&b)
		r.mu.Lock()
		for _, p := range b.Packets {
			p.Data = slices.Clone(p.Data)
			r.list = append(r.list, got{p, i})
		}
		r.mu.Unlock()
		if err == io.EOF {
			return
		}
		if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
			r.t.Errorf("lane %d: %v", i, err)
			return
		}
	}
}

// await waits for so many packets.
func (r *reader) await(n int) []got {
	r.t.Helper()
	await.True(r.t, "packets are there", func() bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		return len(r.list) >= n
	})
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.list)
}

// end closes the source and returns all packets. The ledger must balance.
func (r *reader) end() []got {
	r.t.Helper()
	if r.ended {
		return r.list
	}
	r.ended = true
	if err := r.source.Close(); err != nil {
		r.t.Error(err)
	}
	r.wait.Wait()
	if given := r.source.Given(); given != uint64(len(r.list)) {
		r.t.Errorf("%d packets given, %d read", given, len(r.list))
	}
	if in, out := r.counter("in"), r.counter("delivered")+r.counter("ring_full")+r.counter("copy_failed")+r.counter("not_read"); in != out {
		r.t.Errorf("%d packets came in, %d have an outcome", in, out)
	}
	if err := r.source.Free(); err != nil {
		r.t.Error(err)
	}
	return r.list
}

func (r *reader) counter(name string) uint64 {
	r.t.Helper()
	stats, err := r.source.Kernel()
	if err != nil {
		r.t.Fatal(err)
	}
	for _, c := range stats.Hooks[0].Counters {
		if c.Name == name {
			return c.Value
		}
	}
	r.t.Fatalf("no counter %s", name)
	return 0
}

// inOwnNamespace runs the test again in a process that has a network namespace of its
// own, because goroutines of the watcher attach, too. It returns false in the first
// process, once the second one has ended.
func inOwnNamespace(t *testing.T) bool {
	t.Helper()
	const variable = "AFPACKET_TEST_INSIDE"
	if os.Getenv(variable) == t.Name() {
		quiet()
		return true
	}
	namespace.Enter(t) // skips where that is impossible
	c := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v", "-test.timeout=60s")
	c.Env = append(os.Environ(), variable+"="+t.Name())
	c.Dir = "."
	out, err := c.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "--- PASS") {
		t.Errorf("%v\n%s", err, out)
	}
	return false
}

func ipCommand(t *testing.T, batch string) {
	t.Helper()
	c := exec.Command("ip", "-batch", "-")
	c.Stdin = strings.NewReader(batch)
	if out, err := c.CombinedOutput(); err != nil {
		t.Fatalf("ip %.80s: %v: %s", batch, err, out)
	}
}

func named(names ...string) watch.Options { return watch.Options{Interfaces: names} }
