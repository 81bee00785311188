package cli

import (
	"github.com/urfave/cli/v2"

	"dnsmonster-sensor/outputs"
	"dnsmonster-sensor/sensor/capture"
	"dnsmonster-sensor/sensor/pipeline"
	"dnsmonster-sensor/userspace/worker"
)

// inputs make the commands that capture: one for each kind of input, and run. A new
// input is a folder in sensor/capture, a file here with its command, and an element of
// this list. If dnsmonster has that input too, it is also an element of runInputs.
var inputs = []func([]outputs.Output) *cli.Command{runCommand, attachCommand, replayCommand, dnstapCommand}

// runInputs are the inputs that run can take.
func runInputs() []runInput { return []runInput{&deviceOptions{}, &pcapOptions{}, &listedSockets{}} }

// runInput is an input as run has it: named by an option.
type runInput interface {
	// name is the option that names it, and whether that is set.
	name() (option string, set bool)
	// nameFlags declare that option, and others that the input has only in run.
	nameFlags() []cli.Flag
	// flags declare the options that run shares with the input's own command.
	flags() []cli.Flag
	// check looks at the values of options, whether the input is named or not.
	check() error
	// input makes the input that the option names.
	input(*captureOptions, *session) (input, error)
}

// inputCommands gives each command outputs of its own.
func inputCommands(list func() []outputs.Output) []*cli.Command {
	var commands []*cli.Command
	for _, command := range inputs {
		commands = append(commands, command(list()))
	}
	return commands
}

// input is what a command captures from.
type input struct {
	pipeline.Input
	check   func() error    // why Open would fail, without opening anything; nil: unknown
	sampler *worker.Sampler // nil: the source samples, or nothing does

	// doing says in a few words what has been opened, for the start line; nil: not known.
	doing func(source capture.Source, verbose bool) string
	opens func() string // says what opening it waits for; nil: for nothing
	end   string        // how to end it, for the start line
	hints pipeline.Hints
	// logStart logs what has been opened, for run; nil: nothing is logged.
	logStart func(capture.Source)
	note     func() string // advice about what has been opened, "" if there is none; nil: none
	renew    func() error  // reads certificates again, at SIGHUP; nil: it has none
	frames   bool          // it brings dnstap frames, which have no ports of packets

	// Where the input is files:
	files    []string
	ordered  bool // records have to come in the files' order
	progress bool // show progress
}
