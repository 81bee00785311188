package watch

import "errors"

// ErrDown is the error of an Attacher that cannot capture an interface while it is down.
// The Watcher calls Attach again when the interface comes up.
var ErrDown = errors.New("the interface is down")

// Attacher captures interfaces for a Watcher. One goroutine at a time calls it, in
// the network namespace in which the Watcher was opened.
type Attacher interface {
	// Attach begins to capture an interface, which may be down, and may have been
	// deleted meanwhile. If it fails it leaves nothing attached. It is called again
	// when the interface has changed, and each second.
	Attach(index int) (Attachment, error)
}

// Attachment is one captured interface. It follows the interface through down and
// up and through a change of its name.
type Attachment interface {
	// Alive is false once the interface has been deleted or has left the network
	// namespace, or once another program has ended the capture there. The Watcher
	// then closes the attachment and, if the interface still exists, attaches again.
	// It asks once a second.
	Alive() bool
	// Describe says in a few words how the interface is captured.
	Describe() string
	// Close ends the capture and leaves nothing behind. A deleted interface is no
	// error.
	Close() error
}

// Ender is an Attachment that knows that it has ended by itself. The Watcher then does at
// once what it would do at its next check.
type Ender interface {
	// Ended is closed when the attachment has ended, after Close too.
	Ended() <-chan struct{}
	// Reason says why, for the log, once Ended is closed. nil: it was closed.
	Reason() error
}

// HiddenReporter is an Attacher that knows which traffic it cannot see.
type HiddenReporter interface {
	// Hidden describes, a line each, what other programs on an interface hide from
	// the capture. It is called after Attach, and each line becomes a warning.
	Hidden(index int) ([]string, error)
}
