package file

import (
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"

	"dnsmonster-sensor/userspace/packet"
)

const (
	// leastRead is how much room there must be for a read.
	leastRead = 16 << 10
	// maxRecord bounds what is kept of a stream while a record's end has not
	// come yet.
	maxRecord = 64 << 20
)

// errStopped ends a reader whose source was closed. It is nobody's fault.
var errStopped = errors.New("stopped")

// stream is a capture that is read once, by one goroutine, and handed out to
// the lanes. A packet is copied once, by the read that brings it.
type stream struct {
	path    string
	open    func(*stream) (io.ReadCloser, error)
	choose  Chooser
	raw     bool
	pace    *pace // of all inputs: a clock that goes on from file to file
	fail    func(error)
	told    told
	queues  []*laneQueue // one for each lane
	chunks  *chunks
	once    sync.Once
	stop    chan struct{}
	halt    sync.Once
	hurry   chan struct{} // closed: what is there is read at once, and nobody is waited for
	hurried sync.Once
	taken   atomic.Int64 // bytes read from the file, before decompression
	handed  atomic.Int64 // offset up to which all was handed out
	state   atomic.Int32
	giving  sync.Mutex // held while handing out: close waits for it

	// The reader's own.
	format format
	chunk  *chunk
	filled int   // bytes of the chunk that were read
	parsed int   // bytes of the chunk that were handed out
	sorted int   // bytes of the chunk that were sorted, at the end of a record
	base   int64 // offset of the chunk in the uncompressed data
	hands  []*handful
	where  string // what offsets count
}

// How far a stream is.
const (
	streamUnopened   int32 = iota
	streamOpen             // and being read
	streamCompressed       // the same; offsets count what is decompressed
	streamEnded            // at its end, or by an error that Err tells
	streamEmpty            // a named pipe that nobody writes to: there was nothing to read
)

// newStream makes an input that open opens when its turn comes.
func (s *Source) newStream(path string, size int64, o *Options, open func(*stream) (io.ReadCloser, error)) *input {
	name := path
	if path == stdinPath {
		name = "the standard input"
	}
	st := &stream{
		path: name, open: open, choose: o.Choose, raw: o.Raw, pace: &s.pace,
		fail: s.fail, told: s.told(name),
		chunks: newChunks(8 + 2*o.Lanes), stop: make(chan struct{}), hurry: make(chan struct{}), hands: make([]*handful, o.Lanes),
	}
	for range o.Lanes {
		st.queues = append(st.queues, newLaneQueue())
	}
	return &input{path: path, size: size, stream: st}
}

// start sets the reader going when the first lane comes to this stream. The
// reader ends at the end of the stream, or after close; each lane finds its
// queue closed then.
func (s *stream) start() {
	s.once.Do(func() {
		go func() {
			err := s.read()
			switch {
			case err == nil:
				s.state.Store(streamEnded)
			case errors.Is(err, errNobodyWrites):
				s.state.Store(streamEmpty)
			case !errors.Is(err, errStopped):
				s.fail(fmt.Errorf("read %s: %w", s.path, err))
				s.state.Store(streamEnded)
			}
			s.close()
		}()
	})
}

// close ends the reader at its next step. What it has handed out stays with the
// lanes.
func (s *stream) close() {
	s.halt.Do(func() { close(s.stop) })
	s.giving.Lock()
	defer s.giving.Unlock()
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

// counter counts what is read of a file.
type counter struct {
	io.ReadCloser
	n *atomic.Int64
}

func (c counter) Read(b []byte) (int, error) {
	n, err := c.ReadCloser.Read(b)
	c.n.Add(int64(n))
	return n, err
}

// read takes the stream to its end. What is whole before damage is handed out.
func (s *stream) read() error {
	select {
	case <-s.stop:
		return errStopped
	default:
	}
	file, err := s.open(s)
	if err != nil {
		return err
	}
	s.state.Store(streamOpen)
	in, err := readPlain(counter{file, &s.taken})
	if err != nil {
		return err
	}
	defer in.Close()
	s.where = "offset"
	if in.compression != nil {
		s.state.Store(streamCompressed)
		s.where = "offset in the decompressed data"
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
			return s.at(s.filled, in.damage(readErr))
		}
		if err := s.makeRoom(); err != nil {
			return err
		}
	}
}

// at says where in the stream an error is; off counts in the chunk.
func (s *stream) at(off int, err error) error {
	return fmt.Errorf("%s %d: %w", s.where, s.base+int64(off), err)
}

// parse sorts the records that are whole by lane. last: no more data will come,
// so that half a record is an error.
func (s *stream) parse(last bool) error {
	data := s.chunk.buf[:s.filled]
	if s.format == nil {
		if len(data) < pcapHeaderLen && !last {
			return nil
		}
		f, off, err := newFormat(data, s.told)
		if err != nil {
			return err
		}
		s.format, s.parsed, s.sorted = asRaw(f, s.raw), off, off
	}
	var p packet.Packet
	for {
		next, err := s.format.record(data, s.parsed, &p)
		s.parsed = next
		switch {
		case err == nil:
		case err == io.EOF, isCut(err) && !last:
			return nil
		default:
			return errors.Join(s.flush(), s.at(next, err))
		}
		if err := s.keepPace(p.Time); err != nil {
			return err
		}
		s.sort(&p)
		s.sorted = next
	}
}

func (s *stream) sort(p *packet.Packet) {
	lane := 0
	if len(s.queues) > 1 {
		lane = s.choose(p).Lane(len(s.queues))
	}
	h := s.hands[lane]
	if h == nil {
		h = s.queues[lane].empty()
		s.hands[lane] = h
	}
	h.packets = append(h.packets, *p)
}

// flush hands out what was sorted: all of it, or nothing where the stream was
// closed before.
func (s *stream) flush() error {
	s.giving.Lock()
	defer s.giving.Unlock()
	for i, h := range s.hands {
		if h == nil {
			continue
		}
		s.hands[i] = nil
		h.chunk = s.chunk
		h.chunk.refs.Add(1)
		if !s.queues[i].put(h) {
			h.release()
			return errStopped
		}
	}
	s.handed.Store(s.base + int64(s.sorted))
	return nil
}

// makeRoom sees to it that the next read has some. Half a record moves to
// another chunk, which is larger where it fills the present one.
func (s *stream) makeRoom() error {
	if len(s.chunk.buf)-s.filled >= leastRead {
		return nil
	}
	rest := s.chunk.buf[s.parsed:s.filled]
	if len(rest) > maxRecord {
		return s.at(s.parsed, fmt.Errorf("a record of more than %d MiB: the file is damaged", maxRecord>>20))
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
	s.sorted -= s.parsed // not more than parsed: what follows its end may be blocks without packets
	s.parsed = 0
	s.chunk.release()
	s.chunk = next
	return nil
}
