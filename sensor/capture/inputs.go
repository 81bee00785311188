package capture

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"slices"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"
	"golang.org/x/term"

	"dnsmonster-sensor/userspace/packet"
)

// Chooser assigns packets to lanes.
type Chooser func(*packet.Packet) packet.Hash

// fileBatch is how many packets of a mapped file a lane gives at once.
const fileBatch = 256

// stdinPath is the argument that means the standard input.
const stdinPath = "-"

// InputOptions says what to read, and how.
type InputOptions struct {
	Paths  []string // capture files, compressed or not, and fifos; "-" is the standard input
	Lanes  int
	Choose Chooser
	Raw    bool    // packets of files that call themselves Ethernet start with the IP header
	Speed  float64 // 1: at the pace of the recording, 10: ten times as fast; 0: as fast as possible
	Stdin  *os.File
	Log    *slog.Logger // nil: says nothing
}

// Inputs is a Source of capture files, read in the given order. Regular files
// that are not compressed are mapped: every lane walks all of them and skips
// what is not its own. All others are streams, which one goroutine reads and
// hands out to the lanes; where a lane is slow it waits.
type Inputs struct {
	items   []*input
	lanes   []*inputLane
	walking atomic.Int32 // lanes that have not seen the end
	stop    atomic.Bool
	raw     bool
	pace    pace
	names   fileInterfaces
	log     *slog.Logger
	mu      sync.Mutex
	errs    []error
	noted   map[string][]string // by path
}

// input is one of the files: mapped, or a stream.
type input struct {
	path   string
	size   int64 // bytes in the file, -1: not known
	mapped *mapped
	stream *stream
}

// OpenInputs opens capture files for the lanes. What cannot be opened is an
// error at once. What turns out to be no capture, or damaged further on, is
// reported by Err when the others have been read. A fifo is opened when its
// turn comes.
func OpenInputs(o InputOptions) (*Inputs, error) {
	s := &Inputs{raw: o.Raw, pace: pace{speed: o.Speed}, log: cmp.Or(o.Log, slog.New(slog.DiscardHandler))}
	for _, path := range o.Paths {
		if path == stdinPath && slices.ContainsFunc(s.items, func(in *input) bool { return in.path == stdinPath }) {
			s.unmap()
			return nil, errors.New("the standard input is named twice")
		}
		in, err := s.open(path, &o)
		if err != nil {
			s.unmap()
			return nil, err
		}
		if in != nil {
			s.items = append(s.items, in)
		}
	}
	s.walking.Store(int32(o.Lanes))
	for i := range o.Lanes {
		s.lanes = append(s.lanes, &inputLane{source: s, number: i, of: o.Lanes, choose: o.Choose})
	}
	return s, nil
}

// open decides how a path is read. It returns nil for a file that is known to
// be no capture; that has been noted.
func (s *Inputs) open(path string, o *InputOptions) (*input, error) {
	if path == stdinPath {
		stdin := cmp.Or(o.Stdin, os.Stdin)
		if term.IsTerminal(int(stdin.Fd())) {
			return nil, errors.New("the standard input is a terminal: pipe a capture into it, or name a file")
		}
		return s.newStream(path, -1, o, func() (io.ReadCloser, error) { return stdin, nil }), nil
	}
	st, err := os.Stat(path)
	if err == nil && st.IsDir() {
		err = fmt.Errorf("%s is a folder: name the files in it", path)
	}
	if err == nil {
		if err = unix.Access(path, unix.R_OK); err != nil {
			err = &fs.PathError{Op: "open", Path: path, Err: err}
		}
	}
	if err != nil {
		return nil, err
	}
	opened := func() (io.ReadCloser, error) { return os.Open(path) }
	if !st.Mode().IsRegular() {
		return s.newStream(path, -1, o, opened), nil
	}
	if o.Speed > 0 { // one reader keeps the pace for all lanes
		return s.newStream(path, st.Size(), o, opened), nil
	}
	m, err := mapFile(path)
	if err != nil {
		return nil, err
	}
	if m == nil || compressed(m.data) {
		m.unmap()
		return s.newStream(path, st.Size(), o, opened), nil
	}
	if _, _, err = newFormat(m.data, told{}); err != nil {
		s.fail(fmt.Errorf("read %s: %w", path, err))
		m.unmap()
		return nil, nil
	}
	return &input{path: path, size: int64(len(m.data)), mapped: m}, nil
}

// Lanes returns the lanes.
func (s *Inputs) Lanes() []Lane {
	lanes := make([]Lane, len(s.lanes))
	for i, l := range s.lanes {
		lanes[i] = l
	}
	return lanes
}

// Live is false: behind a file everybody waits.
func (s *Inputs) Live() bool { return false }

// Kernel has nothing to tell of files.
func (s *Inputs) Kernel() (KernelStats, error) { return KernelStats{}, nil }

