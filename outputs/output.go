// Package outputs delivers events: blocks are filled, queued, and handed to
// writers, with retries, filters and books once for all outputs. Each output
// has a folder of its own with the code that speaks to its destination.
package outputs

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/urfave/cli/v2"

	"dnsmonster-sensor/userspace/event"
)

// Type says whether an output is used, and which of the domain lists filter it.
type Type int

// Output types, in dnsmonster's numbers.
const (
	Off          Type = iota
	All               // no filter
	Skip              // all but what the skip list matches
	Allow             // only what the allow list matches
	SkipAndAllow      // both
)

// Settings is what the runner needs to know of an output. Where a field says so,
// zero stands for a default.
type Settings struct {
	Type       Type
	Workers    int           // writers, each in a goroutine of its own; at least 1
	BatchSize  int           // events in a block at most; 0: as many as its bytes allow
	BatchDelay time.Duration // how long an open block waits for more; 0: 1 s
	Timeout    time.Duration // for one attempt of Write or Open; 0: 30 s
	QueueBytes int64         // memory for blocks that wait; 0: 64 MiB
	RetryFirst time.Duration // pause after the first failed attempt; 0: 100 ms
	RetryMax   time.Duration // longest pause between attempts; 0: 30 s
}

const (
	defaultDelay      = time.Second
	defaultTimeout    = 30 * time.Second
	defaultQueueBytes = 64 << 20
	defaultRetryFirst = 100 * time.Millisecond
	defaultRetryMax   = 30 * time.Second
)

// Validate says what is wrong with s. Off is wrong too: what is off has no
// runner.
func (s *Settings) Validate() error {
	switch {
	case s.Type == Off:
		return errors.New("output type 0: the output is off")
	case s.Type >= Skip && s.Type <= SkipAndAllow:
		return fmt.Errorf("output type %d: this build has no domain lists; use 1, or 0 for off", s.Type)
	case s.Type != All:
		return fmt.Errorf("output type %d: not one of 0 to 4", s.Type)
	case s.Workers < 1:
		return fmt.Errorf("%d workers: at least 1", s.Workers)
	case s.BatchSize < 0:
		return fmt.Errorf("batch size %d: must not be negative", s.BatchSize)
	case s.BatchDelay < 0:
		return fmt.Errorf("batch delay %s: must not be negative", s.BatchDelay)
	case s.Timeout < 0:
		return fmt.Errorf("timeout %s: must not be negative", s.Timeout)
	case s.QueueBytes < 0:
		return fmt.Errorf("queue of %d bytes: must not be negative", s.QueueBytes)
	}
	return nil
}

func (s Settings) withDefaults() Settings {
	s.BatchDelay = cmp.Or(s.BatchDelay, defaultDelay)
	s.Timeout = cmp.Or(s.Timeout, defaultTimeout)
	s.QueueBytes = cmp.Or(s.QueueBytes, defaultQueueBytes)
	s.RetryFirst = cmp.Or(s.RetryFirst, defaultRetryFirst)
	s.RetryMax = max(cmp.Or(s.RetryMax, defaultRetryMax), s.RetryFirst)
	return s
}

// Output is one kind of destination.
type Output interface {
	// Name is one lower-case word, as in messages, metrics and the folder.
	Name() string
	// Flags declares the output's options: environment names spelled out,
	// Category is the section of the configuration file.
	Flags() []cli.Flag
	// Settings checks the parsed options without opening anything. Its error
	// names the option that is wrong.
	Settings() (Settings, error)
	// Open connects, once for each writer, from several goroutines at a time. ctx
	// bounds the attempt and means nothing to the writer afterwards.
	Open(ctx context.Context) (Writer, error)
}

// Writer is one connection to a destination, used by one goroutine.
type Writer interface {
	// Write returns once the destination has acknowledged the block. The block
	// is borrowed until then.
	//
	// An error means that some of the block was not taken. The runner then calls
	// Write again with the same block until it returns nil; a writer that knows
	// which events were taken sends only the others. ErrPermanent ends this: what
	// is left counts as refused. ErrGone ends the output.
	//
	// refused is how many events this call found that the destination will never
	// take; it counts beside an error too, and such events are not sent again.
	//
	// Write returns soon after ctx has ended.
	Write(ctx context.Context, b *event.Block) (refused int, err error)
	// Close gives the connection back. A second Close does nothing.
	Close() error
}

var (
	// ErrPermanent marks an error that trying again cannot mend.
	ErrPermanent = errors.New("permanent")
	// ErrGone is returned by a writer whose reader has left for good, such as
	// stdout's at the end of a pipe.
	ErrGone = errors.New("the reader has left")
)

// Permanent marks err so that the block is refused and not tried again.
func Permanent(err error) error { return fmt.Errorf("%w: %w", ErrPermanent, err) }
