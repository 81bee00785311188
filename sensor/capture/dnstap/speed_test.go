//go:build linux && !race

package dnstap

import (
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"dnsmonster-sensor/userspace/packet"
)

// TestNoAllocation: receiving a frame allocates nothing.
func TestNoAllocation(t *testing.T) {
	s, err := Open(Options{Addresses: []string{"unix://" + filepath.Join(t.TempDir(), "s")}, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	nc, err := net.Dial("unix", s.addresses[0].Where)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	send(t, nc, start)
	const n = 2000
	frames := stream(n, 300)
	var b packet.Batch
	round := func() {
		go nc.Write(frames)
		for got := 0; got < n; {
			if err := s.lanes[0].Read(&b); err != nil && err != os.ErrDeadlineExceeded {
				t.Fatal(err)
			}
			got += b.Len()
		}
	}
	round()
	if per := testing.AllocsPerRun(50, round) / n; per > 0.01 { // the test's goroutine, and buffers after a collection
		t.Errorf("%.3f allocations for each frame", per)
	}
}

// BenchmarkReceive receives frames of 300 bytes over a unix socket. The sender, and the
// kernel's work for both, take part of the processors: cpu-ns/frame has all of it.
func BenchmarkReceive(b *testing.B) {
	s, err := Open(Options{Addresses: []string{"unix://" + filepath.Join(b.TempDir(), "s")}, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	nc, err := net.Dial("unix", s.addresses[0].Where)
	if err != nil {
		b.Fatal(err)
	}
	defer nc.Close()
	send(b, nc, start)
	frames := stream(200, 300)
	go func() {
		for {
			if _, err := nc.Write(frames); err != nil {
				return
			}
		}
	}()
	var batch packet.Batch
	b.ReportAllocs()
	began := processorTime()
	b.ResetTimer()
	for got := 0; got < b.N; got += batch.Len() {
		if err := s.lanes[0].Read(&batch); err != nil && err != os.ErrDeadlineExceeded {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(processorTime()-began)/float64(b.N), "cpu-ns/frame")
}

func processorTime() time.Duration {
	var u syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
