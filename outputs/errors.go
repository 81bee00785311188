package outputs

import (
	"errors"
	"fmt"
	"time"

	"dnsmonster-sensor/userspace/event"
)

var (
	// ErrPermanent marks an error that no further attempt can fix.
	ErrPermanent = errors.New("permanent")
	// ErrReaderGone is returned by a writer whose reader has left for good, such as the
	// program that reads stdout through a pipe.
	ErrReaderGone = errors.New("the reader has left")
	// ErrEnded is returned by a writer whose destination will accept nothing more, for
	// another reason. Like ErrReaderGone it ends the output, but not
	// quietly: the rest is abandoned, and the run has failed.
	ErrEnded = errors.New("the destination has ended")
)

// Ended marks err so that the output ends. The text is unchanged.
func Ended(err error) error { return ended{err} }

type ended struct{ error }

func (e ended) Unwrap() error        { return e.error }
func (e ended) Is(target error) bool { return target == ErrEnded }

// Permanent marks err so that the block is refused and not tried again. The text is
// unchanged.
func Permanent(err error) error { return permanent{err} }

type permanent struct{ error }

func (p permanent) Unwrap() error        { return p.error }
func (p permanent) Is(target error) bool { return target == ErrPermanent }

// RetryAfter is the error of a destination that says when to come back. The runner waits
// at least that long, but at most MaxRetryAfter.
type RetryAfter struct {
	Wait time.Duration
	Err  error
}

// Error returns the text of Err and the delay.
func (e *RetryAfter) Error() string {
	return fmt.Sprintf("%v (the server asks to wait %s)", e.Err, e.Wait)
}

// Unwrap returns Err.
func (e *RetryAfter) Unwrap() error { return e.Err }

// MaxRetryAfter is the longest delay that a destination can ask for.
const MaxRetryAfter = 5 * time.Minute

// Postpone is the error of a Write whose block only one part of the destination may have,
// such as a shard where it may be stored already, which does not take it now. The runner
// goes on with other blocks meanwhile. It tries this one again after the usual pauses, with
// the same writer.
type Postpone struct {
	Part string // its name; blocks that wait for the same part are tried one at a time
	Err  error
}

// Error returns the text of Err.
func (e *Postpone) Error() string { return e.Err.Error() }

// Unwrap returns Err.
func (e *Postpone) Unwrap() error { return e.Err }

// Partial is the error of a Write whose destination answers per event: it accepted all
// but those in Failed, which failed for the moment, and those that Write reports as
// refused. The runner tries again with a block of the failed ones only, under a new id;
// if there are none, the block is finished.
type Partial struct {
	Failed []int // positions in the block, ascending
	Err    error // the reason
}

// Error returns the number of failed events and the text of Err.
func (e *Partial) Error() string { return fmt.Sprintf("%d events failed: %v", len(e.Failed), e.Err) }

// Unwrap returns Err.
func (e *Partial) Unwrap() error { return e.Err }

// Refused makes the results of a Write that delivered the whole block except n events,
// which cannot be written as records. why is the reason.
func Refused(n int, why error) (refused int, err error) {
	if n == 0 {
		return 0, nil
	}
	return n, &Partial{Err: why}
}

// validFor reports whether e makes sense for b, of which left events were still unsent: a
// writer may be wrong.
func (e *Partial) validFor(b *event.Block, left int) bool {
	last := -1
	for _, i := range e.Failed {
		if i <= last || i >= b.Len() {
			return false
		}
		last = i
	}
	return len(e.Failed) <= left
}

// subset copies the events at the given positions into a block of their own.
func subset(b *event.Block, positions []int, id event.ID, now time.Time) *event.Block {
	some := event.NewBlock(smallBlock)
	var e event.Event
	r := b.Reader()
	for i := 0; len(positions) > 0 && r.Next(&e); i++ {
		if i == positions[0] {
			some.Append(&e)
			positions = positions[1:]
		}
	}
	some.Seal(id, now)
	return some
}
