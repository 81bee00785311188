//go:build linux

package bpf

import (
	"bytes"
	"encoding/binary"
	"errors"
	"testing"

	"golang.org/x/sys/unix"
)

// segments4 is a frame as the kernel merges it from many segments of one TCP stream.
// Beyond 64 KiB the length in its IP header is 0.
func segments4(size int) []byte {
	f := make([]byte, size)
	f[12] = 8
	ip := f[14:]
	ip[0], ip[8], ip[9] = 0x45, 64, unix.IPPROTO_TCP
	if size-14 < 1<<16 {
		binary.BigEndian.PutUint16(ip[2:], uint16(size-14))
	}
	copy(ip[12:], "\xc0\x00\x02\x35\xc0\x00\x02\x01")
	tcp := ip[20:]
	tcp[1], tcp[2], tcp[12] = 53, 0x9c, 5<<4
	for i := range tcp[20:] {
		tcp[20+i] = byte(i >> 8)
	}
	return f
}

// sendSegments sends a frame that passes the qdisc whole and is segmented afterwards.
func sendSegments(t *testing.T, ifindex int, frame []byte) error {
	t.Helper()
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	const packetVnetHdr = 15
	if err := unix.SetsockoptInt(fd, unix.SOL_PACKET, packetVnetHdr, 1); err != nil {
		t.Fatal(err)
	}
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUFFORCE, 4<<20); err != nil {
		t.Fatal(err)
	}
	header := []byte{1, 1} // struct virtio_net_hdr: needs a checksum, TCP over IPv4
	for _, n := range []uint16{54, 1448, 34, 16} {
		header = binary.NativeEndian.AppendUint16(header, n)
	}
	return unix.Sendto(fd, append(header, frame...), 0, &unix.SockaddrLinklayer{Ifindex: ifindex, Protocol: 0x0008})
}

// TestBigTCP: merged frames are copied whole, up to the longest that the kernel makes.
func TestBigTCP(t *testing.T) {
	inNamespace(t)
	s := newKit(t, Options{RingBytes: 2 << 20})
	v0, _ := veth(t)
	s.attach(v0, AutoMode())
	for i, size := range []int{60_000, 65_549, 65_550, 65_624, 65_625, 70_000, 196_622, 200_000, 524_288} {
		err := sendSegments(t, v0, segments4(size))
		if errors.Is(err, unix.EMSGSIZE) || errors.Is(err, unix.EINVAL) {
			t.Skipf("this kernel takes no frame of %d bytes: %v", size, err)
		}
		if err != nil {
			t.Fatalf("%d bytes: %v", size, err)
		}
		s.seen("tc egress", uint64(i)+1)
		rec, data, _ := s.next()
		if int(rec.WireLen) != size || len(data) != size || rec.SegSize != 1448 || !bytes.Equal(data[54:], segments4(size)[54:]) {
			t.Errorf("%d bytes: %+v, %d in the record", size, rec, len(data))
		}
	}
	if c := s.counters("tc egress"); c.value("cut") != 0 || c.value("overlong") != 0 {
		t.Errorf("%+v", c)
	}
}

// TestOverlong: a frame longer than any record is truncated, and not counted as one
// that the snap length truncated.
func TestOverlong(t *testing.T) {
	const size = 66_000
	f := func(snap, wantCap int, wantCut, wantOverlong uint64) {
		t.Helper()
		s := newKit(t, Options{SnapLen: uint32(snap), XDP: true})
		if s.lacks(sensorProgXdpEth) {
			return
		}
		if got := s.run(sensorProgXdpEth, query4(size), nil); got != "delivered" {
			t.Errorf("snap length %d: %s", snap, got)
		}
		rec, data, _ := s.next()
		if int(rec.WireLen) != size || len(data) != wantCap {
			t.Errorf("snap length %d: %+v, %d bytes", snap, rec, len(data))
		}
		if c := s.counters("xdp"); c.value("cut") != wantCut || c.value("overlong") != wantOverlong {
			t.Errorf("snap length %d: %+v", snap, c)
		}
	}
	f(0, 65535, 0, 1)
	f(65535, 65535, 1, 0)
}
