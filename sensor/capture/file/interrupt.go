package file

import (
	"errors"
	"io"
	"os"
	"time"

	"dnsmonster-sensor/sensor/capture"
)

// Drain stops the reading of files and lets the lanes end by themselves. A pipe that has
// been opened is read to its end, without keeping the pace of the recording, because its
// content cannot be read again. Close ends pipes, too.
func (s *Source) Drain() {
	s.stop.Store(true)
	for _, in := range s.inputs {
		switch {
		case in.stream == nil:
		case in.pipe:
			in.stream.hurryOnce.Do(func() { close(in.stream.hurry) })
		default:
			in.stream.close()
		}
	}
}

// Delivering reports whether a pipe may still deliver something. A named pipe that has
// not been opened holds nothing yet.
func (s *Source) Delivering() bool {
	for _, in := range s.inputs {
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

// Unread lists the inputs that were not read to their end, in the order of the
// arguments. It may be called once all lanes have ended.
func (s *Source) Unread() (list []capture.Unread) {
	for _, in := range s.inputs {
		u := capture.Unread{Path: in.path, Pipe: in.pipe}
		var complete bool
		if in.cursor != nil {
			complete = in.cursor.unread(&u)
		} else {
			complete = in.stream.unread(&u, in.size)
		}
		if !complete {
			list = append(list, u)
		}
	}
	return list
}

// unread says how far the cursor came. It returns true if that is the end.
func (c *cursor) unread(u *capture.Unread) (complete bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	size := len(c.file.data)
	u.Begun, u.Offset = c.format != nil, int64(c.offset)
	if u.Known = size > 0; u.Known {
		u.Share = float64(c.offset) / float64(size)
	}
	return c.complete || u.Begun && c.offset == size
}

// unread says how far the reader of a stream came. size is that of its file, -1 if
// unknown. It returns true if the reader came to the end.
func (s *stream) unread(u *capture.Unread, size int64) (complete bool) {
	u.Offset = s.delivered.Load()
	read := u.Offset
	switch s.state.Load() {
	case streamUnopened:
		return false
	case streamEnded, streamEmpty:
		return true
	case streamCompressed:
		u.Decompressed = true
		read = s.bytesRead.Load() // some of it is not decompressed yet
	}
	u.Begun = true
	if u.Known = size > 0; u.Known {
		u.Share = min(float64(read)/float64(size), 1)
	}
	return u.Known && !u.Decompressed && read == size
}

// errNoWriter ends the wait for a named pipe's writer. Such a pipe is empty.
var errNoWriter = errors.New("no program writes to the pipe")

// writerWait is how long the opening of a named pipe may still take after an interrupt.
// If a writer is waiting already, it takes no time.
const writerWait = 200 * time.Millisecond

// openPipe opens a named pipe. The system call blocks until a program opens the pipe for
// writing; after close or Drain it is abandoned.
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
			return nil, errNoWriter
		}
	}
}