// Given is what the readers of streams handed out, and of mapped files what the
// lanes gave. Once all lanes have seen the end of all files it is, of mapped
// ones, the number of packets in them, so that one that no lane took for its
// own is missed.
func (s *Inputs) Given() uint64 {
	var n uint64
	for _, in := range s.items {
		if in.stream != nil {
			n += in.stream.given()
		}
	}
	if s.walking.Load() == 0 && !s.stop.Load() && s.Err() == nil {
		return n + s.lanes[0].walked.Load()
	}
	for _, l := range s.lanes {
		n += l.given.Load()
	}
	return n
}

// Err joins what was wrong with the files.
func (s *Inputs) Err() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return errors.Join(s.errs...)
}

func (s *Inputs) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range s.errs {
		if e.Error() == err.Error() { // every lane finds the same damage
			return
		}
	}
	s.errs = append(s.errs, err)
}

// maxNotes is how much is said about one file: it could make us say something in
// each of its blocks.
const maxNotes = 10

// note logs what a reader of path should know, once, whichever lane finds it.
func (s *Inputs) note(path, text string) {
	s.mu.Lock()
	said := s.noted[path]
	if len(said) == maxNotes {
		text = "there is more of that kind in this file"
	}
	known := len(said) > maxNotes || slices.Contains(said, text)
	if !known {
		if s.noted == nil {
			s.noted = map[string][]string{}
		}
		s.noted[path] = append(said, text)
	}
	s.mu.Unlock()
	if !known {
		s.log.Warn(text, "file", path)
	}
}

func (s *Inputs) told(path string) told {
	return told{func(text string) { s.note(path, text) }, &s.names}
}

// InterfaceName is the name of a packet's interface, "" where its file has none,
// and for packets that are of no file of these.
func (s *Inputs) InterfaceName(number uint32) string { return s.names.name(number) }

// Close ends the lanes, once they have given what readers of streams have
// handed out. A reader that waits for its file in the system is left behind.
func (s *Inputs) Close() error {
	s.stop.Store(true)
	for _, in := range s.items {
		if in.stream != nil {
			in.stream.close()
		}
	}
	return nil
}

// unmap frees the files. No packet of theirs may be in use.
func (s *Inputs) unmap() {
	for _, in := range s.items {
		in.mapped.unmap()
	}
}

// Progress is the share of the files' bytes that the slowest lane has read, 0
// to 1. It is not known where something else than regular files is read.
func (s *Inputs) Progress() (share float64, known bool) {
	var total int64
	for _, in := range s.items {
		if in.size < 0 {
			return 0, false
		}
		total += in.size
	}
	if total == 0 {
		return 1, true
	}
	done := total
	for _, l := range s.lanes {
		at := l.position.Load()
		if i := int(l.item.Load()); i < len(s.items) && s.items[i].stream != nil {
			at += s.items[i].stream.taken.Load()
		}
		done = min(done, at)
	}
	return float64(done) / float64(total), true
}

// inputLane takes one lane's packets from all inputs.
type inputLane struct {
	source   *Inputs
	number   int
	of       int
	choose   Chooser
	item     atomic.Int32 // index of the input being read
	format   format       // of a mapped file; nil before its first record
	offset   int          // of the next record in it
	warm     int          // offset up to which the file has been touched
	touched  byte         // keeps the compiler from leaving that out
	before   int64        // bytes of the inputs that have been read
	held     *handful     // of a stream: what the last Read gave
	ended    bool
	walked   atomic.Uint64
	given    atomic.Uint64 // of mapped files
	position atomic.Int64  // before, and the offset in a mapped file
}

// Read fills b. Its packets point into the mapped file, or into a part of the
// stream that is kept until the next Read.
func (l *inputLane) Read(b *packet.Batch) error {
	l.held.release()
	l.held = nil
	b.Packets = b.Packets[:0]
	for len(b.Packets) == 0 {
		i := int(l.item.Load())
		if i == len(l.source.items) {
			l.end()
			return io.EOF
		}
		in := l.source.items[i]
		switch {
		case in.stream != nil:
			if err := l.take(b, in.stream); err == io.EOF {
				l.next()
			} else if err != nil {
				return err
			}
		case l.source.stop.Load():
			l.next()
		default:
			l.walk(b, in.mapped)
			l.given.Add(uint64(len(b.Packets)))
		}
	}
	return nil
}

// take waits for the next handful of a stream.
func (l *inputLane) take(b *packet.Batch, s *stream) error {
	s.start()
	h, err := s.queues[l.number].get()
	if err != nil {
		return err
	}
	b.Packets, h.packets = h.packets, b.Packets
	l.held = h
	return nil
}

func (l *inputLane) end() {
	if !l.ended {
		l.ended = true
		l.source.walking.Add(-1)
	}
}

// next leaves the input being read.
func (l *inputLane) next() {
	i := l.item.Load()
	l.before += max(0, l.source.items[i].size)
	l.format, l.offset, l.warm = nil, 0, 0
	l.item.Store(i + 1)
	l.position.Store(l.before)
}
