// Package framestream reads and writes Frame Streams, the container of dnstap on sockets
// and in files: data frames between control frames that open and end the stream
// (https://github.com/farsightsec/fstrm, fstrm/control.h).
//
// In: bytes, from their first one on. Out: frames, which borrow those bytes, and the
// control frames that one end has to send. The package imports nothing of this project.
// Its tests compare it with golang-framestream.
package framestream

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// Control is the type of a control frame.
type Control uint32

// The control frames. A sender that speaks in both directions begins with Ready, and the
// receiver answers Accept. Each stream then begins with Start and ends with Stop, which
// the receiver answers with Finish if there was a Ready.
const (
	Data Control = iota // not a control frame
	Accept
	Start
	Stop
	Ready
	Finish
)

var controlNames = [...]string{Data: "data", Accept: "ACCEPT", Start: "START", Stop: "STOP", Ready: "READY", Finish: "FINISH"}

// String is the frame's name in the specification.
func (c Control) String() string {
	if int(c) < len(controlNames) {
		return controlNames[c]
	}
	return fmt.Sprintf("control type %d", uint32(c))
}

const (
	lengthLen        = 4     // of the length before each frame, in network byte order
	escapeLen        = 4     // a length of 0: a control frame follows
	maxControl       = 512   // bytes of a control frame; what fstrm allows
	maxContentType   = 256   // what fstrm allows
	fieldContentType = 1     // the only field of control frames
	fieldHead        = 4 + 4 // type and length of a field
)

// HeadLen is how many bytes precede a data frame.
const HeadLen = lengthLen

// MaxFrame is the usual bound of a data frame: a dnstap frame has at most two DNS messages
// of 64 KiB, and a few hundred bytes.
const MaxFrame = 256 << 10

// Frame is one frame. Its bytes are borrowed.
type Frame struct {
	Control Control
	Data    []byte // of a data frame; the fields of a control frame
}

// Errors of Next.
var (
	// ErrMore means that the frame is incomplete. Next can be called again with more bytes.
	ErrMore = errors.New("the frame is incomplete")
	// ErrTooLong means that a data frame is longer than the bound.
	ErrTooLong = errors.New("frame too long")
	// ErrControl means that a control frame is too long or too short, or of type 0.
	ErrControl = errors.New("a control frame with a wrong length or type")
)

// Next cuts the first frame from b, and returns how many bytes it takes. A data frame may
// have up to max bytes. With ErrMore, n is how many bytes b must have at least before
// another call can succeed.
func Next(b []byte, max int) (f Frame, n int, err error) {
	if len(b) < lengthLen {
		return f, lengthLen, ErrMore
	}
	length := binary.BigEndian.Uint32(b)
	if length != 0 {
		if uint64(length) > uint64(max) {
			return f, 0, ErrTooLong
		}
		n = lengthLen + int(length)
		if len(b) < n {
			return f, n, ErrMore
		}
		f.Data = b[lengthLen:n:n]
		return f, n, nil
	}
	return nextControl(b)
}

func nextControl(b []byte) (f Frame, n int, err error) {
	const head = escapeLen + lengthLen
	if len(b) < head {
		return f, head, ErrMore
	}
	length := binary.BigEndian.Uint32(b[escapeLen:])
	if length < 4 || length > maxControl {
		return f, 0, ErrControl
	}
	n = head + int(length)
	if len(b) < n {
		return f, n, ErrMore
	}
	if f.Control = Control(binary.BigEndian.Uint32(b[head:])); f.Control == Data {
		return f, 0, ErrControl
	}
	f.Data = b[head+4 : n : n]
	return f, n, nil
}

// Length is the length that b announces for its first frame, 0 for a control frame. b has
// at least four bytes.
func Length(b []byte) uint32 { return binary.BigEndian.Uint32(b) }

// Allows reports whether a control frame allows a content type: it names it, or none at
// all. named lists the types that it names, for messages.
func (f *Frame) Allows(contentType string) (ok bool, named []string, err error) {
	none := true
	for rest := f.Data; len(rest) > 0; {
		if len(rest) < fieldHead {
			return false, named, ErrControl
		}
		kind, length := binary.BigEndian.Uint32(rest), binary.BigEndian.Uint32(rest[4:])
		if uint64(length) > uint64(len(rest)-fieldHead) || kind == fieldContentType && length > maxContentType {
			return false, named, ErrControl
		}
		value := rest[fieldHead : fieldHead+length]
		rest = rest[fieldHead+length:]
		if kind != fieldContentType {
			continue
		}
		none = false
		if string(value) == contentType {
			ok = true
		} else {
			named = append(named, string(value))
		}
	}
	return ok || none, named, nil
}

// AppendControl appends a control frame with a content type; "": none.
func AppendControl(dst []byte, c Control, contentType string) []byte {
	length := 4
	if contentType != "" {
		length += fieldHead + len(contentType)
	}
	dst = binary.BigEndian.AppendUint32(dst, 0)
	dst = binary.BigEndian.AppendUint32(dst, uint32(length))
	dst = binary.BigEndian.AppendUint32(dst, uint32(c))
	if contentType != "" {
		dst = binary.BigEndian.AppendUint32(dst, fieldContentType)
		dst = binary.BigEndian.AppendUint32(dst, uint32(len(contentType)))
		dst = append(dst, contentType...)
	}
	return dst
}

// AppendHead appends what precedes a data frame of that length.
func AppendHead(dst []byte, length int) []byte {
	return binary.BigEndian.AppendUint32(dst, uint32(length))
}
