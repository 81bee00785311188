//go:build linux

package ring

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"dnsmonster-sensor/bpf"
	"dnsmonster-sensor/sensor/capture"
	"dnsmonster-sensor/sensor/capture/watch"
	"dnsmonster-sensor/test/lab/namespace"
	"dnsmonster-sensor/userspace/packet"
)

// loopback attaches to lo in a network namespace of its own. What is written to the
// descriptor send goes to port 53 there.
func loopback(t *testing.T, ringBytes int) (source *Source, send int) {
	t.Helper()
	namespace.Enter(t)("link set lo up")
	source, err := Open(Options{
		Watch: watch.Options{Interfaces: []string{"lo"}, Log: slog.New(slog.DiscardHandler)}, Mode: bpf.AutoMode(),
		Select: capture.Selection{Ports: []uint16{53}}, Lanes: 1, RingBytes: ringBytes,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { source.Free() })
	t.Cleanup(func() { source.Close() })
	send, err = unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err == nil {
		t.Cleanup(func() { unix.Close(send) })
		err = unix.Connect(send, &unix.SockaddrInet4{Port: 53, Addr: [4]byte{127, 0, 0, 1}})
	}
	if err != nil {
		t.Fatal(err)
	}
	return source, send
}

// datagram sends one. Nobody listens there: each datagram causes an error at the next
// write.
func datagram(t *testing.T, fd int, data []byte) {
	t.Helper()
	for {
		if _, err := unix.Write(fd, data); err == nil {
			return
		} else if err != unix.ECONNREFUSED {
			t.Fatal(err)
		}
	}
}

// TestRingCloseDrains: packets that were captured before Close are read after it, in
// order, and then io.EOF.
func TestRingCloseDrains(t *testing.T) {
	const packets = 1000 // several batches
	source, send := loopback(t, 1<<20)
	for i := range packets {
		datagram(t, send, fmt.Appendf(nil, "%04d%s", i, strings.Repeat(".", i%400)))
	}
	if err := source.Close(); err != nil {
		t.Fatal(err)
	}
	lane := source.Lanes()[0]
	var b packet.Batch
	n := 0
	for {
		err := lane.Read(&b)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatal(err)
		}
		// Checked once the whole batch was read: none of it may have been overwritten.
		for _, p := range b.Packets {
			const payload = 14 + 20 + 8
			if want := fmt.Sprintf("%04d", n); len(p.Data) != payload+4+n%400 || string(p.Data[payload:][:4]) != want {
				t.Fatalf("packet %d: %d bytes, % x", n, len(p.Data), p.Data)
			}
			n++
		}
	}
	if n != packets || source.Given() != packets {
		t.Errorf("%d packets read, %d given, want %d", n, source.Given(), packets)
	}
}

// TestRingBatchIsSmall: a batch holds a small part of the ring, so that there is room for
// more packets meanwhile.
func TestRingBatchIsSmall(t *testing.T) {
	const size, frame = 128 << 10, 4096
	source, send := loopback(t, size)
	for range size / frame / 2 {
		datagram(t, send, make([]byte, frame-200))
	}
	var b packet.Batch
	for len(b.Packets) == 0 {
		if err := source.Lanes()[0].Read(&b); err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatal(err)
		}
	}
	if n := len(b.Packets); n < 1 || n*frame > size/batchDivisor+frame {
		t.Errorf("%d packets of %d bytes in a batch, of a ring of %d bytes", n, frame, size)
	}
}

func TestRingAllocatesNothing(t *testing.T) {
	source, send := loopback(t, 1<<20)
	lane := source.Lanes()[0]
	var b packet.Batch
	data := make([]byte, 60)
	read := 0
	n := testing.AllocsPerRun(50, func() {
		for range 10 {
			datagram(t, send, data)
		}
		for want := read + 10; read < want; read += len(b.Packets) {
			if err := lane.Read(&b); err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Fatal(err)
			}
		}
		if err := lane.Read(&b); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatalf("nothing there: %v", err)
		}
	})
	if n != 0 {
		t.Errorf("10 packets cost %v allocations, want 0", n)
	}
}
