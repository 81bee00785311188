package cli

import (
	"errors"
	"log/slog"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"dnsmonster-sensor/outputs"
	"dnsmonster-sensor/outputs/endpoint"
)

// runOptions are those of `run`, which is dnsmonster's command line: the input is
// an option, too.
type runOptions struct {
	capture *captureOptions
	inputs  []runInput
}

func runCommand(list []outputs.Output) *cli.Command {
	o := &runOptions{capture: newCaptureOptions(list), inputs: runInputs()}
	o.capture.fallback = false
	return &cli.Command{
		Name:  "run",
		Usage: "do what dnsmonster does with the same options; this is the default command",
		Description: `Takes the input from --devname or --pcapfile. The options are dnsmonster's, and may be in the
environment and in the file that --config names. An output has to be switched on.

EXAMPLES:
   dnsmonster-sensor run --config=dnsmonster.ini
   dnsmonster-sensor --devName eth0 --stdoutOutputType=1
   dnsmonster-sensor run --config=old.ini --writeconfig=new.ini`,
		Flags:  o.flags(),
		Action: o.run,
	}
}

func (o *runOptions) flags() []cli.Flag {
	var names, flags []cli.Flag
	for _, in := range o.inputs {
		names = append(names, in.nameFlags()...)
		flags = append(flags, in.flags()...)
	}
	return slices.Concat(names, flags, o.capture.flags())
}

func (o *runOptions) run(c *cli.Context) error {
	switch what := endpoint.MaskAll(c.Args().First()); {
	case what == "true" || what == "false":
		return usageError("unexpected argument %q: write the value of a switch as --name=%s", what, what)
	case c.Args().Present():
		return usageError("run takes no arguments: remove %q; an interface is named by --devname=%s, a capture file by --pcapfile=%s", what, what, what)
	}
	if err := o.verify(c, invocationOf(c)); err != nil {
		return &exitError{exitUsage, err}
	}
	if invocationOf(c).checksMachine {
		return nil
	}
	s, err := o.capture.session(c)
	if err != nil {
		return err
	}
	in, err := o.input(s)
	if err != nil {
		return err
	}
	return record(c, o.capture, s, in)
}

// input checks the options of all inputs, and returns the one that is named.
func (o *runOptions) input(s *session) (input, error) {
	var p problems
	var named []runInput
	var options []string
	for _, in := range o.inputs {
		p.add(in.check())
		if name, set := in.name(); set {
			named, options = append(named, in), append(options, "--"+name)
		}
	}
	p.addIf(len(named) > 1, "%s are set: use one of them", strings.Join(options, " and "))
	if len(named) == 0 {
		p.add(errNoInput)
	}
	if err := p.err(); err != nil {
		return input{}, err
	}
	return named[0].input(o.capture, s)
}

// inputNames are the options that name an input. One of them is dnsmonster's for an input
// that is not built yet.
func (o *runOptions) inputNames() []string {
	names := []string{"dnstapsocket"}
	for _, in := range o.inputs {
		name, _ := in.name()
		names = append(names, name)
	}
	return names
}

// verify finds everything that would keep run from starting. It leaves out errors
// that only follow from others.
func (o *runOptions) verify(c *cli.Context, inv *invocation) error {
	v := inv.values
	var p problems
	p.add(o.capture.verify(v))
	list, err := o.capture.enabledOutputs(c, slog.New(slog.DiscardHandler))
	if !errors.Is(err, errNoOutput) || !v.SetOrAttempted("outputtype") {
		p.add(err)
	}
	in, err := o.input(&session{log: slog.New(slog.DiscardHandler)})
	if !errors.Is(err, errNoInput) || !v.SetOrAttempted(o.inputNames()...) {
		p.add(err)
	}
	if inv.checksMachine || !inv.trial && len(p) == 0 {
		p.add(o.capture.checkMachine(in, list))
	}
	if err := p.err(); err != nil {
		return v.Explain(err)
	}
	return nil
}

// Errors that may follow from others.
var (
	errNoInput  = errors.New("no input: set --devname or --pcapfile (see dnsmonster-sensor --help)")
	errNoOutput = errors.New("no output is switched on: set an output's type, such as --stdoutoutputtype=1 (see dnsmonster-sensor run --help)")
)
