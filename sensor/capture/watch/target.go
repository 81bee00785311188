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

	suspect bool // the attachment was found dead, and the interface is there

	displacedAt    time.Time // when entering this state was logged last
	displacedTimes int       // how often that has happened since
}

// state is what the log has said about a target.
type state uint8

const (
	unseen state = iota
	captured
	gone
	displaced // another program has detached ours, or the capture has ended by itself
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

// ended reports that the attachment has ended by itself, and why, if it knows.
func (t *target) ended() (ended bool, reason error) {
	e, ok := t.attachment.(Ender)
	if !ok {
		return false, nil
	}
	select {
	case <-e.Ended():
		return true, e.Reason()
	default:
		return false, nil
	}
}

// displacedInterval is how often it is logged that an attachment keeps being
// lost.
const displacedInterval = time.Minute

func (t *target) enterDisplaced(log *slog.Logger, reason error) {
	t.displacedTimes++
	if time.Since(t.displacedAt) < displacedInterval {
		return
	}
	if reason == nil {
		t.enter(log, displaced, "another program has detached the sensor, attaching again", "interface", t.name, "times", t.displacedTimes)
	} else {
		t.enter(log, displaced, "the capture of an interface has ended, attaching again", "interface", t.name, "times", t.displacedTimes, "reason", reason)
	}
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
