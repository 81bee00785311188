//go:build linux

package afpacket_test

import (
	"bytes"
	"log/slog"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"dnsmonster-sensor/sensor/capture"
	"dnsmonster-sensor/sensor/capture/afpacket"
	"dnsmonster-sensor/sensor/capture/watch"
	"dnsmonster-sensor/test/capturetest"
	"dnsmonster-sensor/test/lab/namespace"
)

// TestAFPacketKeepsItsPromises with packets over the loopback interface of a namespace of
// its own, by name and by any.
func TestAFPacketKeepsItsPromises(t *testing.T) {
	namespace.Enter(t)("link set lo up")
	send, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(send)
	const n = 1000
	for _, name := range []string{"lo", watch.Any} {
		capturetest.Check(t, capturetest.Target{
			Open: func() capture.Source {
				s, err := afpacket.Open(afpacket.Options{
					Watch:  watch.Options{Interfaces: []string{name}, Log: slog.New(slog.DiscardHandler)},
					Select: capture.Selection{Ports: []uint16{53}}, Lanes: 2, BufferBytes: 64 << 20, // a slow machine takes seconds for the packets
				})
				if err != nil {
					t.Fatal(err)
				}
				return s
			},
			Feed: func() {
				for i := range n {
					to := &unix.SockaddrInet4{Port: 53, Addr: [4]byte{127, 0, 0, byte(1 + i%9)}}
					for {
						err := unix.Sendto(send, bytes.Repeat([]byte{byte(i)}, 30+i%400), 0, to)
						if err == nil {
							break
						}
						t.Fatal(err)
					}
				}
			},
			Packets: n, WaitLimit: time.Minute, // an emulated kernel is slow
		})
	}
}

func TestSupported(t *testing.T) {
	namespace.Enter(t)
	if err := afpacket.Supported(); err != nil {
		t.Error(err)
	}
	if err := afpacket.CanSpread(); err != nil {
		t.Error(err)
	}
}
