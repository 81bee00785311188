//go:build linux

package main

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"os"
	"sync/atomic"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A TPACKET_V3 ring of as much memory as the sensor's ring has.
const (
	ringBlock  = 1 << 20
	ringBlocks = 16
)

// ringWait is how long the reference waits for packets, and notices its end after, in
// milliseconds.
const ringWait = 100

// referenceLive records packets of an interface until ctx ends. It logs "capturing" when
// it has started, and at the end how many packets the kernel saw and dropped.
func referenceLive(ctx context.Context, iface string, w io.Writer) error {
	dev, err := net.InterfaceByName(iface)
	if err != nil {
		return err
	}
	const every = unix.ETH_P_ALL>>8 | unix.ETH_P_ALL&0xff<<8 // in network byte order
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("open packet socket: %w", err)
	}
	defer unix.Close(fd)
	if err := unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_VERSION, unix.TPACKET_V3); err != nil {
		return fmt.Errorf("ask for TPACKET_V3: %w", err)
	}
	req := unix.TpacketReq3{Block_size: ringBlock, Block_nr: ringBlocks, Frame_size: 2048, Frame_nr: ringBlock / 2048 * ringBlocks, Retire_blk_tov: 60}
	if err := unix.SetsockoptTpacketReq3(fd, unix.SOL_PACKET, unix.PACKET_RX_RING, &req); err != nil {
		return fmt.Errorf("set up the ring: %w", err)
	}
	ring, err := unix.Mmap(fd, 0, ringBlock*ringBlocks, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return fmt.Errorf("map the ring: %w", err)
	}
	defer unix.Munmap(ring)
	if err := unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: every, Ifindex: dev.Index}); err != nil {
		return fmt.Errorf("bind to %s: %w", iface, err)
	}
	fmt.Fprintln(os.Stderr, "capturing")

	r := newReference(w)
	for n := 0; ; n = (n + 1) % ringBlocks {
		block := ring[n*ringBlock : (n+1)*ringBlock]
		status := (*uint32)(unsafe.Pointer(&block[8])) // struct tpacket_block_desc: version, offset to private data, status
		for atomic.LoadUint32(status)&unix.TP_STATUS_USER == 0 {
			if ctx.Err() != nil {
				return r.finishLive(fd)
			}
			if _, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, ringWait); err != nil && err != unix.EINTR {
				return fmt.Errorf("wait for packets: %w", err)
			}
		}
		if err := r.block(block); err != nil {
			return err
		}
		atomic.StoreUint32(status, unix.TP_STATUS_KERNEL)
	}
}

// block reads a block of the ring: a struct tpacket_block_desc, and packets, each after a
// struct tpacket3_hdr.
func (r *reference) block(b []byte) error {
	ne := binary.NativeEndian
	at := ne.Uint32(b[16:])
	for range ne.Uint32(b[12:]) {
		h := b[at:]
		data := h[ne.Uint16(h[24:]):][:ne.Uint32(h[12:])]
		if err := r.packet(data, time.Unix(int64(ne.Uint32(h[4:])), int64(ne.Uint32(h[8:])))); err != nil {
			return err
		}
		at += ne.Uint32(h)
	}
	return nil
}

func (r *reference) finishLive(fd int) error {
	st, err := unix.GetsockoptTpacketStatsV3(fd, unix.SOL_PACKET, unix.PACKET_STATISTICS)
	if err != nil {
		return fmt.Errorf("read the socket's counters: %w", err)
	}
	fmt.Fprintf(os.Stderr, "packets %d\nsocket_full %d\n", st.Packets, st.Drops)
	return r.finish()
}
