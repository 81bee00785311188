package cli

import (
	"errors"
	"fmt"
	"log/slog"
	"os/signal"
	"strings"
	"syscall"

	"github.com/urfave/cli/v2"

	"dnsmonster-sensor/outputs"
	"dnsmonster-sensor/outputs/endpoint"
	"dnsmonster-sensor/outputs/printable"
	"dnsmonster-sensor/sensor/config"
	"dnsmonster-sensor/sensor/waiting"
)

// outputCommands are the outputs' own commands. All of them have the options --config
// and --skiptlsverification, an option for the file of each secret, an end at a signal,
// and an exit status that says whether the user has to act.
func outputCommands(list []outputs.Output) []*cli.Command {
	var commands []*cli.Command
	for _, o := range list {
		if c, ok := o.(outputs.Commander); ok {
			for _, cmd := range c.Commands() {
				extend(cmd, o, nil)
				commands = append(commands, cmd)
			}
		}
	}
	return commands
}

// extend adds to a command, or to its subcommands, what all commands of outputs have.
// above are the names that come before the command's own.
func extend(cmd *cli.Command, o outputs.Output, above []string) {
	path := append(above, cmd.Name)
	if len(cmd.Subcommands) > 0 {
		var names []string
		for _, sub := range cmd.Subcommands {
			extend(sub, o, path[:len(path):len(path)])
			names = append(names, sub.Name)
		}
		cmd.Action = func(*cli.Context) error {
			return usageError("%s: use dnsmonster-sensor %s %s", strings.Join(path, " "), strings.Join(path, " "), joinOr(names))
		}
		return
	}
	a := &outputCommand{output: o, name: strings.Join(path, " "), action: cmd.Action, arguments: cmd.ArgsUsage != ""}
	cmd.Flags = append(config.WithSecretFiles(append(cmd.Flags, skipTLSFlag(&a.skipTLS))), &cli.StringFlag{
		Name: "config", EnvVars: []string{"DNSMONSTER_CONFIG"}, Usage: "read this configuration `FILE`; options that the command does not have are ignored",
	})
	cmd.Action = a.run
}

// joinOr lists names with "or" before the last one.
func joinOr(names []string) string {
	last := len(names) - 1
	if last == 0 {
		return names[0]
	}
	return strings.Join(names[:last], ", ") + " or " + names[last]
}

type outputCommand struct {
	output    outputs.Output
	name      string
	action    cli.ActionFunc
	arguments bool // it takes arguments
	skipTLS   bool
}

// run runs the command. Its exit status is exitUsage for an error that only the user can
// correct, and exitFailure for others, such as a server that does not answer.
func (o *outputCommand) run(c *cli.Context) error {
	if c.Args().Present() && !o.arguments {
		return usageError("%s takes no arguments: remove %q", o.name, endpoint.MaskAll(c.Args().First()))
	}
	process := processOptions{level: 2, format: "text"}
	log, _ := process.logger(c.App.ErrWriter, false, nil)
	if o.skipTLS {
		log.Warn("skiptlsverification: certificates are not checked")
	}
	if user, ok := o.output.(outputs.CommonSetter); ok {
		user.SetCommon(outputs.Common{SkipVerify: o.skipTLS, Log: slog.New(slog.DiscardHandler)})
	}
	ctx, cancel := signal.NotifyContext(c.Context, syscall.SIGINT, syscall.SIGTERM)
	defer cancel()
	c.Context = ctx
	answered := waiting.Step{
		What: func() string { return "an answer from " + outputs.Describe(o.output) },
		Say:  func(line string) { fmt.Fprintln(c.App.ErrWriter, printable.OneLine(line)) },
	}.Begin()
	err := o.action(c)
	answered()
	switch {
	case err == nil:
		return nil
	case errors.Is(err, outputs.ErrPermanent):
		return &exitError{exitUsage, err}
	}
	return &exitError{exitFailure, err}
}
