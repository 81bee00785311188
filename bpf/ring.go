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

// Ring is one of the kernel's ring buffers, read in place by one goroutine. What
// has been read keeps its room until Release.
//
// The layout is the kernel's BPF_MAP_TYPE_RINGBUF: a page with the consumer's
// position, a page with the producer's, and the data, mapped twice in a row so
// that no record is torn. A record is a header of two u32, of which the first has
// the length and two flags, and as many bytes, up to a multiple of 8. Positions
// only grow.
type Ring struct {
	producer *atomic.Uintptr // shared with the kernel, as is
	consumer *atomic.Uintptr
	data     []byte
	mask     uintptr // of a position into the first half of data
	mark     uintptr // bytes at which the kernel wakes a reader

	next     uintptr // where reading goes on
	end      uintptr // producer, as last seen
	released uintptr // consumer, as last set
	warm     uintptr // up to here the data is in the cache
	touched  byte    // keeps the compiler from leaving the touching out

	file   *os.File // epoll of the ring and the clock
	clock  int      // timerfd
	tick   unix.ItimerSpec
	conn   syscall.RawConn
	ready  func(fd uintptr) bool // look
	waited bool
	fault  error // of look

	maps [][]byte
}

const ringHeader = 8

// ringTick is how often a reader that waits is woken in any case.
const ringTick = 10 * time.Millisecond

// warmAhead is how many bytes are brought into the cache at once: little beside a
// core's second level.
const (
	warmAhead = 32 << 10
	cacheLine = 64
)

// Flags in a record's length.
const (
	ringBusy    = 1 << 31 // reserved, not yet submitted
	ringDiscard = 1 << 30
)

// openRing maps a ring whose reader is woken at mark bytes. m must stay open.
func openRing(m *ebpf.Map, mark int) (*Ring, error) {
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
	r.maps, r.mark = [][]byte{consumer, producer}, uintptr(mark)
	if err := r.poll(m.FD()); err != nil {
		r.close()
		return nil, fmt.Errorf("poll: %w", err)
	}
	return r, nil
}

// newRing reads a ring from its beginning.
func newRing(consumer, producer, data []byte) *Ring {
	r := &Ring{
		clock:    -1,
		tick:     unix.ItimerSpec{Value: unix.NsecToTimespec(int64(ringTick))},
		consumer: (*atomic.Uintptr)(unsafe.Pointer(&consumer[0])),
		producer: (*atomic.Uintptr)(unsafe.Pointer(&producer[0])),
		data:     data,
		mask:     uintptr(len(data)/2 - 1),
	}
	r.next = r.consumer.Load()
	r.end, r.released, r.warm = r.next, r.next, r.next
	return r
}

// poll has the runtime's poller watch the ring and a clock, as one descriptor: a
// goroutine that waits for it holds no thread, and waking it takes no other. One
// that waited in a system call, or for one of the runtime's own timers, would
// keep the runtime busy for longer than the packets do.
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
	if r.clock, err = unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_CLOEXEC|unix.TFD_NONBLOCK); err != nil {
		return err
	}
	for _, fd := range []int{ring, r.clock} {
		if err := unix.EpollCtl(both, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLET}); err != nil {
			return err
		}
	}
	r.ready = r.look
	if r.conn, err = r.file.SyscallConn(); err != nil {
		return err
	}
	return r.file.SetReadDeadline(time.Time{}) // an error: it is not polled
}

// Next returns the next record's bytes, which are the ring's: to be read only,
// and until Release. Not ok: there is none, or the kernel is still writing it.
func (r *Ring) Next() (raw []byte, ok bool) {
	for {
		if r.next == r.end {
			r.end = r.producer.Load()
		}
		if r.next == r.end {
			return nil, false
		}
		if r.next >= r.warm {
			r.warmUp()
		}
		at := r.next & r.mask
		// The kernel clears the flag after it has written the record; an atomic
		// load keeps what is read of the record behind it.
		head := atomic.LoadUint32((*uint32)(unsafe.Pointer(&r.data[at])))
		if head&ringBusy != 0 {
			return nil, false
		}
		size := uintptr(head &^ ringDiscard)
		r.next += (ringHeader + size + 7) &^ 7
		if head&ringDiscard == 0 {
			return r.data[at+ringHeader:][:size:size], true
		}
	}
}

// warmUp touches what comes next, all of it at the same time. Another processor
// has written it, and going from one record's length to the next would wait for
// it at each.
func (r *Ring) warmUp() {
	n := min(r.end-r.next, warmAhead)
	touched := byte(0)
	for at, end := r.next&r.mask, r.next&r.mask+n; at < end; at += cacheLine {
		touched |= r.data[at]
	}
	r.touched |= touched
	r.warm = r.next + n
}

// Held is how many bytes of the ring have been read and not released.
func (r *Ring) Held() int { return int(r.next - r.released) }

// Size is how many bytes the ring has room for.
func (r *Ring) Size() int { return len(r.data) / 2 }

// Empty tells that nothing is left to read, nor being written.
func (r *Ring) Empty() bool { return r.next == r.producer.Load() }

// Release gives the room of all that was read back to the kernel.
func (r *Ring) Release() {
	if r.released != r.next {
		r.released = r.next
		r.consumer.Store(r.next)
	}
}

// Wait releases what was read, and returns when what is left to read passes the
// watermark, and after ringTick at the latest.
func (r *Ring) Wait() error {
	r.Release()
	r.waited, r.fault = false, nil
	if err := r.conn.Read(r.ready); err != nil {
		return err
	}
	return r.fault
}

// look tells whether to wait no longer. The poller asks once before it waits,
// having forgotten what happened so far, and again when something happens.
func (r *Ring) look(uintptr) bool {
	// The kernel wakes where the watermark is passed, not while the ring is above.
	if r.waited || r.producer.Load()-r.next >= r.mark {
		return true
	}
	r.waited = true
	// A raw call: it does not block, and the runtime need not look after it.
	_, _, errno := unix.RawSyscall6(unix.SYS_TIMERFD_SETTIME, uintptr(r.clock), 0, uintptr(unsafe.Pointer(&r.tick)), 0, 0, 0)
	if errno != 0 {
		r.fault = fmt.Errorf("set the clock: %w", errno)
	}
	return errno != 0
}

func (r *Ring) close() error {
	var errs []error
	if r.file != nil {
		errs = append(errs, r.file.Close())
	}
	if r.clock >= 0 {
		errs = append(errs, unix.Close(r.clock))
	}
	for _, m := range r.maps {
		errs = append(errs, unix.Munmap(m))
	}
	r.maps, r.file, r.clock, r.data = nil, nil, -1, nil
	return errors.Join(errs...)
}
