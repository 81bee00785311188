//go:build linux

package afpacket

import (
	"errors"
	"fmt"
	"math/bits"
	"sync"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// socket is a packet socket with a ring. It receives nothing until it is bound, and only
// what its filter passes.
type socket struct {
	fd   int
	ring *ring

	mu     sync.Mutex
	counts counts
	closed bool
}

// counts are sums of what the kernel reports. It forgets them when they are read.
type counts struct {
	in, freezes          uint64
	full, failed         uint64 // dropped: without room for them, and after they had a place
	losing, cut, missing uint64 // of the reader
}

// delivered is the number of packets that the kernel has put into the ring.
func (c counts) delivered() uint64 { return c.in - c.full - c.failed - c.missing }

func (c *counts) add(o counts) {
	c.in += o.in
	c.full += o.full
	c.failed += o.failed
	c.freezes += o.freezes
	c.losing += o.losing
	c.cut += o.cut
	c.missing += o.missing
}

// geometry is the size of a ring.
type geometry struct {
	block, blocks int
	retire        time.Duration
}

const (
	minBlock = 128 << 10 // holds a packet of 64 KiB
	maxBlock = 1 << 20   // holds one of 512 KiB, which the kernel may have joined

	retireAfter    = 10 * time.Millisecond // that a block which is not full is delivered
	retireManyFrom = 32                    // sockets, from which on the kernel's timers run less often

	minBlocks = 4
	// manyBlocks is as many as a ring of large blocks has at least. Where packets are few, a
	// block ends by time: the ring bridges that many times retireAfter without a reader.
	manyBlocks = 256
)

// geometryOf divides bytes among sockets.
func geometryOf(bytes, sockets int) geometry {
	each := max(bytes/max(sockets, 1), minBlocks*minBlock)
	block := min(max(1<<max(bits.Len(uint(each/manyBlocks))-1, 0), minBlock), maxBlock)
	g := geometry{block: block, blocks: each / block, retire: retireAfter}
	if sockets >= retireManyFrom {
		g.retire = min(retireAfter*time.Duration(sockets)/retireManyFrom, 5*retireAfter)
	}
	return g
}

// check refuses the rings of an interface if they are larger than half of the machine's
// memory: the kernel would take it from other programs.
func (g geometry) check(rings int) error {
	var i unix.Sysinfo_t
	if err := unix.Sysinfo(&i); err != nil {
		return nil // the kernel says no later, if at all
	}
	half := uint64(i.Totalram) * uint64(i.Unit) / 2
	if want := uint64(g.block) * uint64(g.blocks) * uint64(rings); want > half {
		return fmt.Errorf("packet sockets: rings of %d MiB are more than half of this machine's memory: use a smaller --afpacketbuffersizemb, at most %d", want>>20, half>>20)
	}
	return nil
}

// openSocket opens a socket with a ring, whose filter drops everything.
func openSocket(g geometry, vnet, ignoreOutgoing bool) (*socket, error) {
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, explainSocket(err)
	}
	s := &socket{fd: fd}
	if err := s.setUp(g, vnet, ignoreOutgoing); err != nil {
		_ = unix.Close(fd)
		return nil, err
	}
	return s, nil
}

func (s *socket) setUp(g geometry, vnet, ignoreOutgoing bool) error {
	if err := unix.SetsockoptInt(s.fd, unix.SOL_PACKET, unix.PACKET_VERSION, unix.TPACKET_V3); err != nil {
		return fmt.Errorf("packet socket: this kernel has no TPACKET_V3 (Linux 3.2): %w", err)
	}
	if err := s.setFilter(dropAll); err != nil {
		return err
	}
	// Before Linux 6.6 a kernel may not know a header for joined UDP datagrams, and would
	// drop them. The size of the header can be set on kernels that know it for sure.
	if vnet {
		vnet = unix.SetsockoptInt(s.fd, unix.SOL_PACKET, unix.PACKET_VNET_HDR_SZ, vnetHeader) == nil
	}
	if ignoreOutgoing {
		// Linux 4.20. The filter drops these packets on older ones.
		_ = unix.SetsockoptInt(s.fd, unix.SOL_PACKET, unix.PACKET_IGNORE_OUTGOING, 1)
	}
	const frame = 2048 // the kernel checks it, and does not use it
	req := unix.TpacketReq3{
		Block_size: uint32(g.block), Block_nr: uint32(g.blocks), Frame_size: frame, Frame_nr: uint32(g.block / frame * g.blocks),
		Retire_blk_tov: uint32(g.retire / time.Millisecond),
	}
	if err := unix.SetsockoptTpacketReq3(s.fd, unix.SOL_PACKET, unix.PACKET_RX_RING, &req); err != nil {
		return explainRing(g, err)
	}
	memory, err := unix.Mmap(s.fd, 0, g.block*g.blocks, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return explainRing(g, err)
	}
	s.ring = &ring{socket: s, memory: memory, size: g.block, blocks: g.blocks, vnet: vnet}
	return nil
}

