// Package file is the input of capture files: pcap and pcapng, plain or compressed
// (gzip, zstd, xz, lz4), from regular files, named pipes and the standard input. Out
// come packets that point into the mapped file or into a chunk of the stream. It
// knows no kernel, no interface and no other input. Its tests write their captures
// themselves; fuzz_test.go has the seeds.
package file

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
	"time"

	"golang.org/x/term"

	"dnsmonster-sensor/sensor/capture"
	"dnsmonster-sensor/userspace/packet"
)

// Chooser assigns packets to lanes.
type Chooser func(*packet.Packet) packet.Hash

// stdinPath is the argument that means the standard input.
const stdinPath = "-"

// Options says what to read, and how.
type Options struct {
	Paths  []string // capture files, compressed or not, and fifos; "-" is the standard input
	Lanes  int
	Choose Chooser
	Loose  func(*packet.Packet) bool // whether any lane can take a packet, whatever Choose says; nil: none
	Raw    bool                      // packets of files that call themselves Ethernet start with the IP header
	Speed  float64                   // 1: at the pace of the recording, 10: ten times as fast; 0: as fast as possible
	Stdin  *os.File
	Log    *slog.Logger // nil: says nothing
}

// Source is a Source of capture files, read in the given order. Regular files
// that are not compressed are mapped, and the lanes walk them together. All
// others are streams, which one goroutine reads and hands out to the lanes;
// where a lane is slow it waits.
type Source struct {
	items  []*input
	lanes  []*lane
	choose Chooser
	loose  func(*packet.Packet) bool
	stop   atomic.Bool // walks end
	raw    bool
	pace   pace
	names  fileInterfaces
	log    *slog.Logger
	mu     sync.Mutex
	errs   []error
	noted  map[string][]string // by path
}

// input is one of the files: mapped, with a walk, or a stream.
type input struct {
	path   string
	size   int64 // bytes in the file, -1: not known
	pipe   bool  // what is in it is nowhere else, and it has an end
	walk   *walk
	stream *stream
}

// Open opens capture files for the lanes. What cannot be opened is an
// error at once. What turns out to be no capture, or damaged further on, is
// reported by Err when the others have been read. A fifo is opened when its
// turn comes.
func Open(o Options) (*Source, error) {
	s := &Source{
		choose: o.Choose, loose: o.Loose, raw: o.Raw, pace: pace{speed: o.Speed}, log: cmp.Or(o.Log, slog.New(slog.DiscardHandler)),
	}
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
	for i := range o.Lanes {
		s.lanes = append(s.lanes, &lane{source: s, number: i})
	}
	return s, nil
}

// open decides how a path is read. It returns nil for a file that is known to
// be no capture; that has been noted.
func (s *Source) open(path string, o *Options) (*input, error) {
	if path == stdinPath {
		stdin := cmp.Or(o.Stdin, os.Stdin)
		if term.IsTerminal(int(stdin.Fd())) {
			return nil, errors.New("the standard input is a terminal: pipe a capture into it, or name a file")
		}
		return s.openStdin(stdin, o)
	}
	st, err := stat(path)
	if err != nil {
		return nil, err
	}
	opened := func(*stream) (io.ReadCloser, error) { return os.Open(path) }
	if st.Mode()&fs.ModeNamedPipe != 0 {
		in := s.newStream(path, -1, o, func(st *stream) (io.ReadCloser, error) { return st.openPipe(path) })
		in.pipe = true
		return in, nil
	}
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
	return &input{path: path, size: int64(len(m.data)), walk: s.newWalk(m, o.Lanes)}, nil
}

// openStdin reads the standard input, which may be a file that the shell has
// opened.
func (s *Source) openStdin(stdin *os.File, o *Options) (*input, error) {
	size, pipe := int64(-1), false
	if st, err := stdin.Stat(); err == nil && st.Mode().IsRegular() {
		if at, err := stdin.Seek(0, io.SeekCurrent); err == nil && at <= st.Size() {
			size = st.Size() - at
		}
	} else if err == nil {
		pipe = st.Mode()&(fs.ModeNamedPipe|fs.ModeSocket) != 0
	}
	in := s.newStream(stdinPath, size, o, func(*stream) (io.ReadCloser, error) { return stdin, nil })
	in.pipe = pipe
	return in, nil
}

// Lanes returns the lanes.
func (s *Source) Lanes() []capture.Lane {
	lanes := make([]capture.Lane, len(s.lanes))
	for i, l := range s.lanes {
		lanes[i] = l
	}
	return lanes
}

