package cli

import (
	"fmt"
	"os"

	"github.com/urfave/cli/v2"

	"dnsmonster-sensor/outputs/printable"
	"dnsmonster-sensor/sensor/config"
)

func configCommand() *cli.Command {
	return &cli.Command{
		Name:  "config",
		Usage: "check configuration files",
		Subcommands: []*cli.Command{{
			Name:      "check",
			Usage:     "check a configuration file together with the environment, and explain each value",
			ArgsUsage: "FILE",
			Description: `Prints errors, the value of every option and where it comes from, and what has another meaning here than
in dnsmonster. Checks what run checks before it starts: interface, capture file, lists, folders. Changes
nothing and asks no server: see postgres check for a database, and check for what the kernel and the
user's rights allow. Exit status 0 if run would start with it, 1 if not.

EXAMPLES:
   dnsmonster-sensor config check /etc/dnsmonster.ini`,
			Action: func(c *cli.Context) error {
				if c.NArg() != 1 {
					return usageError("config check: name one configuration file")
				}
				return checkConfig(c.App, c.Args().First(), os.Environ())
			},
		}},
		Action: func(c *cli.Context) error {
			return usageError("config: use dnsmonster-sensor config check FILE")
		},
	}
}

// checkConfig does with a file everything that run would do before it creates
// anything or asks a server.
func checkConfig(of *cli.App, path string, environ []string) error {
	w, app := of.Writer, freshApp(of)
	run := &invocation{app: app, line: config.Line{Command: []string{"run"}}}
	in, err := configInput(app, app.Command("run"), run.line, environ)
	if err != nil {
		return err
	}
	var wrong problems
	if in.File, err = config.ReadFile(path); in.File == nil {
		return usageError("config check: %w", err)
	}
	wrong.add(err)
	values, err := config.Resolve(in)
	wrong.add(err)
	// An option whose value is wrong has its default here, so that all other errors
	// show, too.
	run.checksMachine = true
	for _, err := range config.SplitJoined(run.try(values)) {
		if err != nil && !values.IsConsequence(err) {
			wrong.add(err)
		}
	}
	for _, err := range wrong {
		fmt.Fprintln(w, "error:", printable.OneLineError(err))
	}
	for _, t := range config.Advice(values) {
		fmt.Fprintln(w, "warning:", printable.OneLine(t))
	}
	fmt.Fprintln(w)
	if err := config.WriteTable(w, values); err != nil {
		return err
	}
	fmt.Fprintln(w)
	for _, t := range config.Changes(values) {
		fmt.Fprintln(w, "differs:", t)
	}
	if wrong == nil {
		fmt.Fprintln(w, "run would start with this file")
		return nil
	}
	return usageError("%s: run would not start with this file: %s", path, plural(len(wrong)))
}

func plural(errors int) string {
	if errors == 1 {
		return "1 error, above"
	}
	return fmt.Sprintf("%d errors, above", errors)
}
