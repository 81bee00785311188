//go:build linux

package afpacket

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"testing"

	"golang.org/x/sys/unix"

	"dnsmonster-sensor/sensor/capture"
)

// TestUndescribedFrames: a virtual machine may leave it to the host to fragment a large UDP
// datagram. The kernel gives such a frame a place in the ring, writes nothing there, and
// counts it as dropped. What the place held before, here as a virtual machine could have
// chosen it, is not a packet.
func TestUndescribedFrames(t *testing.T) {
	ip := pair(t)
	tap := device(t, "tap9", unix.IFF_TAP|unix.IFF_NO_PI|unix.IFF_VNET_HDR)
	ip("link set tap9 up")
	write := func(fragment bool, payload []byte) {
		t.Helper()
		header := make([]byte, 10)
		if fragment {
			header = []byte{unix.VIRTIO_NET_HDR_F_NEEDS_CSUM, unix.VIRTIO_NET_HDR_GSO_UDP, 42, 0, 0x78, 5, 34, 0, 6, 0}
		}
		if _, err := tap.Write(join(header, eth(0x0800, ip4(17, udp(1234, 53, payload))))); err != nil {
			t.Fatal(err)
		}
	}
	r := read(t, Options{Watch: named("tap9"), BufferBytes: 1})
	needHeaders(t, r.source)
	spoiled := bytes.Repeat([]byte{0xff}, 1400)
	n := 0
	for range minBlocks * minBlock / len(spoiled) * 5 / 4 { // each byte of the ring
		write(false, spoiled)
		if n++; n%50 == 0 {
			r.await(n) // the ring never fills up
		}
	}
	const undescribed = 20
	for i := range undescribed {
		write(true, bytes.Repeat([]byte{0xff}, 2000))
		write(false, fmt.Appendf(nil, "%03d", i))
	}
	r.await(n + undescribed)
	list := r.end()
	if len(list) != n+undescribed {
		t.Fatalf("%d packets, want %d", len(list), n+undescribed)
	}
	for i, p := range list[n:] {
		if got, want := payload(p.Data), fmt.Sprintf("%03d", i); got != want {
			t.Errorf("packet %d is %q, want %q", i, got, want)
		}
	}
	if in, failed := r.counter("in"), r.counter("copy_failed"); in != uint64(n+2*undescribed) || failed == 0 || failed+r.counter("ring_full") != undescribed {
		t.Errorf("%d in, %d copy_failed, %d ring_full", in, failed, r.counter("ring_full"))
	}
}

// needHeaders skips a test on kernels before 6.6, whose rings have no headers: there the
// kernel describes every frame.
func needHeaders(t *testing.T, s *Source) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.sockets[0].ring.vnet {
		t.Skip("this kernel has no virtio_net_hdr of a given size (Linux 6.6)")
	}
}

// TestDiscardUndescribed: a lane that has failed does not count them as packets.
func TestDiscardUndescribed(t *testing.T) {
	ip := pair(t)
	tap := device(t, "tap9", unix.IFF_TAP|unix.IFF_NO_PI|unix.IFF_VNET_HDR)
	ip("link set tap9 up")
	s := open(t, Options{Watch: named("tap9")})
	needHeaders(t, s)
	header := []byte{unix.VIRTIO_NET_HDR_F_NEEDS_CSUM, unix.VIRTIO_NET_HDR_GSO_UDP, 42, 0, 0x78, 5, 34, 0, 6, 0}
	for _, h := range [][]byte{make([]byte, 10), header, make([]byte, 10)} {
		if _, err := tap.Write(join(h, eth(0x0800, ip4(17, udp(1234, 53, make([]byte, 1500)))))); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	n := 0
	for {
		m, err := s.Lanes()[0].(capture.Discarder).Discard()
		if n += m; errors.Is(err, io.EOF) {
			break
		}
	}
	if given := s.Given(); n != 2 || given != 2 {
		t.Errorf("%d packets discarded, %d given", n, given)
	}
	if err := s.Free(); err != nil {
		t.Error(err)
	}
}
