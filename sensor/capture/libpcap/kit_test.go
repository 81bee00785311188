//go:build libpcap && cgo && linux

package libpcap

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"dnsmonster-sensor/test/await"
	"dnsmonster-sensor/test/lab/namespace"
	"dnsmonster-sensor/userspace/decode"
	"dnsmonster-sensor/userspace/packet"
)

// link is a network namespace with the veth pair a0 and b0, on which nothing passes but
// what the test sends.
type link struct {
	t   *testing.T
	ip  func(batch string)
	log syncBuffer
}

func newLink(t *testing.T) *link {
	t.Helper()
	l := &link{t: t, ip: namespace.Enter(t)}
	for _, set := range []string{"all", "default"} {
		if err := os.WriteFile("/proc/sys/net/ipv6/conf/"+set+"/disable_ipv6", []byte("1"), 0o644); err != nil {
			t.Log(err)
		}
	}
	l.ip("link add a0 type veth peer b0\nlink set a0 up\nlink set b0 up")
	return l
}

// syncBuffer is a log.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// open opens a source with a reader for each lane.
func (l *link) open(o Options) (*Source, *readers) {
	l.t.Helper()
	s := l.openOnly(o)
	return s, newReaders(s)
}

func (l *link) openOnly(o Options) *Source {
	l.t.Helper()
	if o.Watch.Interfaces == nil {
		o.Watch.Interfaces = []string{"a0"}
	}
	o.Watch.Log = slog.New(slog.NewTextHandler(&l.log, nil))
	o.Lanes, o.Choose = max(o.Lanes, 1), decode.Lane
	s, err := Open(o)
	if err != nil {
		l.t.Fatal(err)
	}
	l.t.Cleanup(func() { s.Close(); s.Free() })
	return s
}

// send sends frames from an interface.
func (l *link) send(from string, frames ...[]byte) {
	l.t.Helper()
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		l.t.Fatal(err)
	}
	defer unix.Close(fd)
	for _, f := range frames {
		if err := unix.Sendto(fd, f, 0, &unix.SockaddrLinklayer{Ifindex: l.index(from)}); err != nil {
			l.t.Fatal(err)
		}
	}
}

func (l *link) index(name string) int {
	l.t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		l.t.Fatal(err)
	}
	defer unix.Close(fd)
	r, _ := unix.NewIfreq(name)
	if err := unix.IoctlIfreq(fd, unix.SIOCGIFINDEX, r); err != nil {
		l.t.Fatal(err)
	}
	return int(r.Uint32())
}

// frame is an Ethernet frame with a tag list, and a datagram to port 53 with a text.
func frame(text string, tags ...[2]uint16) []byte {
	udp := append([]byte{0x30, 0x39, 0, 53, byte((8 + len(text)) >> 8), byte(8 + len(text)), 0, 0}, text...)
	n := 20 + len(udp)
	ip := append([]byte{0x45, 0, byte(n >> 8), byte(n), 0, 1, 0, 0, 64, 17, 0, 0, 192, 0, 2, 1, 192, 0, 2, 2}, udp...)
	b := []byte{2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1}
	for _, t := range tags {
		b = append(b, byte(t[0]>>8), byte(t[0]), byte(t[1]>>8), byte(t[1]))
	}
	return append(append(b, 8, 0), ip...)
}

// readers reads all lanes of a source, and keeps copies of the packets.
type readers struct {
	wait sync.WaitGroup
	mu   sync.Mutex
	got  []packet.Packet
	errs []error
}

func newReaders(s *Source) *readers {
	r := &readers{}
	for _, l := range s.Lanes() {
		r.wait.Go(func() {
			var b packet.Batch
			for {
				err := l.Read(&b)
				if errors.Is(err, os.ErrDeadlineExceeded) {
					continue
				}
				r.mu.Lock()
				for _, p := range b.Packets {
					p.Data = bytes.Clone(p.Data)
					r.got = append(r.got, p)
				}
				if err != nil {
					r.errs = append(r.errs, err)
				}
				r.mu.Unlock()
				if err != nil {
					return
				}
			}
		})
	}
	return r
}

func (r *readers) packets() []packet.Packet {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]packet.Packet(nil), r.got...)
}

// await waits for a number of packets.
func (r *readers) await(t *testing.T, n int) []packet.Packet {
	t.Helper()
	if !await.Within(await.Limit, func() bool { return len(r.packets()) >= n }) {
		t.Fatalf("%d packets came, want %d", len(r.packets()), n)
	}
	return r.packets()
}

// counters returns the source's only hook by name, and checks that it balances.
func counters(t *testing.T, s *Source) map[string]uint64 {
	t.Helper()
	k, err := s.Kernel()
	if err != nil || len(k.Hooks) != 1 {
		t.Fatalf("Kernel: %v, %v", k, err)
	}
	m := map[string]uint64{}
	for _, c := range k.Hooks[0].Counters {
		if !c.Known {
			t.Errorf("%s is unknown", c.Name)
		}
		m[c.Name] = c.Value
	}
	if m["in"] != m["ring_full"]+m["lane_full"]+m["delivered"] || m["delivered"] != s.Given() {
		t.Errorf("the ledger does not balance: %v, given %d", m, s.Given())
	}
	return m
}

// texts lists what frames carry, with their directions.
func texts(list []packet.Packet) string {
	var b strings.Builder
	for _, p := range list {
		fmt.Fprintf(&b, "%s:%s ", p.Direction, p.Data[len(p.Data)-1:])
	}
	return b.String()
}
