// Package outputs delivers events to their destinations.
//
// In: events of the capture's lanes, through Runner.Intake. Out: sealed blocks, each
// one a batch, through Writer.Write. In between it does once what all outputs need:
// batches, queues, domain filters, retries, the spool, ledgers. Each output has a folder
// of its own beside this file, with the code that speaks to its destination.
//
// It must not import the folder of any output, nor sensor: that is the program, which
// lists the outputs in outputs/all. The tests make their events themselves; blocks of
// earlier builds are in userspace/event/testdata.
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
	// Name is one lower-case word: for messages, metrics and the folder's name.
	Name() string
	// Flags declares the output's options. Names of environment variables are spelled
	// out; Category is the section of the configuration file.
	Flags() []cli.Flag
	// Settings checks the parsed options without opening anything. Its error
	// begins with the option that is wrong, or joins several such errors.
	Settings() (Settings, error)
	// Open connects. Each writer calls it once, and several may call it at the same
	// time. ctx bounds the attempt only: the writer must not use it afterwards.
	Open(ctx context.Context) (Writer, error)
}

// Common holds the options of the program that outputs may need.
type Common struct {
	Server     string         // the sensor's name: --servername
	Records    format.Options // for every output that writes records; includes Server
	SkipVerify bool           // certificates are not verified: --skiptlsverification
	Live       bool           // the input is an interface: lanes never wait for an output
	Force      bool           // use folders that other users can change: --force
	Log        *slog.Logger
}

// CommonSetter is an Output that needs the program's options. SetCommon is called
// before Settings.
type CommonSetter interface{ SetCommon(Common) }

// Checker is an Output that can test its settings before anything is written.
type Checker interface {
	// Check asks the destination and returns what will not work with these settings,
	// marked by Permanent and with how to fix it. Any other error, such as a server
	// that is down, is taken as transient: the runner will try again.
	Check(ctx context.Context) error
}

// LocalChecker is an Output that can find mistakes without changing anything and without
// asking a server. CheckLocal is called after Settings.
type LocalChecker interface{ CheckLocal() error }

// Commander is an Output with commands of its own, such as one that creates the
// tables of its database.
type Commander interface {
	// Commands returns commands with names, help, their own options, and either
	// subcommands or an action. It is called once, on an Output that does nothing else.
	// When an action runs, the options are bound and SetCommon has been called; the
	// context's own Context ends at a signal. ArgsUsage says that a command takes
	// arguments. An error that is Permanent is the user's to fix, exit status 1; any
	// other one is a failure, exit status 2. The program adds the options that all
	// commands have: --config, --skiptlsverification, and files for secrets.
	Commands() []*cli.Command
}

// Describer is an Output that can say more about its destination than its name. Outputs
// that embed Basics are.
type Describer interface {
	// Describe says in a few words where records go and in which format, such as
	// "stdout (json)", without secrets. It is called after Settings.
	Describe() string
}

// Describe describes any Output: by its name if it has no more to say.
func Describe(o Output) string {
	if d, ok := o.(Describer); ok {
		return d.Describe()
	}
	return o.Name()
}

// Meterer is an Output with numbers of its own, shown beside its ledgers.
type Meterer interface {
	// Meters is safe to call at any time.
	Meters() []account.Line
}

// FrameKeeper is an Output that passes dnstap frames on as they came, with everything that
// they carried.
type FrameKeeper interface {
	// KeepsFrames reports whether events must have event.FrameHead and event.FrameTail. It
	// is called after Settings, on outputs that are switched on.
	KeepsFrames() bool
}

// KeepsFrames reports whether an Output needs the frames in which events came.
func KeepsFrames(o Output) bool {
	k, ok := o.(FrameKeeper)
	return ok && k.KeepsFrames()
}

// Resumer is a Writer whose blocks may be stored in one part of the destination only: see
// Postpone.
type Resumer interface {
	// Resume is called before the first Write of a block that may come from an earlier run.
	// waited reports whether Postpone named that part for it then.
	Resume(id event.ID, waited func(part string) bool)
}

// Writer is one connection to a destination, used by one goroutine.
type Writer interface {
	// Write returns nil once the destination has acknowledged the block. It may use
	// the block until it returns, and must not keep it.
	//
	// After an error the runner calls Write again with the same block until it
	// returns nil. A writer that knows which events were accepted sends only the
	// others, or reports them as a Partial. RetryAfter sets the pause. ErrPermanent
	// ends the attempts: the rest counts as refused. ErrReaderGone and ErrEnded end
	// the output.
	//
	// refused is the number of events that, as this call found, the destination will
	// never accept. It counts even if err is not nil; these events are not sent again.
	//
	// Write returns soon after ctx has ended.
	Write(ctx context.Context, b *event.Block) (refused int, err error)
	// Close closes the connection. A second Close does nothing.
	Close() error
}
