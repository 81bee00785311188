//go:build linux

package bpf

import (
	"errors"
	"fmt"
	"os"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

// Ring is one of the kernel's ring buffers, read in place by one goroutine. The space
// of records that have been read is not reused until Release.
//
// The layout is the kernel's BPF_MAP_TYPE_RINGBUF: a page with the consumer's
// position, a page with the producer's, and the data, mapped twice in a row so that
// every record is contiguous. A record is a header of two u32, and then its bytes, padded to
// a multiple of 8. The first u32 has the length and two flags. Positions only grow, and
// have as many bits as the kernel's unsigned long: see produced and Release.
//
// cilium/ebpf's ringbuf.Reader does not replace this, as of v0.22.0. It copies each
// record and frees its space at once, but our caller keeps a batch; a record of 80 bytes
// takes it 29 ns, and Ring 19 ns. It waits in a system call: with a Ring that waited like
// that, a live capture took 95 % more CPU time at 5,000 packets a second (5933 against
// 3047 ns per packet) and 19 % more at some 20,000 (1287 against 1085 ns; medians of 5
// runs on a busy machine). RawReader, merged in June 2026 and in no release yet, reads in
// place, but lends records only during a callback, and waits in the same system call.
type Ring struct {
	producer  *atomic.Uint64 // shared with the kernel, as is
	consumer  *atomic.Uint64
	data      []byte
	mask      uint64 // of a position into the first half of data
	watermark uint64 // unread bytes at which the kernel wakes a reader

	next       uint64 // position of the next record
	end        uint64 // producer, as last read
	released   uint64 // consumer, as last written
	prefetched uint64 // the data before this position is in the cache
	touched    byte   // keeps the compiler from dropping the reads of prefetch

	file    *os.File // epoll of the ring and the timer
	timer   int      // timerfd
	tick    unix.ItimerSpec
	conn    syscall.RawConn
	ready   func(fd uintptr) bool // isReady
	armed   bool                  // this Wait has set the timer
	waitErr error                 // of isReady

	maps [][]byte
}

const ringHeader = 8

// ringTick is the longest wait of a reader. Each wake-up costs some 40 us of a processor, so that
// two idle lanes take 1.5 % of one. With 50 ms it is 0.4 %, and at 10,000 packets a second a packet
// costs 37 % less; but then the lines of two lanes on a terminal are out of order by up to 50 ms.
const ringTick = 10 * time.Millisecond

// prefetchBytes is how many bytes are brought into the cache at once: a small part of
// a core's second-level cache.
const (
	prefetchBytes = 32 << 10
	cacheLine     = 64
)

// Flags in a record's length.
const (
	ringBusy    = 1 << 31 // reserved, not yet submitted
	ringDiscard = 1 << 30
)

// openRing maps a ring whose reader is woken at watermark bytes. m must stay open.
func openRing(m *ebpf.Map, watermark int) (*Ring, error) {
	page, size := os.Getpagesize(), int(m.MaxEntries())
	consumer, err := unix.Mmap(m.FD(), 0, page, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return nil, fmt.Errorf("map the consumer's page: %w", err)
	}
	producer, err := unix.Mmap(m.FD(), int64(page), page+2*size, unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		_ = unix.Munmap(consumer)
		return nil, fmt.Errorf("map %d bytes: %w", size, err)
	}
	r := newRing(consumer, producer, producer[page:])
	r.maps, r.watermark = [][]byte{consumer, producer}, uint64(watermark)
	if err := r.poll(m.FD()); err != nil {
		r.close()
		return nil, fmt.Errorf("poll: %w", err)
	}
	return r, nil
}

// newRing returns a Ring that reads from the consumer's position.
func newRing(consumer, producer, data []byte) *Ring {
	r := &Ring{
		timer:    -1,
		tick:     unix.ItimerSpec{Value: unix.NsecToTimespec(int64(ringTick))},
		consumer: (*atomic.Uint64)(unsafe.Pointer(&consumer[0])),
		producer: (*atomic.Uint64)(unsafe.Pointer(&producer[0])),
		data:     data,
		mask:     uint64(len(data)/2 - 1),
	}
	r.next = r.consumer.Load()
	r.end, r.released, r.prefetched = r.next, r.next, r.next
	return r
}

// poll registers the ring and a timer with the runtime's poller, as one descriptor. A
// goroutine that waits for it blocks no thread, and waking it wakes only one. Waiting
// in a system call, or for one of the runtime's own timers, would keep the runtime
// busy for longer than handling the packets.
func (r *Ring) poll(ring int) error {
	both, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return err
	}
	if err := unix.SetNonblock(both, true); err != nil { // os.NewFile asks for it
		_ = unix.Close(both)
		return err
	}
	r.file = os.NewFile(uintptr(both), "ring")
	if r.timer, err = unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_CLOEXEC|unix.TFD_NONBLOCK); err != nil {
		return err
	}
	for _, fd := range []int{ring, r.timer} {
		if err := unix.EpollCtl(both, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLET}); err != nil {
			return err
		}
	}
	r.ready = r.isReady
	if r.conn, err = r.file.SyscallConn(); err != nil {
		return err
	}
	return r.file.SetReadDeadline(time.Time{}) // fails if the runtime does not poll the file
}

