//go:build linux

package lab

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"runtime"
	"slices"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// batchMax is how many packets go into one system call.
const batchMax = 64

// Flow is a stream of UDP datagrams from one host. They pass its queueing discipline
// like those of any server.
type Flow struct {
	From     *Host
	To       netip.AddrPort
	Ports    int      // source ports, used in turn by batches; 0 is 1
	Messages [][]byte // sent in turn; the first two bytes (the DNS id) count up, from 0
	Rate     int      // packets a second; 0 is as fast as the kernel takes them
	Count    int
}

// Sent is the result of a stream. Packets are those that the kernel accepted: each is
// in the TxPackets of its interface, or in its TxDropped.
type Sent struct {
	Packets uint64
	Took    time.Duration
}

// Send sends until Count is reached or ctx ends, which is no error, and then waits
// until the other host has received the packets: on a busy machine that is later. It
// occupies a thread. A stream that falls behind its rate by more than 10 ms does not
// catch up in a burst: it takes longer.
func (f Flow) Send(ctx context.Context) (Sent, error) {
	if len(f.Messages) == 0 {
		return Sent{}, errors.New("send messages: none given")
	}
	for i, m := range f.Messages {
		if len(m) < 2 {
			return Sent{}, fmt.Errorf("send messages: number %d is too short for an id", i)
		}
	}
	fds, err := f.From.sockets(max(f.Ports, 1), family(f.To.Addr()), unix.SOCK_DGRAM, 0)
	if err != nil {
		return Sent{}, err
	}
	defer closeAll(fds)

	b := newBatch(f.To)
	var id uint16
	next, turn := 0, 0
	arrived, err := f.From.watchArrivals(f.To.Addr())
	if err != nil {
		return Sent{}, err
	}
	sent, err := pace(ctx, f.Rate, f.Count, func(n int) (int, error) {
		for i := range n {
			m := append(b.packets[i][:0], f.Messages[next]...)
			binary.BigEndian.PutUint16(m, id)
			b.packets[i] = m
			id++
			next = (next + 1) % len(f.Messages)
		}
		fd := fds[turn]
		turn = (turn + 1) % len(fds)
		return b.send(fd, n)
	})
	return sent, errors.Join(err, arrived(sent))
}

// arrivalTimeout is how long Send waits without any arrival: packets that are still
// missing then were dropped where no counter shows it.
const arrivalTimeout = 2 * time.Second

// watchArrivals returns a function that waits until the other host has received the
// packets sent from now on. Where they go elsewhere it does not wait.
func (h *Host) watchArrivals(to netip.Addr) (arrived func(Sent) error, err error) {
	if !slices.Contains(h.peer.addrs, to) {
		return func(Sent) error { return nil }, nil
	}
	before, err := h.Counters()
	if err != nil {
		return nil, err
	}
	had, err := h.peer.received()
	return func(sent Sent) error {
		for last, at := uint64(0), time.Now(); ; time.Sleep(time.Millisecond) {
			now, err := h.peer.received()
			if err != nil {
				return err
			}
			left, err := h.Counters()
			if err != nil {
				return err
			}
			if now-had+left.Sub(before).TxDropped >= sent.Packets {
				return nil
			}
			if now != last {
				last, at = now, time.Now()
			} else if time.Since(at) > arrivalTimeout {
				return nil
			}
		}
	}, err
}

// Fragments is a flood of IPv4 fragments of UDP datagrams that do not belong to a DNS
// server. Where the datagrams are complete and no socket has the port, the receiver
// answers some with ICMP: see Sink.
type Fragments struct {
	From, To  *Host
	Port      uint16 // source and destination; 0 is 2049 (NFS)
	Each      int    // fragments per datagram, at least 2; 0 is 3
	LaterOnly bool   // omit the first fragment of each datagram
	Rate      int    // fragments a second; 0 is as fast as the kernel takes them
	Count     int    // fragments in all
	Seed      uint64 // of the random IP ids
}

// fragmentData is the payload of one fragment, a multiple of 8.
const fragmentData = 1400

// Send is like Flow.Send.
func (f Fragments) Send(ctx context.Context) (Sent, error) {
	fds, err := f.From.sockets(1, unix.AF_INET, unix.SOCK_RAW, unix.IPPROTO_RAW)
	if err != nil {
		return Sent{}, err
	}
	defer closeAll(fds)

	port, each := f.Port, f.Each
	if port == 0 {
		port = 2049
	}
	if each == 0 {
		each = 3
	}
	if each < 2 || each*fragmentData > 65000 {
		return Sent{}, fmt.Errorf("send fragments: a datagram cannot have %d of %d bytes", each, fragmentData)
	}
	b := newBatch(netip.AddrPortFrom(f.To.V4, 0))
	ids := rand.New(rand.NewPCG(f.Seed, 1))
	var id uint16
	piece := each // the next packet begins a datagram
	arrived, err := f.From.watchArrivals(f.To.V4)
	if err != nil {
		return Sent{}, err
	}
	sent, err := pace(ctx, f.Rate, f.Count, func(n int) (int, error) {
		for i := range n {
			if piece == each {
				id = uint16(1 + ids.IntN(65535)) // the kernel would replace a 0
				piece = 0
				if f.LaterOnly {
					piece = 1
				}
			}
			b.packets[i] = f.fragment(b.packets[i][:0], id, port, piece, each)
			piece++
		}
		return b.send(fds[0], n)
	})
	return sent, errors.Join(err, arrived(sent))
}

