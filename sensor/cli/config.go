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
		Usage: "look at configuration files",
		Subcommands: []*cli.Command{{
			Name:      "check",
			Usage:     "say what a configuration file, with the environment, means",
			ArgsUsage: "FILE",
			Description: `Prints what is wrong, the value of every option and where it comes from, and what means something else
here than in dnsmonster. What run looks at before it starts is looked at here, too: interface, capture
file, lists, folders. Changes nothing and asks no server: see postgres check for a database, and check
for what the kernel and the user's rights allow. Exit status 0 if run would start with it, 1 if not.

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

// checkConfig does with a file all that run would do before it makes or asks
// anything.
func checkConfig(of *cli.App, path string, environ []string) error {
	w, app := of.Writer, freshApp(of)
	run := &invocation{app: app, line: config.Line{Command: []string{"run"}}}
	in, err := gather(app, app.Command("run"), run.line, environ)
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
	// What cannot be resolved is at its default here, so that all else that is
	// wrong shows too.
	run.machine = true
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
