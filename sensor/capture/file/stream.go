package file

import (
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"

	"dnsmonster-sensor/sensor/waiting"
	"dnsmonster-sensor/userspace/packet"
)

const (
	// minRead is the least room for a read.
	minRead = 16 << 10
	// maxRecord bounds how much of a stream is buffered before a record's end has
	// come.
	maxRecord = 64 << 20
)

// errStopped ends a reader whose source was closed. It is not reported.
var errStopped = errors.New("stopped")

// stream is a capture that one goroutine reads once and distributes to the lanes. A
// packet is copied once, by the read that brings it.
type stream struct {
	path       string
	open       func(*stream) (io.ReadCloser, error)
	choose     Chooser
	raw        bool
	pace       *pace // shared by all inputs: the clock goes on from file to file
	fail       func(error)
	say        func(line string)
	context    formatContext
	queues     []*laneQueue // one for each lane
	chunks     *chunkPool
	once       sync.Once
	stop       chan struct{}
	stopOnce   sync.Once
	hurry      chan struct{} // closed: read what is there at once, and wait for no writer
	hurryOnce  sync.Once
	bytesRead  atomic.Int64 // from the file, before decompression
	delivered  atomic.Int64 // offset up to which all packets were delivered
	state      atomic.Int32
	delivering sync.Mutex // held while delivering: close waits for it

	// Used by the reader alone.
	format     format
	chunk      *chunk
	filled     int   // bytes of the chunk that were read
	parsed     int   // bytes of the chunk that were parsed
	assigned   int   // bytes of the chunk whose packets have a lane; ends after a record
	base       int64 // offset of the chunk in the uncompressed data
	pending    []*laneBatch
	offsetName string // in errors
	frames     uint64 // of dnstap
}

// The states of a stream.
const (
	streamUnopened   int32 = iota
	streamOpen             // and being read
	streamCompressed       // the same; offsets count in the decompressed data
	streamEnded            // at its end, or by an error that Err returns
	streamEmpty            // a named pipe without a writer: there was nothing to read
)

// newStream makes an input that open opens when its turn comes.
func (s *Source) newStream(path string, size int64, o *Options, open func(*stream) (io.ReadCloser, error)) *input {
	name := path
	if path == stdinPath {
		name = "the standard input"
	}
	st := &stream{
		path: name, open: open, choose: o.Choose, raw: o.Raw, pace: &s.pace,
		fail: s.fail, say: func(line string) { s.log.Info(line) }, context: s.context(name), chunks: newChunkPool(8 + 2*o.Lanes),
		stop: make(chan struct{}), hurry: make(chan struct{}), pending: make([]*laneBatch, o.Lanes),
	}
	for range o.Lanes {
		st.queues = append(st.queues, newLaneQueue())
	}
	return &input{path: path, size: size, stream: st}
}

// start starts the reader when the first lane comes to this stream. The reader ends at
// the end of the stream, or after close; each lane then finds its queue closed.
func (s *stream) start() {
	s.once.Do(func() {
		go func() {
			err := s.read()
			switch {
			case err == nil:
				s.state.Store(streamEnded)
			case errors.Is(err, errNoWriter):
				s.state.Store(streamEmpty)
			case !errors.Is(err, errStopped):
				s.fail(fmt.Errorf("read %s: %w", s.path, err))
				s.state.Store(streamEnded)
			}
			s.close()
		}()
	})
}

// close ends the reader at its next step. The lanes keep what it has delivered.
func (s *stream) close() {
	s.stopOnce.Do(func() { close(s.stop) })
	s.delivering.Lock()
	defer s.delivering.Unlock()
	for _, q := range s.queues {
		q.close()
	}
}

func (s *stream) given() (n uint64) {
	for _, q := range s.queues {
		n += q.count()
	}
	return n
}

// countingReader counts the bytes that are read from a file.
type countingReader struct {
	io.ReadCloser
	n *atomic.Int64
}

func (c countingReader) Read(b []byte) (int, error) {
	n, err := c.ReadCloser.Read(b)
	c.n.Add(int64(n))
	return n, err
}

