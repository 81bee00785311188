//go:build linux

package afpacket

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"dnsmonster-sensor/sensor/capture"
	"dnsmonster-sensor/userspace/packet"
)

// maxBatch is how many packets a batch has at most.
const maxBatch = 256

// lane reads one ring of each interface. One goroutine reads; others add rings and wake
// it.
type lane struct {
	source *Source
	rings  []*ring
	turn   int // the ring that is read first
	err    error

	mu    sync.Mutex
	added []*ring

	// The rings and a timer are one descriptor of the runtime's poller, as in package
	// bpf: a lane that waits blocks no thread, and is woken once for each block.
	file    *os.File
	timer   int
	conn    syscall.RawConn
	ready   func(fd uintptr) bool // isReady
	armed   bool                  // this wait has set the timer
	tick    unix.ItimerSpec
	waitErr error
	woken   atomic.Bool // look at added, ending and closing
}

func newLane(s *Source) (*lane, error) {
	l := &lane{source: s, timer: -1}
	if err := l.openPoll(); err != nil {
		_ = l.free()
		return nil, fmt.Errorf("wait for packets: %w", err)
	}
	return l, nil
}

func (l *lane) openPoll() error {
	epoll, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return err
	}
	if err := unix.SetNonblock(epoll, true); err != nil { // os.NewFile asks for it
		_ = unix.Close(epoll)
		return err
	}
	l.file = os.NewFile(uintptr(epoll), "rings")
	if l.timer, err = unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_CLOEXEC|unix.TFD_NONBLOCK); err != nil {
		return err
	}
	if err := poll(epoll, l.timer); err != nil {
		return err
	}
	l.ready = l.isReady
	if l.conn, err = l.file.SyscallConn(); err != nil {
		return err
	}
	return l.file.SetReadDeadline(time.Time{}) // fails if the runtime does not poll the file
}

// poll adds fd to an epoll descriptor. Edges only: a socket whose interface is down
// reports an error for as long as that lasts.
func poll(epoll, fd int) error {
	return unix.EpollCtl(epoll, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLET})
}

// add gives the lane another ring.
func (l *lane) add(r *ring) error {
	var err error
	if e := l.conn.Control(func(epoll uintptr) { err = poll(int(epoll), r.socket.fd) }); e != nil {
		err = e
	}
	if err != nil {
		return fmt.Errorf("wait for packets: %w", err)
	}
	l.mu.Lock()
	l.added = append(l.added, r)
	l.mu.Unlock()
	l.wake()
	return nil
}

// wake makes the lane look up: a ring was added, ends, or the source closes.
func (l *lane) wake() {
	l.woken.Store(true)
	soon := unix.ItimerSpec{Value: unix.NsecToTimespec(1)}
	_ = unix.TimerfdSettime(l.timer, 0, &soon, nil)
}

// update takes over rings that were added, and lets go of those that are drained. It
// reports whether one of the rings is about to end.
func (l *lane) update() (ending bool) {
	l.woken.Store(false)
	l.mu.Lock()
	l.rings = append(l.rings, l.added...)
	l.added = l.added[:0]
	l.mu.Unlock()
	for _, r := range l.rings {
		ending = ending || r.ending.Load() != 0
	}
	if ending {
		now := monotonic()
		l.rings = slices.DeleteFunc(l.rings, func(r *ring) bool {
			if !r.drained(now) {
				return false
			}
			l.source.closeSocket(r.socket)
			return true
		})
	}
	return ending
}

// Read implements capture.Lane. The packets stay in the rings until the next Read.
func (l *lane) Read(b *packet.Batch) error {
	b.Packets, b.Messages = b.Packets[:0], b.Messages[:0]
	l.release()
	// Read before the rings: once closing is set no ring is added.
	closing := l.source.closing.Load()
	ending := l.update()
	if l.take(b); len(b.Packets) > 0 {
		return nil
	}
	if closing && len(l.rings) == 0 {
		return io.EOF
	}
	if l.err = l.wait(ending); l.err != nil {
		return l.err
	}
	if l.take(b); len(b.Packets) > 0 {
		return nil
	}
	return os.ErrDeadlineExceeded
}

func (l *lane) release() {
	for _, r := range l.rings {
		r.release()
	}
}

// take fills b without waiting.
func (l *lane) take(b *packet.Batch) {
	for i := range l.rings {
		r := l.rings[(l.turn+i)%len(l.rings)]
		if r.take(b, maxBatch, l.source.snapLen); len(b.Packets) >= maxBatch {
			break
		}
	}
	l.turn++
}

// Discard implements capture.Discarder.
func (l *lane) Discard() (n int, err error) {
	l.release()
	closing := l.source.closing.Load()
	ending := l.update()
	for _, r := range l.rings {
		n += r.skip()
	}
	switch {
	case n > 0:
		return n, nil
	case closing && len(l.rings) == 0:
		return 0, io.EOF
	}
	if l.err != nil || l.wait(ending) != nil { // the reason why the lane has failed
		time.Sleep(retireAfter)
	}
	return 0, os.ErrDeadlineExceeded
}

// wait returns when a block is ready, when somebody wakes the lane, and after
// capture.ReadTimeout at the latest; soon if a ring ends.
func (l *lane) wait(soon bool) error {
	l.tick = unix.ItimerSpec{Value: unix.NsecToTimespec(int64(capture.ReadTimeout))}
	if soon {
		l.tick.Value = unix.NsecToTimespec(int64(retireAfter))
	}
	l.armed, l.waitErr = false, nil
	if err := l.conn.Read(l.ready); err != nil {
		return fmt.Errorf("wait for packets: %w", err)
	}
	return l.waitErr
}

// isReady reports whether wait may return. The poller forgets earlier events, calls
// isReady once before it waits, and again at each event.
func (l *lane) isReady(uintptr) bool {
	if l.armed || l.woken.Load() {
		return true
	}
	for _, r := range l.rings {
		if r.ready() {
			return true
		}
	}
	l.armed = true
	// A raw call does not block, so the scheduler need not know of it.
	_, _, errno := unix.RawSyscall6(unix.SYS_TIMERFD_SETTIME, uintptr(l.timer), 0, uintptr(unsafe.Pointer(&l.tick)), 0, 0, 0)
	if errno != 0 {
		l.waitErr = fmt.Errorf("wait for packets: set the timer: %w", errno)
	}
	// wake may have set the timer before it was set here.
	return errno != 0 || l.woken.Load()
}

// free closes what the lane waits with.
func (l *lane) free() error {
	var errs []error
	if l.file != nil {
		errs = append(errs, l.file.Close())
	}
	if l.timer >= 0 {
		errs = append(errs, unix.Close(l.timer))
	}
	l.file, l.timer = nil, -1
	return errors.Join(errs...)
}

var _ interface {
	capture.Lane
	capture.Discarder
} = (*lane)(nil)
