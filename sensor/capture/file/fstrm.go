package file

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"

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
}

// isFrameStream reports whether a file begins with a control frame.
func isFrameStream(data []byte) bool {
	return len(data) >= 8 && binary.BigEndian.Uint32(data) == 0 && binary.BigEndian.Uint32(data[4:]) < 1<<16
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
			if _, err := f.receiver.Control(&frame, nil); err != nil {
				return off, err
			}
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
	case rest > 0:
		return fmt.Sprintf("the dnstap file is not finished: it ends with %d bytes of a frame that is not whole, and without STOP. Its writer still writes it, or was killed; all whole frames were read", rest)
	case f.receiver.Started():
		return "the dnstap file is not finished: it ends without STOP. Its writer still writes it, or was killed; all frames were read"
	}
	return ""
}
