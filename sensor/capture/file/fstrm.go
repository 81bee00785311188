package file

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"

	"dnsmonster-sensor/userspace/dnstap"
	"dnsmonster-sensor/userspace/framestream"
	"dnsmonster-sensor/userspace/packet"
)

// errCutFrame is for a frame that is not whole. A stream may still bring the rest.
var errCutFrame = errors.New("the file ends in the middle of a frame")

// fstrm is a dnstap file: Frame Streams, as DNS servers write them to disk. Several may
// stand one after the other. A record is a frame.
type fstrm struct {
	receiver framestream.Receiver
	paced    bool // the time of a frame is needed before its lane reads it
	frame    dnstap.Frame
	cut      int  // streams without STOP before another one
	stopped  bool // the last control frame was STOP
}

// isFrameStream reports whether a file begins with a control frame.
func isFrameStream(data []byte) bool {
	return len(data) >= 8 && binary.BigEndian.Uint32(data) == 0 && binary.BigEndian.Uint32(data[4:]) < 1<<16
}

// AllFrames reports whether all paths are regular dnstap files, compressed or not.
func AllFrames(paths []string) bool {
	return len(paths) > 0 && !slices.ContainsFunc(paths, func(path string) bool { return !isFrameFile(path) })
}

func isFrameFile(path string) bool {
	if st, err := os.Stat(path); err != nil || !st.Mode().IsRegular() {
		return false
	}
	f, err := os.Open(path)
	if err != nil {
		return false
	}
	r, err := newPlainReader(f)
	if err != nil {
		return false
	}
	defer r.Close()
	var start [8]byte
	_, err = io.ReadFull(r, start[:])
	return err == nil && isFrameStream(start[:])
}

func newFstrm(c formatContext) *fstrm {
	return &fstrm{receiver: framestream.Receiver{ContentType: dnstap.ContentType}, paced: c.paced}
}

// record reads the next data frame at or after off.
func (f *fstrm) record(data []byte, off int, p *packet.Packet) (int, error) {
	for {
		rest := data[off:]
		if len(rest) == 0 {
			return off, io.EOF
		}
		frame, n, err := framestream.Next(rest, framestream.MaxFrame)
		switch {
		case err == framestream.ErrMore:
			return off, errCutFrame
		case err == framestream.ErrTooLong:
			return off, fmt.Errorf("a frame of %d bytes: the file is damaged", framestream.Length(rest))
		case err != nil:
			return off, err
		}
		if frame.Control != framestream.Data {
			if frame.Control == framestream.Start && f.receiver.Started() { // a writer was killed, and another one continues
				f.receiver = framestream.Receiver{ContentType: dnstap.ContentType}
				f.cut++
			}
			if _, err := f.receiver.Control(&frame, nil); err != nil {
				return off, err
			}
			f.stopped = frame.Control == framestream.Stop
			off += n
			continue
		}
		if err := f.receiver.Data(); err != nil {
			return off, err
		}
		*p = packet.Packet{Data: frame.Data, WireLen: uint32(len(frame.Data)), Link: packet.LinkDnstap}
		if f.paced {
			f.frame.Parse(frame.Data)
			p.Time = f.frame.Time()
		}
		return off + n, nil
	}
}

// unfinished implements finisher.
func (f *fstrm) unfinished(rest int) string {
	switch {
	case rest > 0 && f.stopped:
		return fmt.Sprintf("the dnstap file ends with %d bytes of an incomplete frame, after STOP; all complete frames were read", rest)
	case rest > 0:
		return fmt.Sprintf("the dnstap file is not finished: it ends with %d bytes of an incomplete frame, and without STOP. It is still being written, or its writer was killed; all complete frames were read", rest)
	case f.receiver.Started():
		return "the dnstap file is not finished: it ends without STOP. It is still being written, or its writer was killed; all frames were read"
	case f.cut > 0:
		return fmt.Sprintf("the dnstap file has several streams, %d without STOP: a writer was killed, and another one continued; all frames were read", f.cut)
	}
	return ""
}