// fragment builds an IPv4 packet; the kernel fills in its checksum.
func (f Fragments) fragment(p []byte, id, port uint16, piece, each int) []byte {
	field := uint16(piece * fragmentData / 8)
	if piece < each-1 {
		field |= 0x2000 // more fragments
	}
	p = append(p, 0x45, 0)
	p = binary.BigEndian.AppendUint16(p, 20+fragmentData)
	p = binary.BigEndian.AppendUint16(p, id)
	p = binary.BigEndian.AppendUint16(p, field)
	p = append(p, 64, unix.IPPROTO_UDP, 0, 0)
	p = append(p, f.From.V4.AsSlice()...)
	p = append(p, f.To.V4.AsSlice()...)
	data := fragmentData
	if piece == 0 {
		p = binary.BigEndian.AppendUint16(p, port)
		p = binary.BigEndian.AppendUint16(p, port)
		p = binary.BigEndian.AppendUint16(p, uint16(each*fragmentData))
		p = append(p, 0, 0) // no UDP checksum
		data -= 8
	}
	for i := range data {
		p = append(p, byte(i))
	}
	return p
}

// Sink opens a UDP port that nobody reads: the kernel drops what arrives, and sends no
// ICMP. The end of the test closes it.
func (h *Host) Sink(t testing.TB, port uint16) {
	t.Helper()
	err := h.Do(func() error {
		conn, err := net.ListenUDP("udp", &net.UDPAddr{Port: int(port)})
		if err == nil {
			t.Cleanup(func() { conn.Close() })
		}
		return err
	})
	if err != nil {
		t.Fatalf("open sink: %v", err)
	}
}

// pace calls send with the number of packets that are due, until count are sent. send
// returns how many of them the kernel accepted.
func pace(ctx context.Context, rate, count int, send func(n int) (int, error)) (Sent, error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	begin := time.Now()
	schedule := begin
	sent, late := 0, 0 // late: packets that the schedule skipped to avoid a burst
	for sent < count && ctx.Err() == nil {
		due := count - sent
		if rate > 0 {
			elapsed := time.Since(schedule)
			due = 1 + int(elapsed.Seconds()*float64(rate)) - sent - late
			if burst := max(rate/100, 1); due > burst {
				late += due - burst
				due = burst
			}
			if due <= 0 {
				// One system call should carry several packets of a fast stream.
				wait := max(time.Second/time.Duration(rate), 100*time.Microsecond)
				ts := unix.NsecToTimespec(min(wait, 50*time.Millisecond).Nanoseconds())
				_ = unix.Nanosleep(&ts, nil)
				continue
			}
		}
		n, err := send(min(due, count-sent, batchMax))
		sent += n
		if err != nil {
			return Sent{uint64(sent), time.Since(begin)}, err
		}
	}
	return Sent{uint64(sent), time.Since(begin)}, nil
}

// sockets opens blocking sockets inside the host. They work outside it too.
func (h *Host) sockets(n, family, kind, proto int) (fds []int, err error) {
	err = h.Do(func() error {
		for range n {
			fd, err := unix.Socket(family, kind|unix.SOCK_CLOEXEC, proto)
			if err != nil {
				return fmt.Errorf("open socket: %w", err)
			}
			fds = append(fds, fd)
		}
		return nil
	})
	if err != nil {
		closeAll(fds)
		return nil, err
	}
	return fds, nil
}

func closeAll(fds []int) {
	for _, fd := range fds {
		unix.Close(fd)
	}
}

func family(a netip.Addr) int {
	if a.Is4() {
		return unix.AF_INET
	}
	return unix.AF_INET6
}

// mmsghdr is the kernel's struct mmsghdr.
type mmsghdr struct {
	unix.Msghdr
	sent uint32
}

// batch is the arguments of sendmmsg. It must not be copied: its headers point into
// it.
type batch struct {
	packets [batchMax][]byte
	iovs    [batchMax]unix.Iovec
	headers [batchMax]mmsghdr
	name    []byte // a struct sockaddr_in or sockaddr_in6
}

func newBatch(to netip.AddrPort) *batch {
	b := &batch{name: sockaddr(to)}
	for i := range b.headers {
		h := &b.headers[i]
		h.Name = &b.name[0]
		h.Namelen = uint32(len(b.name))
		h.Iov = &b.iovs[i]
		h.SetIovlen(1)
	}
	return b
}

func sockaddr(to netip.AddrPort) []byte {
	s := binary.NativeEndian.AppendUint16(nil, uint16(family(to.Addr())))
	s = binary.BigEndian.AppendUint16(s, to.Port())
	if to.Addr().Is4() {
		s = append(s, to.Addr().AsSlice()...)
		return append(s, make([]byte, 8)...)
	}
	s = append(s, 0, 0, 0, 0) // flow label
	s = append(s, to.Addr().AsSlice()...)
	return append(s, 0, 0, 0, 0) // scope
}

// send passes the first n packets to the kernel, and returns how many it accepted: all
// of them unless there is an error.
func (b *batch) send(fd, n int) (int, error) {
	for i := range n {
		b.iovs[i].Base = &b.packets[i][0]
		b.iovs[i].SetLen(len(b.packets[i]))
	}
	done := 0
	for done < n {
		got, _, errno := unix.Syscall6(unix.SYS_SENDMMSG, uintptr(fd), uintptr(unsafe.Pointer(&b.headers[done])), uintptr(n-done), 0, 0, 0)
		runtime.KeepAlive(b)
		switch errno {
		case 0:
			done += int(got)
		case unix.EINTR:
		case unix.ENOBUFS: // a queue is full: give it the time to drain
			ts := unix.NsecToTimespec((100 * time.Microsecond).Nanoseconds())
			_ = unix.Nanosleep(&ts, nil)
		default:
			return done, fmt.Errorf("send packets: %w", errno)
		}
	}
	return done, nil
}
