package capturetest

import (
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"dnsmonster-sensor/sensor/capture"
	"dnsmonster-sensor/test/lab/tier"
	"dnsmonster-sensor/userspace/packet"
)

// memory is a live source of two lanes that feed fills. It keeps all promises except
// the one that wrong names.
type memory struct {
	wrong string
	lanes []*lane
	more  chan struct{} // closed by Close
	once  sync.Once

	mu    sync.Mutex
	given uint64
	asks  uint64 // calls of Given
}

type lane struct {
	source *memory
	queue  chan []byte
	buf    []byte
	ended  int
}

const held = 1000 // packets that a lane holds

func newMemory(wrong string) *memory {
	s := &memory{wrong: wrong, more: make(chan struct{})}
	for range 2 {
		s.lanes = append(s.lanes, &lane{source: s, queue: make(chan []byte, held)})
	}
	return s
}

func (s *memory) feed(n int) {
	for i := range n {
		s.lanes[i%2].queue <- fmt.Appendf(nil, "packet %d", i)
		s.mu.Lock()
		s.given++
		s.mu.Unlock()
	}
}

func (s *memory) Lanes() (list []capture.Lane) {
	for _, l := range s.lanes {
		if s.wrong == "other lanes" {
			l = &lane{source: s, queue: l.queue}
		}
		list = append(list, l)
	}
	if s.wrong == "no lane" {
		return nil
	}
	return list
}

func (s *memory) Live() bool { return true }

func (s *memory) Given() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch s.asks++; {
	case s.wrong == "miscounts" && s.given > 0:
		return s.given + 1
	case s.wrong == "falls" && s.asks%2 == 0 && s.given > 0:
		return s.given - 1
	}
	return s.given
}

func (s *memory) Err() error {
	if s.wrong == "error" {
		return io.ErrUnexpectedEOF
	}
	return nil
}

func (s *memory) Close() error {
	if s.wrong == "close once" {
		select {
		case <-s.more:
			return os.ErrClosed
		default:
		}
	}
	if s.wrong == "close waits" {
		time.Sleep(time.Second)
	}
	s.once.Do(func() { close(s.more) })
	return nil
}

func (s *memory) Kernel() (capture.KernelStats, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	given := capture.Counter{Name: "delivered", Kind: capture.CountsDelivered, Value: s.given, Known: true}
	in := capture.Counter{Name: "seen", Kind: capture.CountsIn, Value: s.given, Known: true}
	switch s.wrong {
	case "unbalanced":
		in.Value++
	case "other counter":
		given.Value++
		in.Value++
	case "same name":
		in.Name = "delivered"
	}
	return capture.KernelStats{Hooks: []capture.HookStats{{Hook: "memory", Counters: []capture.Counter{in, given}}}}, nil
}

func (s *memory) Progress() (float64, bool) {
	if s.wrong == "progress" {
		return 1.5, true
	}
	return 0, false
}

func (s *memory) Free() error {
	if s.wrong == "free" {
		return os.ErrClosed
	}
	return nil
}

// next waits for a packet.
func (l *lane) next() ([]byte, error) {
	wrong, closed := l.source.wrong, l.source.more
	if wrong == "never ends" {
		closed = nil
	}
	timeout := 20 * time.Millisecond
	if wrong == "never looks up" {
		timeout = time.Hour
	}
	if wrong == "forgets what it holds" {
		select {
		case <-closed:
			return nil, io.EOF
		default:
		}
	}
	select {
	case data := <-l.queue:
		return data, nil
	default:
	}
	select {
	case data := <-l.queue:
		return data, nil
	case <-closed:
		return nil, io.EOF
	case <-time.After(timeout):
		return nil, os.ErrDeadlineExceeded
	}
}

