// Package outputs delivers events: blocks are filled, queued, and handed to
// writers, with retries, filters and ledgers once for all outputs. Each output
// has a folder of its own with the code that speaks to its destination.
package outputs

import (
	"context"
	"log/slog"

	"github.com/urfave/cli/v2"

	"dnsmonster-sensor/outputs/format"
	"dnsmonster-sensor/userspace/account"
	"dnsmonster-sensor/userspace/event"
)

// Output is one kind of destination.
type Output interface {
	// Name is one lower-case word, as in messages, metrics and the folder.
	Name() string
	// Flags declares the output's options: environment names spelled out,
	// Category is the section of the configuration file.
	Flags() []cli.Flag
	// Settings checks the parsed options without opening anything. Its error
	// begins with the option that is wrong, or joins several such errors.
	Settings() (Settings, error)
	// Open connects, once for each writer, from several goroutines at a time. ctx
	// bounds the attempt and means nothing to the writer afterwards.
	Open(ctx context.Context) (Writer, error)
}

// Common is what outputs may want to know of the program's own options.
type Common struct {
	Server     string         // the sensor's name: --servername
	Records    format.Options // of records in every output that writes some; Server is in them too
	SkipVerify bool           // certificates are not checked: --skiptlsverification
	Live       bool           // the input is an interface: nobody waits for an output
	Force      bool           // folders that other users may change are used all the same: --force
	Log        *slog.Logger
}

// CommonSetter is an Output that wants to know them. Use is called before
// Settings.
type CommonSetter interface{ SetCommon(Common) }

// Checker is an Output that tries its options out before anything is written.
type Checker interface {
	// Check says what will not work as it is set, marked by Permanent and with
	// what would mend it. Any other error may pass, such as a server that is
	// down: the runner will try again.
	Check(ctx context.Context) error
}

// LocalChecker is an Output that can tell without changing anything, and without asking
// a server, what will not work as it is set. It comes after Settings.
type LocalChecker interface{ CheckLocal() error }

// Commander is an Output that brings commands of its own, such as one that makes
// the tables of its database.
type Commander interface {
	// Commands have names, help, their own options, and either subcommands or an
	// action. They are called once for an Output that does nothing else. The
	// options are bound and SetCommon has been called when an action runs; the context's
	// own Context ends at a signal. ArgsUsage says that a command takes arguments.
	// An error that is Permanent is for the user to mend, exit status 1; any other
	// one is a failure, exit status 2. The program adds what all of them have:
	// --config, --skiptlsverification, and files for secrets.
	Commands() []*cli.Command
}

// Meterer is an Output with numbers of its own, shown beside its ledgers.
type Meterer interface {
	// Meters is safe to call at any time.
	Meters() []account.Line
}

// Writer is one connection to a destination, used by one goroutine.
type Writer interface {
	// Write returns once the destination has acknowledged the block. The block
	// is borrowed until then.
	//
	// An error means that some of the block was not taken. The runner then calls
	// Write again with the same block until it returns nil; a writer that knows
	// which events were taken sends only the others, or says so by a Partial.
	// RetryAfter sets the pause. ErrPermanent ends this: what is left counts as
	// refused. ErrReaderGone and ErrEnded end the output.
	//
	// refused is how many events this call found that the destination will never
	// take; it counts beside an error too, and such events are not sent again.
	//
	// Write returns soon after ctx has ended.
	Write(ctx context.Context, b *event.Block) (refused int, err error)
	// Close gives the connection back. A second Close does nothing.
	Close() error
}
