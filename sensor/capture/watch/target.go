package watch

import (
	"log/slog"
	"time"
)

// target is what the Watcher captures or waits for: the interface with a name, or,
// of a pattern, the interface with a number.
type target struct {
	name       string
	pattern    string       // that the interface matched when it was new; "": the user has named it
	index      int          // of the interface that it was attached to last; of a pattern, always
	born       uint64       // of that interface
	attachment Attachment   // nil: there is no interface, or it cannot be captured
	promisc    *promiscuous // nil: not asked for, or not possible
	failed     netInterface // the interface as it was when attaching failed
	err        error        // of that attempt
	state      state        // that was logged last

	displacedAt    time.Time // when it was last logged that another program had detached ours
	displacedTimes int       // how often that has happened since
}

// state is what the log has said about a target.
type state uint8

const (
	unseen state = iota
	captured
	gone
	displaced // another program has detached ours
	failing
	renamed // captured, under another name
	isDown  // and cannot be captured until it is up
)

// recovered is the log message when a target in this state is captured again.
func (s state) recovered() string {
	switch s {
	case gone:
		return "interface is back"
	case renamed:
		return "interface has its name again"
	case displaced:
		return "attached again"
	}
	return "interface is captured"
}

// enter logs a change to a state as a warning, once.
func (t *target) enter(log *slog.Logger, s state, message string, args ...any) {
	if t.state != s {
		t.state = s
		log.Warn(message, args...)
	}
}

func (t *target) enterGone(log *slog.Logger) {
	t.enter(log, gone, "interface is gone, waiting for it to come back", "interface", t.name)
}

// displacedInterval is how often it is logged that another program keeps detaching
// ours.
const displacedInterval = time.Minute

func (t *target) enterDisplaced(log *slog.Logger) {
	t.displacedTimes++
	if time.Since(t.displacedAt) < displacedInterval {
		return
	}
	t.enter(log, displaced, "another program has taken ours off, attaching again", "interface", t.name, "times", t.displacedTimes)
	t.displacedAt, t.displacedTimes = time.Now(), 0
}

// detach ends the capture and promiscuous mode.
func (t *target) detach() error {
	t.endPromiscuous()
	if t.attachment == nil {
		return nil
	}
	err := t.attachment.Close()
	t.attachment = nil
	return err
}

func (t *target) endPromiscuous() {
	t.promisc.end()
	t.promisc = nil
}

// waitUntilUp logs that an interface is captured when it comes up.
func (t *target) waitUntilUp(log *slog.Logger, i netInterface, err error) {
	t.failed, t.err = i, err
	t.enter(log, isDown, "interface is down: it is captured when it comes up", "interface", t.name)
}
