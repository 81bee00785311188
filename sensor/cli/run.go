package cli

import (
	"errors"
	"log/slog"

	"github.com/urfave/cli/v2"

	"dnsmonster-sensor/outputs"
	"dnsmonster-sensor/outputs/endpoint"
	"dnsmonster-sensor/sensor/capture/watch"
)

// runOptions are those of `run`, which is dnsmonster's command line: the input is
// an option, too.
type runOptions struct {
	common        *common
	attach        attachOptions
	files         fileOptions
	device        string
	file          string
	noPromiscuous bool
}

func runCommand(list []outputs.Output) *cli.Command {
	o := &runOptions{common: newCommon(list)}
	o.common.fallback = false
	return &cli.Command{
		Name:  "run",
		Usage: "do what dnsmonster does with the same options; the command if none is named",
		Description: `Takes the input from --devname or --pcapfile. The options are dnsmonster's, and may be in the
environment and in the file that --config names. An output has to be switched on.

EXAMPLES:
   dnsmonster-sensor run --config=dnsmonster.ini
   dnsmonster-sensor --devName eth0 --stdoutOutputType=1
   dnsmonster-sensor run --config=old.ini --writeconfig=new.ini`,
		Flags:  append(append(append(o.flags(), o.attach.flags()...), o.files.flags()...), o.common.flags()...),
		Action: o.run,
	}
}

func (o *runOptions) flags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{
			Category: "capture", Name: "devname", EnvVars: []string{"DNSMONSTER_DEVNAME"}, Destination: &o.device,
			Usage: "`INTERFACE` to capture from; any: all that are up, now or later",
		},
		&cli.StringFlag{
			Category: "capture", Name: "pcapfile", EnvVars: []string{"DNSMONSTER_PCAPFILE"}, Destination: &o.file,
			Usage: "capture `FILE` to read; -: the standard input",
		},
		&cli.BoolFlag{
			Category: "capture", Name: "nopromiscuous", EnvVars: []string{"DNSMONSTER_NOPROMISCUOUS"}, Destination: &o.noPromiscuous,
			Usage: "do not put the interface into promiscuous mode",
		},
	}
}

func (o *runOptions) run(c *cli.Context) error {
	switch what := endpoint.MaskAll(c.Args().First()); {
	case what == "true" || what == "false":
		return usageError("what is %q? A truth value is written --name=%s", what, what)
	case c.Args().Present():
		return usageError("run takes no arguments: what is %q? An interface is --devname=%s, a capture file --pcapfile=%s", what, what, what)
	}
	if err := o.verify(c, invocationOf(c)); err != nil {
		return &exitError{exitUsage, err}
	}
	if invocationOf(c).machine {
		return nil
	}
	s, err := o.common.session(c)
	if err != nil {
		return err
	}
	in, err := o.input(s)
	if err != nil {
		return err
	}
	return record(c, o.common, s, in)
}

// input checks the options of the input, and returns it.
func (o *runOptions) input(s *session) (input, error) {
	var none input
	var p problems
	p.add(o.attach.check())
	p.add(o.files.check())
	p.addIf(o.device != "" && o.file != "", "--devname and --pcapfile are both set: use one")
	if o.device == "" && o.file == "" {
		p.add(errNoInput)
	}
	if err := p.err(); err != nil {
		return none, err
	}
	if o.file != "" {
		return o.files.input("--pcapfile", []string{o.file}, o.common, s), nil
	}
	interfaces := []string{o.device}
	o.attach.promiscuous = !o.noPromiscuous
	if o.device == watch.Any {
		o.attach.promiscuous = false // as everywhere: any means what this host sends and receives
	}
	options, err := o.attach.ring(o.common, interfaces, s.log)
	if err != nil {
		return none, err
	}
	return ringInput(options), nil
}

// verify finds everything that would keep run from starting. It leaves out errors
// that only follow from others.
func (o *runOptions) verify(c *cli.Context, inv *invocation) error {
	v := inv.values
	var p problems
	p.add(o.common.verify(v))
	list, err := o.common.enabledOutputs(c, slog.New(slog.DiscardHandler))
	if !errors.Is(err, errNoOutput) || !v.SetOrAttempted("outputtype") {
		p.add(err)
	}
	in, err := o.input(&session{log: slog.New(slog.DiscardHandler)})
	if !errors.Is(err, errNoInput) || !v.SetOrAttempted("devname", "pcapfile", "dnstapsocket") {
		p.add(err)
	}
	if inv.machine || !inv.trial && len(p) == 0 {
		p.add(o.common.checkMachine(in, list))
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