func (l *lane) Read(b *packet.Batch) error {
	wrong := l.source.wrong
	if wrong != "keeps packets with an error" {
		b.Packets = b.Packets[:0]
	}
	data, err := l.next()
	switch {
	case err == io.EOF:
		if l.ended++; wrong == "ends once" && l.ended > 1 {
			return os.ErrDeadlineExceeded
		}
		return err
	case err != nil && wrong == "gives nothing":
		return nil
	case err != nil:
		return err
	}
	if wrong == "loses" && strings.HasSuffix(string(data), "7") {
		return os.ErrDeadlineExceeded
	}
	if wrong == "fails" {
		return os.ErrInvalid
	}
	l.buf = append(l.buf[:0], data...)
	b.Packets = append(b.Packets[:0], packet.Packet{Data: l.buf, WireLen: uint32(len(l.buf)), Link: packet.LinkRaw})
	if wrong == "short on the wire" {
		b.Packets[0].WireLen--
	}
	if wrong == "writes over" {
		go func() { l.source.mu.Lock(); l.buf[0]++; l.source.mu.Unlock() }()
	}
	return nil
}

func (l *lane) Discard() (int, error) {
	_, err := l.next()
	if l.source.wrong == "discards uncounted" {
		return 0, err
	}
	if err != nil {
		return 0, err
	}
	return 1, nil
}

// said is a T that keeps the errors.
type said struct {
	mu    sync.Mutex
	lines []string
}

func (s *said) Helper() {}

func (s *said) Errorf(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lines = append(s.lines, fmt.Sprintf(format, args...))
}

// checked returns what the checks find in a source with one fault.
func checked(wrong string, limit time.Duration) string {
	var t said
	var open *memory
	Check(&t, Target{
		Open: func() capture.Source { open = newMemory(wrong); return open },
		Feed: func() { open.feed(100) }, Packets: 100, WaitLimit: limit,
	})
	t.mu.Lock()
	defer t.mu.Unlock()
	return strings.Join(t.lines, "\n")
}

func TestRightSourcePasses(t *testing.T) {
	if found := checked("", 0); found != "" {
		t.Errorf("found:\n%s", found)
	}
}

// TestWrongSourcesFail: for each fault a check fails.
func TestWrongSourcesFail(t *testing.T) {
	if tier.Race {
		t.Skip(tier.LeftTo + "test-all: sources that never end, and do not wait, race by themselves")
	}
	check := func(wrong, want string, limits ...time.Duration) {
		t.Helper()
		t.Run(wrong, func(t *testing.T) {
			t.Parallel()
			var found string
			for _, limit := range limits {
				if found = checked(wrong, limit); strings.Contains(found, want) {
					return
				}
			}
			t.Errorf("found %q, want %q", found, want)
		})
	}
	f := func(wrong, want string) { t.Helper(); check(wrong, want, 0) }
	f("miscounts", "to the end: Given is 101 at the end, the lanes delivered 100 packets")
	f("falls", "Given falls from")
	f("error", "Err: unexpected EOF")
	f("close once", "Close: file already closed")
	f("ends once", "after the end")
	f("short on the wire", "has 7 on the wire")
	f("unbalanced", "101 came in, 100 have an outcome")
	f("other counter", "the kernel has given 101 packets, Given is 100")
	f("same name", "two counters have one name")
	f("progress", "Progress is 1.5")
	f("free", "Free: file already closed")
	f("writes over", "a packet changes before the next Read")
	f("forgets what it holds", "closed before it is read: 0 packets were read, want 100")

	// With these a check waits for something that does not come. On a busy machine a short
	// wait also ends before what does come, and hides the fault: a longer one finds it.
	f = func(wrong, want string) { t.Helper(); check(wrong, want, 30*time.Millisecond, time.Second, 0) }
	f("no lane", "there is no lane")
	f("other lanes", "Lanes returns other lanes")
	f("close waits", "Close does not return")
	f("never ends", "the lanes do not end")
	f("never looks up", "0 of 2 lanes report")
	f("keeps packets with an error", "packets with the error")
	f("gives nothing", "neither a packet nor an error")
	f("loses", "of 100 packets come within")
	f("fails", "Read: invalid argument")
	f("discards uncounted", "discarded: 0 of 100 packets come")
}