func (s *socket) setFilter(code []unix.SockFilter) error {
	program := unix.SockFprog{Len: uint16(len(code)), Filter: &code[0]}
	if err := unix.SetsockoptSockFprog(s.fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &program); err != nil {
		return fmt.Errorf("packet socket: attach a filter of %d instructions: %w", len(code), err)
	}
	return nil
}

// bind begins to receive from an interface; 0 is all of them.
func (s *socket) bind(index int) error {
	if err := unix.Bind(s.fd, &unix.SockaddrLinklayer{Protocol: htons(unix.ETH_P_ALL), Ifindex: index}); err != nil {
		return fmt.Errorf("packet socket: bind: %w", err)
	}
	return nil
}

// boundTo returns the number of the interface, -1 once it is gone.
func (s *socket) boundTo() int {
	a, err := unix.Getsockname(s.fd)
	if ll, ok := a.(*unix.SockaddrLinklayer); ok && err == nil {
		return ll.Ifindex
	}
	return -1
}

// join makes the socket a member of a fanout group, and returns the group's number. The
// first member makes the group.
func (s *socket) join(group int, first, ignoreOutgoing bool) (int, error) {
	flags := unix.PACKET_FANOUT_CBPF
	if ignoreOutgoing {
		flags |= unix.PACKET_FANOUT_FLAG_IGNORE_OUTGOING
	}
	if first {
		flags |= unix.PACKET_FANOUT_FLAG_UNIQUEID
	}
	if err := unix.SetsockoptInt(s.fd, unix.SOL_PACKET, unix.PACKET_FANOUT, int(int32(uint32(flags)<<16|uint32(group)))); err != nil {
		return 0, fmt.Errorf("packet socket: join a fanout group: %w", err)
	}
	if !first {
		return group, nil
	}
	n, err := unix.GetsockoptInt(s.fd, unix.SOL_PACKET, unix.PACKET_FANOUT)
	if err != nil {
		return 0, fmt.Errorf("packet socket: read the number of a fanout group: %w", err)
	}
	return n & 0xffff, nil
}

// setSpread sets the program that chooses a member of the group.
func (s *socket) setSpread(code []unix.SockFilter) error {
	program := unix.SockFprog{Len: uint16(len(code)), Filter: &code[0]}
	_, _, errno := unix.Syscall6(unix.SYS_SETSOCKOPT, uintptr(s.fd), unix.SOL_PACKET, unix.PACKET_FANOUT_DATA,
		uintptr(unsafe.Pointer(&program)), unsafe.Sizeof(program), 0)
	if errno != 0 {
		return fmt.Errorf("packet socket: set the program of a fanout group, %d instructions: %w", len(code), errno)
	}
	return nil
}

// current returns the sums so far.
func (s *socket) current() counts {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return counts{}
	}
	s.update()
	return s.counts
}

// update adds what the kernel has counted since the last call.
func (s *socket) update() {
	if n, err := unix.GetsockoptTpacketStatsV3(s.fd, unix.SOL_PACKET, unix.PACKET_STATISTICS); err == nil {
		s.counts.in += uint64(n.Packets) // with those that were dropped
		s.counts.freezes += uint64(n.Freeze_q_cnt)
		// The kernel does not tell one kind of drop from the other, but the reader does. It
		// may see the place later than the kernel counts it: neither number ever falls.
		dropped := s.counts.full + s.counts.failed + uint64(n.Drops)
		s.counts.full = max(s.counts.full, dropped-min(s.ring.failed.Load(), dropped))
		s.counts.failed = dropped - s.counts.full
	}
	s.counts.losing, s.counts.cut = s.ring.losing.Load(), s.ring.cut.Load()
}

// put is how many packets the kernel has put into the ring.
func (s *socket) put() uint64 {
	c := s.current()
	return c.delivered()
}

// end stops the intake. What the ring holds can still be read.
func (s *socket) end() error {
	if s.ring.ending.Load() != 0 {
		return nil
	}
	err := s.setFilter(dropAll)
	if err != nil { // it needs memory
		err = s.bindNothing()
	}
	s.ring.ending.Store(monotonic())
	return err
}

// bindNothing ends the intake of a socket that is in no group.
func (s *socket) bindNothing() error {
	if err := unix.Bind(s.fd, &unix.SockaddrLinklayer{}); err != nil {
		return fmt.Errorf("packet socket: end the capture: %w", err)
	}
	return nil
}

// final returns the last sums. What the kernel has put into the ring and nobody has read
// is missing from then on. No later call returns anything.
func (s *socket) final() counts {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return counts{}
	}
	s.update()
	c, read := s.counts, s.ring.read.Load()
	if put := c.delivered(); put > read {
		c.missing = put - read
	}
	s.closed = true
	return c
}

// close frees the memory. It waits for the kernel, some milliseconds.
func (s *socket) close() error {
	err := unix.Munmap(s.ring.memory)
	return errors.Join(err, unix.Close(s.fd))
}

func monotonic() int64 {
	var t unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &t)
	return t.Nano()
}

func htons(v uint16) uint16 {
	b := [2]byte{byte(v >> 8), byte(v)}
	return *(*uint16)(unsafe.Pointer(&b))
}
