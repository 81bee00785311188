package cli

import (
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
		Name:      "run",
		Usage:     "run as a service with the options of dnsmonster; the default command",
		UsageText: runTasks,
		Description: `Takes the options of dnsmonster. They may be on the command line, in environment variables, and in the
configuration file that --config names. --devname, --pcapfile or --dnstapsocket names the input. Nothing is written unless
an output is switched on.

EXAMPLES:
   dnsmonster-sensor --config=/etc/dnsmonster.ini
   dnsmonster-sensor --devName eth0 --stdoutOutputType=1
   dnsmonster-sensor config check /etc/dnsmonster.ini`,
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
	return slices.Concat(names, flags, o.capture.frames.flags(), o.capture.flags())
}

func (o *runOptions) run(c *cli.Context) error {
	switch what := endpoint.MaskAll(c.Args().First()); {
	case what == "true" || what == "false":
		return usageError("unexpected argument %q: write the value of a switch as --name=%s", what, what)
	case isSocketAddress(c.Args().First()) || isSocket(c.Args().First()):
		return refuseSocket(invocationOf(c), c.Args().Slice())
	case isInterface(c.Args().First()) || isFile(c.Args().First()):
		return o.refuseName(invocationOf(c), c.Args().First())
	case c.Args().Present():
		return usageError("run takes no arguments: remove %q; an interface is named by --devname=%s, a capture file by --pcapfile=%s", what, what, what)
	}
	return o.capture.begin(c, source{make: o.input, options: o.inputNames()})
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

// inputNames are the options that name an input.
func (o *runOptions) inputNames() []string {
	var names []string
	for _, in := range o.inputs {
		name, _ := in.name()
		names = append(names, name)
	}
	return names
}

// refuseName is the error for a name of an interface or file as an argument.
func (o *runOptions) refuseName(inv *invocation, name string) error {
	option, other := "--devname=", "attach"
	if !isInterface(name) {
		option, other = "--pcapfile=", "replay"
		if isConfiguration(name) {
			option = "--config="
		}
	}
	words := slices.Concat([]string{"run", option + name}, optionWords(inv.command("run"), inv.line.Given, nil))
	text := meant(inv.program, words...)
	if option != "--config=" {
		text += ", or: " + commandLine(inv.program, other, name)
	}
	return usageError("run takes no arguments%s", text)
}