// produced returns the producer's position. A process of 32 bits may run on a kernel of
// 64: the position begins with the lower 32 bits on both, and what follows them on a
// kernel of 32 bits is another number. A ring is much smaller than 4 GiB, so that the
// lower bits say how far the producer is beyond end.
func (r *Ring) produced() uint64 {
	if unsafe.Sizeof(uintptr(0)) == 8 {
		return r.producer.Load()
	}
	low := (*atomic.Uint32)(unsafe.Pointer(r.producer)).Load()
	return r.end + uint64(low-uint32(r.end))
}

// Next returns the bytes of the next record. They are the ring's own: read only, and
// valid until Release. ok is false if there is no record, or if the kernel is still
// writing it.
func (r *Ring) Next() (raw []byte, ok bool) {
	for {
		if r.next == r.end {
			r.end = r.produced()
		}
		if r.next == r.end {
			return nil, false
		}
		if r.next >= r.prefetched {
			r.prefetch()
		}
		at := r.next & r.mask
		// The kernel clears the flag after writing the record. The load is atomic so
		// that no read of the record comes before it.
		head := atomic.LoadUint32((*uint32)(unsafe.Pointer(&r.data[at])))
		if head&ringBusy != 0 {
			return nil, false
		}
		size := uint64(head &^ ringDiscard)
		r.next += (ringHeader + size + 7) &^ 7
		if head&ringDiscard == 0 {
			return r.data[at+ringHeader:][:size:size], true
		}
	}
}

// prefetch reads one byte of each cache line of the next records, so that these loads
// overlap. Another processor has written the records: without it, going from one
// record's length to the next would wait for a load each time.
func (r *Ring) prefetch() {
	n := min(r.end-r.next, prefetchBytes)
	touched := byte(0)
	for at, end := r.next&r.mask, r.next&r.mask+n; at < end; at += cacheLine {
		touched |= r.data[at]
	}
	r.touched |= touched
	r.prefetched = r.next + n
}

// Held returns how many bytes of the ring have been read and not released.
func (r *Ring) Held() int { return int(r.next - r.released) }

// Size returns the size of the ring in bytes.
func (r *Ring) Size() int { return len(r.data) / 2 }

// Empty reports whether no record is left to read or being written.
func (r *Ring) Empty() bool { return r.next == r.produced() }

// Release returns the space of all records that have been read to the kernel. It writes
// 64 bits: a kernel of 32 bits ignores the upper half, and its page has nothing else.
func (r *Ring) Release() {
	if r.released != r.next {
		r.released = r.next
		r.consumer.Store(r.next)
	}
}

// Wait releases what was read. It returns when the unread bytes reach the watermark,
// and after ringTick at the latest.
func (r *Ring) Wait() error {
	r.Release()
	r.armed, r.waitErr = false, nil
	if err := r.conn.Read(r.ready); err != nil {
		return err
	}
	return r.waitErr
}

// isReady reports whether Wait may return. The poller forgets earlier events, calls
// isReady once before it waits, and again at each event.
func (r *Ring) isReady(uintptr) bool {
	// The kernel wakes the reader when the watermark is crossed, not above it.
	if r.armed || r.produced()-r.next >= r.watermark {
		return true
	}
	r.armed = true
	// A raw call does not block, so the scheduler need not know of it.
	_, _, errno := unix.RawSyscall6(unix.SYS_TIMERFD_SETTIME, uintptr(r.timer), 0, uintptr(unsafe.Pointer(&r.tick)), 0, 0, 0)
	if errno != 0 {
		r.waitErr = fmt.Errorf("set the timer: %w", errno)
	}
	return errno != 0
}

func (r *Ring) close() error {
	var errs []error
	if r.file != nil {
		errs = append(errs, r.file.Close())
	}
	if r.timer >= 0 {
		errs = append(errs, unix.Close(r.timer))
	}
	for _, m := range r.maps {
		errs = append(errs, unix.Munmap(m))
	}
	r.maps, r.file, r.timer, r.data = nil, nil, -1, nil
	return errors.Join(errs...)
}
