//go:build libpcap && cgo && linux

package libpcap

import (
	"bytes"
	"log/slog"
	"testing"

	"golang.org/x/sys/unix"

	"dnsmonster-sensor/sensor/capture"
	"dnsmonster-sensor/sensor/capture/watch"
	"dnsmonster-sensor/test/capturetest"
	"dnsmonster-sensor/test/lab/namespace"
	"dnsmonster-sensor/userspace/decode"
)

// TestLibpcapKeepsItsPromises with packets over the loopback interface of a namespace of
// its own.
func TestLibpcapKeepsItsPromises(t *testing.T) {
	namespace.Enter(t)("link set lo up")
	socket, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(socket)
	// Without a receiver each datagram would cause an ICMP error.
	if err := unix.Bind(socket, &unix.SockaddrInet4{Port: 53}); err != nil {
		t.Fatal(err)
	}
	const n = 1000
	capturetest.Check(t, capturetest.Target{
		Open: func() capture.Source {
			s, err := Open(Options{
				Watch: watch.Options{Interfaces: []string{"lo"}, Log: slog.New(slog.DiscardHandler)},
				Lanes: 2, Choose: decode.Lane,
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
		Packets: n,
	})
}
