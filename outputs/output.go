// Package outputs delivers events: blocks are filled, queued, and handed to
// writers, with retries, filters and books once for all outputs. Each output
// has a folder of its own with the code that speaks to its destination.
package outputs

import (
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

// Settings is what the runner needs to know of an output.
type Settings struct {
	Type       Type
	Workers    int           // writers, each in a goroutine of its own; at least 1
	BatchSize  int           // events in a block at most; 0: as many as its bytes allow
	BatchDelay time.Duration // how long an open block waits for more; at least 1 ms
	Timeout    time.Duration // for one attempt of Write or Open
	QueueBytes int64         // memory for blocks that wait
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
	// Open connects. It is called once for each writer; ctx bounds the attempt.
	Open(ctx context.Context) (Writer, error)
}

// Writer is one connection to a destination, used by one goroutine.
type Writer interface {
	// Write returns once the destination has acknowledged the block. refused
	// counts events that it will never take; they are not sent again. An error
	// means that the block was not taken: the runner tries again, unless the
	// error is ErrPermanent, then all of it counts as refused, or ErrGone, then
	// the run ends.
	Write(ctx context.Context, b *event.Block) (refused int, err error)
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
