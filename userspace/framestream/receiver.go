package framestream

import "fmt"

// Receiver is the state of the receiving end of a stream. Its Control is called with each
// control frame, and gives the answer. The zero value with a ContentType waits for the
// beginning of a stream.
type Receiver struct {
	ContentType string

	bidirectional bool // there was a Ready
	started       bool
}

// Started reports whether a stream has begun and not ended, so that data frames may come.
func (r *Receiver) Started() bool { return r.started }

// ContentError is the error for a sender of something else.
type ContentError struct {
	Want  string
	Named []string // may hold any bytes
}

func (e *ContentError) Error() string {
	return fmt.Sprintf("the sender offers content type %q, not %s", e.Named, e.Want)
}

// OrderError is the error for a frame that may not come now.
type OrderError struct{ Got, Want Control }

func (e *OrderError) Error() string {
	return fmt.Sprintf("unexpected %s frame: %s must come", e.Got, e.Want)
}

// Control handles a control frame, and appends the answer to dst. After Stop a stream may
// begin again: files of several streams are streams one after the other.
func (r *Receiver) Control(f *Frame, dst []byte) ([]byte, error) {
	switch f.Control {
	case Ready:
		if r.started || r.bidirectional {
			return dst, &OrderError{Got: Ready, Want: r.want()}
		}
		if err := r.check(f); err != nil {
			return dst, err
		}
		r.bidirectional = true
		return AppendControl(dst, Accept, r.ContentType), nil
	case Start:
		if r.started {
			return dst, &OrderError{Got: Start, Want: Stop}
		}
		if err := r.check(f); err != nil {
			return dst, err
		}
		r.started = true
		return dst, nil
	case Stop:
		if !r.started && !r.bidirectional {
			return dst, &OrderError{Got: Stop, Want: r.want()}
		}
		answer := r.bidirectional
		r.started, r.bidirectional = false, false
		if answer {
			dst = AppendControl(dst, Finish, "")
		}
		return dst, nil
	}
	return dst, &OrderError{Got: f.Control, Want: r.want()}
}

// Data returns an error if a data frame may not come now.
func (r *Receiver) Data() error {
	if !r.started {
		return &OrderError{Got: Data, Want: r.want()}
	}
	return nil
}

func (r *Receiver) want() Control {
	switch {
	case r.started:
		return Stop
	case r.bidirectional:
		return Start
	}
	return Ready
}

func (r *Receiver) check(f *Frame) error {
	ok, named, err := f.Allows(r.ContentType)
	if err == nil && !ok {
		err = &ContentError{Want: r.ContentType, Named: named}
	}
	return err
}
