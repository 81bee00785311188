package cli

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/urfave/cli/v2"

	"dnsmonster-sensor/outputs/endpoint"
	"dnsmonster-sensor/outputs/printable"
	"dnsmonster-sensor/sensor/config"
	"dnsmonster-sensor/sensor/signals"
)

// invocation is a command line, resolved together with the environment and the
// configuration file.
type invocation struct {
	app           *cli.App
	program       string         // as it was started
	line          config.Line    // as it was typed
	version       bool           // only the version is asked for
	help          *config.Line   // not nil: only help is asked for
	helpWords     []string       // what help is asked about
	values        *config.Values // of the command's options
	configurable  bool           // environment and configuration file are among their sources
	resolve       func() (*config.Values, error)
	signals       *signals.Signals
	warned        bool // the warnings have been logged
	trial         bool // only check whether it would start
	checksMachine bool // a trial checks files and interfaces, too
}

// invoke finds the command and the values of its options. The bare command is
// run.
func invoke(app *cli.App, args, environ []string) (*invocation, error) {
	given := args[1:]
	if len(given) > 0 && given[0] == "help" {
		given = append([]string{"--help"}, given[1:]...)
	}
	line := config.ParseLine(given, app.Commands)
	switch {
	case line.Has("version"):
		return &invocation{version: true}, nil
	case line.IsHelp():
		return &invocation{help: &line, helpWords: config.HelpWords(given, line.Command)}, nil
	case len(line.Command) == 0:
		if err := withoutCommand(app, args, line); err != nil {
			return nil, err
		}
		line.Command = []string{"run"}
	}
	fileAsArgument(&line)
	cmd := commandOf(app, line)
	if err := unknownSubcommand(app, args, cmd, line); err != nil {
		return nil, err
	}
	in, err := configInput(app, cmd, line, environ)
	if err != nil {
		return nil, err
	}
	inv := &invocation{app: app, program: args[0], line: line, resolve: func() (*config.Values, error) { return resolve(in) }}
	values, err := inv.resolve()
	inv.values, inv.configurable = values, configurable(in.Options)
	if err != nil {
		return nil, &exitError{exitUsage, withWarnings(inv.withTrial(err), values)}
	}
	return inv, nil
}

// withTrial adds to what is wrong with the form of options what the command itself would
// refuse, so that the user gets all of it at once. An option whose value is wrong has its
// default there. What may only follow from a wrong option is left out.
func (inv *invocation) withTrial(err error) error {
	if inv.values == nil || !inv.captures() {
		return err
	}
	trial := *inv
	lacks := lacksOption(commandOf(inv.app, inv.line), inv.line.Given)
	if lacks && trial.line.Command[0] == "run" {
		trial.line.Arguments = nil // the value of an option that is unknown
	}
	var p problems
	p.add(err)
	for _, e := range config.SplitJoined(trial.try(inv.values)) {
		var argument argumentError
		if e != nil && !inv.values.IsConsequence(e) && !(lacks && errors.As(e, &argument)) {
			p.add(e)
		}
	}
	return errors.Join(p...)
}

// command is a command of the program.
func (inv *invocation) command(name string) *cli.Command { return inv.app.Command(name) }

// commandOf is the command that the line names.
func commandOf(app *cli.App, line config.Line) *cli.Command {
	cmd := app.Command(line.Command[0])
	for _, name := range line.Command[1:] {
		i := slices.IndexFunc(cmd.Subcommands, func(c *cli.Command) bool { return c.HasName(name) })
		cmd = cmd.Subcommands[i]
	}
	return cmd
}

// captures reports whether the command is going to capture.
func (inv *invocation) captures() bool {
	v := inv.values
	return inv.configurable && v.Get("grace") != nil && v.String("writeconfig") == "" &&
		!slices.ContainsFunc([]string{"manpage", "bashcompletion", "fishcompletion", "zshcompletion", "systemdservice"}, v.Is)
}

// run runs the command.
func (inv *invocation) run(app *cli.App) error {
	cmd := commandOf(app, inv.line)
	set, err := inv.values.Bind(cmd.Flags, inv.line.Arguments)
	if err != nil {
		return inv.explain(&exitError{exitUsage, err})
	}
	if inv.configurable && inv.values.Get("grace") == nil { // those that record have a log
		for _, w := range inv.values.Warnings {
			fmt.Fprintln(app.ErrWriter, printable.OneLine("dnsmonster-sensor: warning: "+w))
		}
		inv.warned = true
	}
	app.Metadata[invocationKey] = inv
	c := cli.NewContext(app, set, nil)
	c.Command = cmd
	return inv.explain(cmd.Action(c))
}

