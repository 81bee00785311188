//go:build linux

package ring_test

import (
	"bytes"
	"log/slog"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"dnsmonster-sensor/bpf"
	"dnsmonster-sensor/sensor/capture"
	"dnsmonster-sensor/sensor/capture/ring"
	"dnsmonster-sensor/sensor/capture/watch"
	"dnsmonster-sensor/test/capturetest"
	"dnsmonster-sensor/test/lab/namespace"
)

// TestRingKeepsItsPromises with packets over the loopback interface of a namespace of
// its own.
func TestRingKeepsItsPromises(t *testing.T) {
	namespace.Enter(t)("link set lo up")
	socket, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(socket)
	const n = 1000
	capturetest.Check(t, capturetest.Target{
		Open: func() capture.Source {
			s, err := ring.Open(ring.Options{
				Watch: watch.Options{Interfaces: []string{"lo"}, Log: slog.New(slog.DiscardHandler)}, Mode: bpf.AutoMode(),
				Select: capture.Selection{Ports: []uint16{53}}, Lanes: 2, RingBytes: 1 << 20,
			})
			if err != nil {
				t.Fatal(err)
			}
			return s
		},
		Feed: func() {
			for i := range n {
				to := &unix.SockaddrInet4{Port: 53, Addr: [4]byte{127, 0, 0, byte(1 + i%9)}}
				if err := unix.Sendto(socket, bytes.Repeat([]byte{byte(i)}, 30+i%400), 0, to); err != nil {
					t.Fatal(err)
				}
			}
		},
		Packets: n, WaitLimit: time.Minute, // an emulated kernel is slow
	})
}