// read reads the stream to its end. Whole records before damage are delivered.
func (s *stream) read() error {
	select {
	case <-s.stop:
		return errStopped
	default:
	}
	begun := waiting.Step{What: s.waitsFor, Say: s.say}.Begin()
	file, err := s.open(s)
	if err != nil {
		begun()
		return err
	}
	s.state.Store(streamOpen)
	in, err := newPlainReader(countingReader{file, &s.bytesRead})
	if begun(); err != nil {
		return err
	}
	defer in.Close()
	s.offsetName = "offset"
	if in.compression != nil {
		s.state.Store(streamCompressed)
		s.offsetName = "offset in the decompressed data"
	}
	if s.chunk = s.chunks.get(chunkLen, s.stop); s.chunk == nil {
		return errStopped
	}
	defer func() { s.chunk.release() }()
	for {
		n, readErr := in.Read(s.chunk.buf[s.filled:])
		s.filled += n
		if err := s.parse(readErr == io.EOF); err != nil {
			return err
		}
		if err := s.flush(); err != nil {
			return err
		}
		switch {
		case readErr == io.EOF:
			return nil
		case readErr != nil:
			return s.errorAt(s.filled, in.explain(readErr))
		}
		if err := s.makeRoom(); err != nil {
			return err
		}
	}
}

// waitsFor describes what keeps the reader from its first bytes.
func (s *stream) waitsFor() string {
	if s.state.Load() == streamUnopened {
		return "a program that writes to the pipe " + s.path
	}
	return "data from " + s.path
}

// errorAt adds the place in the stream to an error; off counts in the chunk.
func (s *stream) errorAt(off int, err error) error {
	return fmt.Errorf("%s %d: %w", s.offsetName, s.base+int64(off), err)
}

// parse assigns the packets of whole records to lanes. With last no more data will
// come, so that an incomplete record is an error.
func (s *stream) parse(last bool) error {
	data := s.chunk.buf[:s.filled]
	if s.format == nil {
		if len(data) < pcapHeaderLen && !last {
			return nil
		}
		f, off, err := newFormat(data, s.context)
		if err != nil {
			return err
		}
		s.format, s.parsed, s.assigned = asRaw(f, s.raw), off, off
	}
	var p packet.Packet
	for {
		next, err := s.format.record(data, s.parsed, &p)
		s.parsed = next
		switch {
		case err == nil:
		case !last && (err == io.EOF || isCut(err)):
			return nil
		default:
			if err := s.context.atEnd(s.format, len(data)-next, err); err != nil {
				return errors.Join(s.flush(), s.errorAt(next, err))
			}
			return nil
		}
		if err := s.keepPace(p.Time); err != nil {
			return err
		}
		s.assign(&p)
		s.assigned = next
	}
}

// assign adds a packet to the pending batch of its lane.
func (s *stream) assign(p *packet.Packet) {
	lane := 0
	switch {
	case len(s.queues) == 1:
	case p.Link == packet.LinkDnstap: // any lane may have it: many in a row share their memory
		lane = int(s.frames/cursorBatch) % len(s.queues)
		s.frames++
	default:
		lane = s.choose(p).Lane(len(s.queues))
	}
	b := s.pending[lane]
	if b == nil {
		b = s.queues[lane].newBatch()
		s.pending[lane] = b
	}
	b.packets = append(b.packets, *p)
}

// flush delivers all pending batches, or none if the stream was closed before.
func (s *stream) flush() error {
	s.delivering.Lock()
	defer s.delivering.Unlock()
	for i, b := range s.pending {
		if b == nil {
			continue
		}
		s.pending[i] = nil
		b.chunk = s.chunk
		b.chunk.refs.Add(1)
		if !s.queues[i].put(b) {
			b.release()
			return errStopped
		}
	}
	s.delivered.Store(s.base + int64(s.assigned))
	return nil
}

// makeRoom makes sure that the next read has room. An incomplete record moves to
// another chunk, a larger one if it fills most of this one.
func (s *stream) makeRoom() error {
	if len(s.chunk.buf)-s.filled >= minRead {
		return nil
	}
	rest := s.chunk.buf[s.parsed:s.filled]
	if len(rest) > maxRecord {
		return s.errorAt(s.parsed, fmt.Errorf("a record of more than %d MiB: the file is damaged", maxRecord>>20))
	}
	size := chunkLen
	if len(rest) > chunkLen/2 {
		size = 2 * len(rest)
	}
	next := s.chunks.get(size, s.stop)
	if next == nil {
		return errStopped
	}
	s.filled = copy(next.buf, rest)
	s.base += int64(s.parsed)
	s.assigned -= s.parsed // may be below parsed: blocks without packets may follow the last packet
	s.parsed = 0
	s.chunk.release()
	s.chunk = next
	return nil
}
