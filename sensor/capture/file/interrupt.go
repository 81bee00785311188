package file

import (
	"errors"
	"io"
	"os"
	"time"

	"dnsmonster-sensor/sensor/capture"
)

// Drain interrupts the reading of files, and lets the lanes end by themselves: a
// pipe that is named is read on to its end, at once where the pace is that of the
// recording, because what is in it is nowhere else. Close ends that, too.
func (s *Source) Drain() {
	s.stop.Store(true)
	for _, in := range s.items {
		switch {
		case in.stream == nil:
		case in.pipe:
			in.stream.hurried.Do(func() { close(in.stream.hurry) })
		default:
			in.stream.close()
		}
	}
}

// Delivering tells whether a pipe may still deliver something. A named pipe that
// has not been opened holds nothing yet.
func (s *Source) Delivering() bool {
	for _, in := range s.items {
		if !in.pipe {
			continue
		}
		switch in.stream.state.Load() {
		case streamOpen, streamCompressed:
			return true
		case streamUnopened:
			if in.path == stdinPath {
				return true
			}
		}
	}
	return false
}

// Unread lists what was not read to its end, in the order of the arguments. It is
// for the time after all lanes have ended.
func (s *Source) Unread() (list []capture.Unread) {
	for _, in := range s.items {
		u := capture.Unread{Path: in.path, Pipe: in.pipe}
		var complete bool
		if in.walk != nil {
			complete = in.walk.unread(&u)
		} else {
			complete = in.stream.unread(&u, in.size)
		}
		if !complete {
			list = append(list, u)
		}
	}
	return list
}

// unread says how far the walk came. It returns true where that is the end.
func (w *walk) unread(u *capture.Unread) (complete bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	size := len(w.file.data)
	u.Begun, u.Offset = w.format != nil, int64(w.offset)
	if u.Known = size > 0; u.Known {
		u.Share = float64(w.offset) / float64(size)
	}
	return w.complete || u.Begun && w.offset == size
}

// unread says how far the reader of a stream of size bytes came, -1 where that is
// not known.
func (s *stream) unread(u *capture.Unread, size int64) (complete bool) {
	u.Offset = s.handed.Load()
	read := u.Offset
	switch s.state.Load() {
	case streamUnopened:
		return false
	case streamEnded, streamEmpty:
		return true
	case streamCompressed:
		u.Decompressed = true
		read = s.taken.Load() // some of it is not decompressed yet
	}
	u.Begun = true
	if u.Known = size > 0; u.Known {
		u.Share = min(float64(read)/float64(size), 1)
	}
	return u.Known && !u.Decompressed && read == size
}

// errNobodyWrites ends the wait for a named pipe's writer. Such a pipe is empty.
var errNobodyWrites = errors.New("nobody writes to the pipe")

// writerWait is how long a named pipe that has not been opened when the reading is
// interrupted is given to meet a writer: one that waits already is met at once.
const writerWait = 200 * time.Millisecond

// openPipe opens a named pipe, which waits in the system until somebody has opened
// it for writing. A wait that is given up is left behind.
func (s *stream) openPipe(path string) (io.ReadCloser, error) {
	type opened struct {
		file *os.File
		err  error
	}
	done := make(chan opened, 1)
	go func() {
		f, err := os.Open(path)
		select {
		case <-s.stop:
			if f != nil {
				f.Close()
			}
		default:
			done <- opened{f, err}
		}
	}()
	hurry := s.hurry
	var late <-chan time.Time
	for {
		select {
		case o := <-done:
			if o.err != nil {
				return nil, o.err
			}
			return o.file, nil
		case <-s.stop:
			return nil, errStopped
		case <-hurry:
			hurry, late = nil, time.After(writerWait)
		case <-late:
			return nil, errNobodyWrites
		}
	}
}