// try checks whether the same command would start with other values. It opens
// nothing.
func (inv *invocation) try(v *config.Values) error {
	app := freshApp(inv.app)
	other := &invocation{app: app, program: inv.program, line: inv.line, values: v, configurable: true, warned: true, trial: true, checksMachine: inv.checksMachine}
	return other.run(app)
}

func unknownCommand(app *cli.App, name string) error {
	name = endpoint.MaskAll(name)
	if name == "true" || name == "false" {
		return usageError("unexpected argument %q: write the value of a switch as --name=%s", name, name)
	}
	var names []string
	for _, c := range app.Commands {
		names = append(names, c.Name)
	}
	if name == "version" {
		names = append(names, "--version")
	}
	return usageError("unknown command %q%s (see dnsmonster-sensor --help)", name, config.DidYouMean(name, names))
}

// configInput collects what Resolve needs, except the file.
func configInput(app *cli.App, cmd *cli.Command, line config.Line, environ []string) (config.Input, error) {
	in := config.Input{Command: cmp.Or(strings.Join(line.Command, " "), cmd.Name), Line: line.Given}
	var err error
	if in.Options, err = config.FromFlags(cmd.Flags); err != nil {
		return in, err
	}
	in.Partial = !records(in.Options)
	in.Owners = func(option string) []string { return owners(app, option) }
	in.Known = sync.OnceValue(func() []config.Option { return knownOptions(app) })
	if configurable(in.Options) {
		in.Environ = environ
	}
	return in, nil
}

// configurable reports whether a command reads the configuration file and the
// environment.
func configurable(options []config.Option) bool {
	return slices.ContainsFunc(options, func(o config.Option) bool { return o.Name == "config" })
}

// records reports whether a command records messages, so that all of a sensor's
// configuration is meant for it. Others, such as clickhouse check, need a part of it.
func records(options []config.Option) bool {
	return slices.ContainsFunc(options, func(o config.Option) bool { return o.Name == "grace" })
}

// knownOptions are the options of all commands that read a configuration.
func knownOptions(app *cli.App) []config.Option {
	var all []config.Option
	seen := make(map[string]bool)
	for _, c := range app.Commands {
		options, err := config.FromFlags(c.Flags)
		if err != nil {
			panic(err) // a declaration of ours is wrong: help would not work either
		}
		if !configurable(options) {
			continue
		}
		for _, o := range options {
			if !seen[o.Name] {
				seen[o.Name] = true
				all = append(all, o)
			}
		}
	}
	return all
}

// owners are the commands that have an option.
func owners(app *cli.App, option string) (names []string) {
	for _, c := range app.Commands {
		if slices.ContainsFunc(c.Flags, func(f cli.Flag) bool { return slices.Contains(f.Names(), option) }) {
			names = append(names, c.Name)
		}
	}
	return names
}

// resolve reads the file, if there is one, and finds all values.
func resolve(in config.Input) (*config.Values, error) {
	if path, at := config.FilePath(in.Line, in.Environ); path != "" && configurable(in.Options) {
		file, err := config.ReadFile(path)
		if file == nil {
			return nil, fmt.Errorf("--config: %w (from %s)", err, at)
		}
		in.File = file
		values, wrong := config.Resolve(in)
		return values, errors.Join(err, wrong) // both name lines
	}
	return config.Resolve(in)
}

// Keys of App.Metadata: the library gives an action nothing but its context.
const (
	invocationKey = "invocation"
	signalsKey    = "signals"
	freshKey      = "fresh"
	outputsKey    = "outputs" // makes the outputs of this build
)

func invocationOf(c *cli.Context) *invocation {
	inv, ok := c.App.Metadata[invocationKey].(*invocation)
	if !ok {
		panic("a command was started without its options")
	}
	return inv
}

// explain adds the origin of an option's value to a usage error that starts with the
// option's name.
func (inv *invocation) explain(err error) error {
	var exit *exitError
	switch {
	case err == nil || !inv.configurable || !errors.As(err, &exit):
		return err
	case exit.code != exitUsage:
		return &exitError{exit.code, inv.values.MaskError(err)}
	}
	err = inv.values.Explain(err)
	if !inv.warned { // one of them may explain the error
		err = withWarnings(err, inv.values)
	}
	return &exitError{exitUsage, err}
}

func withWarnings(err error, v *config.Values) error {
	if v == nil {
		return err
	}
	for _, w := range v.Warnings {
		err = errors.Join(err, errors.New("warning: "+w))
	}
	return err
}
