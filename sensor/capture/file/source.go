// Package file is the input of capture files: pcap, pcapng and dnstap, plain or compressed
// (gzip, zstd, xz, lz4), from regular files, named pipes and the standard input.
// Packets come out that point into the mapped file or into a chunk of the stream. It
// knows no kernel program and no interface, and must not import another input. Its tests
// write their captures themselves; fuzz_test.go has the seeds.
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

// Chooser assigns packets to lanes by a hash.
type Chooser func(*packet.Packet) packet.Hash

// stdinPath is the argument that means the standard input.
const stdinPath = "-"

// Options says what to read, and how.
type Options struct {
	Paths  []string // capture files, compressed or not, and fifos; "-" is the standard input
	Lanes  int
	Choose Chooser
	Raw    bool    // packets of files with link type Ethernet start with the IP header
	Speed  float64 // 1: at the pace of the recording, 10: ten times as fast; 0: as fast as possible
	Stdin  *os.File
	Log    *slog.Logger // nil: none

	// NoFrames is why dnstap files cannot be read; nil: they can.
	NoFrames error

	// Unpinned reports whether any lane may take a packet, not just the one that
	// Choose assigns; nil: never.
	Unpinned func(*packet.Packet) bool
}

// Source reads capture files in the given order. Regular files that are not compressed
// are mapped, and the lanes share the reading of them (see cursor). All others are
// streams: one goroutine reads a stream, distributes its packets to the lanes, and
// waits for a slow lane.
type Source struct {
	inputs     []*input
	lanes      []*lane
	choose     Chooser
	unpinned   func(*packet.Packet) bool
	stop       atomic.Bool // cursors end
	raw        bool
	pace       pace
	noFrames   error
	interfaces interfaceTable
	log        *slog.Logger
	mu         sync.Mutex
	errs       []error
	warnings   map[string][]string // by path
}

// input is one of the files: mapped, with a cursor, or a stream.
type input struct {
	path   string
	size   int64 // bytes in the file, -1: unknown
	pipe   bool  // its content cannot be read again, and it has an end
	cursor *cursor
	stream *stream
}

// Open opens capture files for the lanes. It fails if one cannot be opened. A file that
// is no capture, or is damaged further on, is reported by Err while the others are
// read. A fifo is opened when its turn comes.
func Open(o Options) (*Source, error) {
	s := &Source{
		choose: o.Choose, unpinned: o.Unpinned, raw: o.Raw, pace: pace{speed: o.Speed}, noFrames: o.NoFrames, log: cmp.Or(o.Log, slog.New(slog.DiscardHandler)),
	}
	for _, path := range o.Paths {
		if path == stdinPath && slices.ContainsFunc(s.inputs, func(in *input) bool { return in.path == stdinPath }) {
			s.unmap()
			return nil, errors.New("the standard input is named twice")
		}
		in, err := s.open(path, &o)
		if err != nil {
			s.unmap()
			return nil, err
		}
		if in != nil {
			s.inputs = append(s.inputs, in)
		}
	}
	for i := range o.Lanes {
		s.lanes = append(s.lanes, &lane{source: s, number: i})
	}
	return s, nil
}

// open decides how a path is read. It returns nil for a file that is no capture, after
// passing that to fail.
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
	if _, _, err = newFormat(m.data, s.context(path)); err != nil {
		s.fail(fmt.Errorf("read %s: %w", path, err))
		m.unmap()
		return nil, nil
	}
	return &input{path: path, size: int64(len(m.data)), cursor: s.newCursor(m, o.Lanes)}, nil
}

// openStdin makes an input of the standard input, which may be a file that the shell
// has opened.
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

// Live is false: the reading of files waits for slow outputs.
func (s *Source) Live() bool { return false }

// Given is the number of packets that the readers of streams delivered, plus all records
// that cursors read, whichever lane got them. A packet that no lane got is thus missed.
func (s *Source) Given() uint64 {
	var n uint64
	for _, in := range s.inputs {
		if in.stream != nil {
			n += in.stream.given()
		} else {
			n += in.cursor.records.Load()
		}
	}
	return n
}

// Err joins the errors of all files.
func (s *Source) Err() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return errors.Join(s.errs...)
}

