package capture

import (
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"dnsmonster-sensor/userspace/packet"
)

// Chooser assigns packets to lanes.
type Chooser func(*packet.Packet) packet.Hash

// fileBatch is how many packets a file lane gives at once.
const fileBatch = 256

// Files is a Source of capture files, read in the given order. The files are
// mapped; every lane walks all of them and skips what is not its own.
type Files struct {
	files   []*mapped
	lanes   []*fileLane
	walking atomic.Int32 // lanes that have not seen the end
	mu      sync.Mutex
	errs    []error
}

// mapped is one file's bytes.
type mapped struct {
	path string
	file *os.File
	data []byte
}

// OpenFiles maps capture files for n lanes. A file that cannot be opened is an
// error at once. One that is no capture, or is damaged further on, is reported
// by Err when the others have been read.
func OpenFiles(paths []string, n int, choose Chooser) (*Files, error) {
	s := &Files{}
	for _, path := range paths {
		m, err := mapFile(path)
		if err != nil {
			s.unmap()
			return nil, err
		}
		if _, _, err = newFormat(m.data); err != nil {
			s.fail(fmt.Errorf("read %s: %w", path, err))
			m.unmap()
			continue
		}
		s.files = append(s.files, m)
	}
	s.walking.Store(int32(n))
	for i := range n {
		l := &fileLane{source: s, number: i, of: n, choose: choose}
		s.lanes = append(s.lanes, l)
	}
	return s, nil
}

func mapFile(path string) (*mapped, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	st, err := f.Stat()
	if err == nil && !st.Mode().IsRegular() {
		err = fmt.Errorf("%s is not a regular file", path)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	m := &mapped{path: path, file: f}
	if st.Size() == 0 {
		return m, nil
	}
	m.data, err = unix.Mmap(int(f.Fd()), 0, int(st.Size()), unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("map %s: %w", path, err)
	}
	_ = unix.Madvise(m.data, unix.MADV_SEQUENTIAL) // a hint; reading works without
	return m, nil
}

func (m *mapped) unmap() {
	if m.data != nil {
		unix.Munmap(m.data)
		m.data = nil
	}
	m.file.Close()
}

// shrunk reports whether the file has become shorter than what is mapped: bytes
// behind its end cannot be touched any more.
func (m *mapped) shrunk() bool {
	st, err := m.file.Stat()
	return err != nil || st.Size() < int64(len(m.data))
}

// Lanes returns the lanes.
func (s *Files) Lanes() []Lane {
	lanes := make([]Lane, len(s.lanes))
	for i, l := range s.lanes {
		lanes[i] = l
	}
	return lanes
}

// Live is false: behind a file everybody waits.
func (s *Files) Live() bool { return false }

// Kernel has nothing to tell of files.
func (s *Files) Kernel() (KernelStats, error) { return KernelStats{}, nil }

// Given is what the lanes gave. Once all of them have seen the end it is the
// number of packets in the files, so that one that no lane took for its own is
// missed.
func (s *Files) Given() uint64 {
	if s.walking.Load() == 0 && s.Err() == nil {
		return s.lanes[0].walked.Load()
	}
	var n uint64
	for _, l := range s.lanes {
		n += l.given.Load()
	}
	return n
}

// Err joins what was wrong with the files.
func (s *Files) Err() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return errors.Join(s.errs...)
}

func (s *Files) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range s.errs {
		if e.Error() == err.Error() { // every lane finds the same damage
			return
		}
	}
	s.errs = append(s.errs, err)
}

// Close ends the lanes at their next Read.
func (s *Files) Close() error {
	for _, l := range s.lanes {
		l.stop.Store(true)
	}
	return nil
}

// unmap frees the files. No packet of theirs may be in use.
func (s *Files) unmap() {
	for _, m := range s.files {
		m.unmap()
	}
}

// Progress is the share of bytes that the slowest lane has walked, 0 to 1.
func (s *Files) Progress() float64 {
	var total, done int64
	for _, m := range s.files {
		total += int64(len(m.data))
	}
	if total == 0 {
		return 1
	}
	done = total
	for _, l := range s.lanes {
		done = min(done, l.position.Load())
	}
	return float64(done) / float64(total)
}

// fileLane walks all files and keeps the packets whose hash is its own.
type fileLane struct {
	source   *Files
	number   int
	of       int
	choose   Chooser
	file     int    // index of the file being walked
	format   format // of that file; nil before its first record
	offset   int    // of the next record in it
	before   int64
	ended    bool
	stop     atomic.Bool
	walked   atomic.Uint64
	given    atomic.Uint64
	position atomic.Int64
}

// Read fills b. Its packets point into the mapped file.
func (l *fileLane) Read(b *packet.Batch) error {
	b.Packets = b.Packets[:0]
	for len(b.Packets) == 0 {
		if l.ended {
			return io.EOF
		}
		if l.stop.Load() || l.file == len(l.source.files) {
			l.end()
			return io.EOF
		}
		l.walk(b, l.source.files[l.file])
	}
	l.given.Add(uint64(len(b.Packets)))
	return nil
}

func (l *fileLane) end() {
	l.ended = true
	l.source.walking.Add(-1)
}

// walk fills b from one file, and leaves the file where it ends or is damaged.
func (l *fileLane) walk(b *packet.Batch, m *mapped) {
	if m.shrunk() {
		l.Shrunk()
		return
	}
	if l.format == nil {
		l.format, l.offset, _ = newFormat(m.data) // checked when it was opened
	}
	walked := uint64(0)
	for range 4 * fileBatch { // bounded, so that Close is noticed in long runs of others' packets
		if len(b.Packets) == fileBatch {
			break
		}
		var p packet.Packet
		next, err := l.format.record(m.data, l.offset, &p)
		if err != nil {
			if err != io.EOF {
				l.source.fail(fmt.Errorf("read %s: offset %d: %w", m.path, l.offset, err))
			}
			l.nextFile(m)
			break
		}
		l.offset = next
		walked++
		if l.of == 1 || l.choose(&p).Lane(l.of) == l.number {
			b.Packets = append(b.Packets, p)
		}
	}
	l.walked.Add(walked)
	l.position.Store(l.before + int64(l.offset))
}

func (l *fileLane) nextFile(m *mapped) {
	l.before += int64(len(m.data))
	l.file, l.format, l.offset = l.file+1, nil, 0
}

// Shrunk gives up the file being walked because it has become shorter. The
// worker calls it, too, when it touches bytes that are gone.
func (l *fileLane) Shrunk() {
	m := l.source.files[l.file]
	l.source.fail(fmt.Errorf("read %s: offset %d: the file became shorter while it was read", m.path, l.offset))
	l.nextFile(m)
}
