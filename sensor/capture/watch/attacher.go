package watch

// Attacher puts a live back end onto interfaces, for a Watcher. It is called by one
// goroutine at a time, in the network namespace in which the Watcher was opened.
type Attacher interface {
	// Attach begins to capture an interface, which may be down, and may be gone by
	// then. Where it fails nothing is left attached, and it is tried again: when the
	// interface has changed, and each second.
	Attach(index int) (Attachment, error)
}

// Attachment is one interface that is captured. It follows the interface through
// down and up and through a change of its name.
type Attachment interface {
	// Alive is false once the interface has been deleted or has left the network
	// namespace, or another program has ended the capture there. Then the Watch
	// closes it and attaches again, where there is still an interface. It is asked
	// once a second.
	Alive() bool
	// Describe says in a few words how the interface is captured.
	Describe() string
	// Close ends the capture and leaves nothing behind. An interface that is gone is
	// no error.
	Close() error
}

// HiddenReporter is an Attacher that knows what it does not get to see.
type HiddenReporter interface {
	// Hidden describes, a line each, what others on an interface keep from us. It is
	// asked after Attach, and each line is a warning.
	Hidden(index int) ([]string, error)
}