// fail keeps an error for Err, and logs it now: reading the other files may take hours.
func (s *Source) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range s.errs {
		if e.Error() == err.Error() { // several lanes may find the same error
			return
		}
	}
	s.errs = append(s.errs, err)
	s.log.Error("an input cannot be read to its end", "error", err)
}

// maxWarnings bounds the warnings about one file: each of its blocks could cause one.
const maxWarnings = 10

// warn logs a warning about a file once, whichever lane finds it.
func (s *Source) warn(path, text string) {
	s.mu.Lock()
	logged := s.warnings[path]
	if len(logged) == maxWarnings {
		text = "there is more of that kind in this file"
	}
	known := len(logged) > maxWarnings || slices.Contains(logged, text)
	if !known {
		if s.warnings == nil {
			s.warnings = map[string][]string{}
		}
		s.warnings[path] = append(logged, text)
	}
	s.mu.Unlock()
	if !known {
		s.log.Warn(text, "file", path)
	}
}

// context is what the format of a file needs.
func (s *Source) context(path string) formatContext {
	return formatContext{func(text string) { s.warn(path, text) }, &s.interfaces, s.pace.speed > 0, s.noFrames}
}

// InterfaceName is the name of a packet's interface. It is "" if the file does not name
// it, and for packets of other runs.
func (s *Source) InterfaceName(number uint32, _ int64) string { return s.interfaces.name(number) }

// Close ends the lanes once they have returned what the readers of streams have
// delivered. A reader that is blocked in a system call is abandoned. Drain, in
// interrupt.go, is gentler.
func (s *Source) Close() error {
	s.stop.Store(true)
	for _, in := range s.inputs {
		if in.stream != nil {
			in.stream.close()
		}
	}
	return nil
}

// unmap unmaps the files. None of their packets may be in use.
func (s *Source) unmap() {
	for _, in := range s.inputs {
		if in.cursor != nil {
			in.cursor.file.unmap()
		}
	}
}

// Progress is the share of the files' bytes that the slowest lane has read, 0 to 1. It
// is known if all inputs are regular files.
func (s *Source) Progress() (share float64, known bool) {
	var total int64
	for _, in := range s.inputs {
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
		done = min(done, s.bytesBefore(int(l.input.Load())))
	}
	return float64(done) / float64(total), true
}

// bytesBefore is how many bytes of the files have been read when a lane is at the input
// with this index.
func (s *Source) bytesBefore(index int) (n int64) {
	for _, in := range s.inputs[:index] {
		n += in.size
	}
	if index == len(s.inputs) {
		return n
	}
	if in := s.inputs[index]; in.stream != nil {
		return n + in.stream.bytesRead.Load()
	}
	return n + s.inputs[index].cursor.position.Load()
}

// lane reads one lane's packets from all inputs.
type lane struct {
	source *Source
	number int
	input  atomic.Int32 // index of the input being read
	batch  *laneBatch   // of a stream: what the last Read returned
	timer  *time.Timer  // of the last wait

	// The bytes of a mapped file that were loaded into the cache. touched keeps the
	// compiler from removing the loads.
	prefetchedFrom, prefetchedTo int
	touched                      byte
}

// Read fills b. Its packets point into the mapped file, or into a chunk of the stream
// that is kept until the next Read.
func (l *lane) Read(b *packet.Batch) error {
	l.batch.release()
	l.batch = nil
	b.Packets = b.Packets[:0]
	for {
		i := int(l.input.Load())
		if i == len(l.source.inputs) {
			return io.EOF
		}
		in := l.source.inputs[i]
		if err := l.take(b, in); err != io.EOF {
			return err
		}
		if in.cursor != nil {
			in.cursor.file.release(l.number, len(l.source.lanes))
		}
		l.input.Add(1)
	}
}

// take waits for the next packets of one input.
func (l *lane) take(b *packet.Batch, in *input) error {
	if in.cursor != nil {
		return in.cursor.next(l, b)
	}
	in.stream.start()
	batch, err := in.stream.queues[l.number].get()
	if err != nil {
		return err
	}
	b.Packets, batch.packets = batch.packets, b.Packets
	l.batch = batch
	return nil
}

// Shrunk implements capture.Shrinker.
func (l *lane) Shrunk() {
	c := l.source.inputs[l.input.Load()].cursor
	c.mu.Lock()
	defer c.mu.Unlock()
	c.shrank()
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