// Live is false: behind a file everybody waits.
func (s *Source) Live() bool { return false }

// Given is what the readers of streams handed out, and of mapped files the
// records that were walked, whoever got them: a packet that no lane took is
// missed.
func (s *Source) Given() uint64 {
	var n uint64
	for _, in := range s.items {
		if in.stream != nil {
			n += in.stream.given()
		} else {
			n += in.walk.walked.Load()
		}
	}
	return n
}

// Err joins what was wrong with the files.
func (s *Source) Err() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return errors.Join(s.errs...)
}

// fail keeps an error for Err, and logs it at once: the others may take hours.
func (s *Source) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range s.errs {
		if e.Error() == err.Error() { // lanes may find the same
			return
		}
	}
	s.errs = append(s.errs, err)
	s.log.Error("an input cannot be read to its end", "error", err)
}

// maxNotes is how much is said about one file: it could make us say something in
// each of its blocks.
const maxNotes = 10

// note logs what a reader of path should know, once, whichever lane finds it.
func (s *Source) note(path, text string) {
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

func (s *Source) told(path string) told {
	return told{func(text string) { s.note(path, text) }, &s.names}
}

// InterfaceName is the name of a packet's interface, "" where its file has none,
// and for packets that are of no file of these.
func (s *Source) InterfaceName(number uint32, _ int64) string { return s.names.name(number) }

// Close ends the lanes, once they have given what readers of streams have
// handed out. A reader that waits for its file in the system is left behind.
// Drain, in interrupt.go, is the gentler way.
func (s *Source) Close() error {
	s.stop.Store(true)
	for _, in := range s.items {
		if in.stream != nil {
			in.stream.close()
		}
	}
	return nil
}

// unmap frees the files. No packet of theirs may be in use.
func (s *Source) unmap() {
	for _, in := range s.items {
		if in.walk != nil {
			in.walk.file.unmap()
		}
	}
}

// Progress is the share of the files' bytes that the slowest lane has read, 0
// to 1. It is not known where something else than regular files is read.
func (s *Source) Progress() (share float64, known bool) {
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
		done = min(done, s.read(int(l.item.Load())))
	}
	return float64(done) / float64(total), true
}

// read is how many bytes of the files have been read when a lane is at the
// input of this index.
func (s *Source) read(item int) (n int64) {
	for _, in := range s.items[:item] {
		n += in.size
	}
	if item == len(s.items) {
		return n
	}
	if in := s.items[item]; in.stream != nil {
		return n + in.stream.taken.Load()
	}
	return n + s.items[item].walk.position.Load()
}

// lane takes one lane's packets from all inputs.
type lane struct {
	source *Source
	number int
	item   atomic.Int32 // index of the input being read
	held   *handful     // of a stream: what the last Read gave
	timer  *time.Timer  // of the last wait

	// The bytes of a mapped file that have been touched, and what keeps the
	// compiler from leaving that out.
	warmFrom, warm int
	touched        byte
}

// Read fills b. Its packets point into the mapped file, or into a part of the
// stream that is kept until the next Read.
func (l *lane) Read(b *packet.Batch) error {
	l.held.release()
	l.held = nil
	b.Packets = b.Packets[:0]
	for {
		i := int(l.item.Load())
		if i == len(l.source.items) {
			return io.EOF
		}
		in := l.source.items[i]
		if err := l.take(b, in); err != io.EOF {
			return err
		}
		if in.walk != nil {
			in.walk.file.release(l.number, len(l.source.lanes))
		}
		l.item.Add(1)
	}
}

// take waits for the next packets of one input.
func (l *lane) take(b *packet.Batch, in *input) error {
	if in.walk != nil {
		return in.walk.take(l, b)
	}
	in.stream.start()
	h, err := in.stream.queues[l.number].get()
	if err != nil {
		return err
	}
	b.Packets, h.packets = h.packets, b.Packets
	l.held = h
	return nil
}

// Shrunk gives up the mapped file whose packets the lane has because it has
// become shorter. The worker calls it when it touches bytes that are gone.
func (l *lane) Shrunk() {
	w := l.source.items[l.item.Load()].walk
	w.mu.Lock()
	defer w.mu.Unlock()
	w.shrank()
}

var (
	_ interface {
		capture.Source
		capture.Drainer
		capture.Progressor
		capture.InterfaceNamer
	} = (*Source)(nil)
	_ interface {
		capture.Lane
		capture.Shrinker
	} = (*lane)(nil)
)
