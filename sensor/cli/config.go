package cli

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"regexp"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"dnsmonster-sensor/outputs/printable"
	"dnsmonster-sensor/sensor/config"
)

func configCommand() *cli.Command {
	c := &configCheck{}
	return &cli.Command{
		Name:  "config",
		Usage: "check a configuration file",
		Subcommands: []*cli.Command{{
			Name:      "check",
			Usage:     "check a configuration file, and say what it changes",
			ArgsUsage: "FILE",
			Description: `Prints what is wrong with a configuration file first, then warnings, then the options that are set and
where each value comes from, then what differs from dnsmonster with this file. Environment variables
count, as they do for run. The file - is stdin.

Checks what run checks before it starts: options, interface, capture file, lists, folders. Changes nothing
and contacts no server; see also postgres check and check. Exit status: 0 if run would start, 1 if not.

EXAMPLES:
   dnsmonster-sensor config check /etc/dnsmonster.ini
   dnsmonster-sensor config check --all /etc/dnsmonster.ini`,
			Flags: []cli.Flag{&cli.BoolFlag{Name: "all", Destination: &c.all, Usage: "show all options with their values, and all errors"}},
			Action: func(ctx *cli.Context) error {
				environ := os.Environ()
				path, _ := config.FilePath(nil, environ)
				switch path = cmp.Or(ctx.Args().First(), path); {
				case ctx.NArg() > 1:
					return usageError("config check: name one file, not %d", ctx.NArg())
				case path == "":
					return usageError("config check: name the configuration file, such as: dnsmonster-sensor config check /etc/dnsmonster.ini")
				}
				return c.check(ctx.App, path, environ)
			},
		}},
		Action: func(c *cli.Context) error {
			return usageError("config: use dnsmonster-sensor config check FILE")
		},
	}
}

// fileAsArgument lets config check take its file as --config=FILE, as the commands that
// capture do.
func fileAsArgument(line *config.Line) {
	if !slices.Equal(line.Command, []string{"config", "check"}) {
		return
	}
	line.Given = slices.DeleteFunc(line.Given, func(g config.Given) bool {
		if g.Name == "config" && g.Value != "" {
			line.Arguments = append(line.Arguments, g.Value)
			return true
		}
		return false
	})
}

// configCheck checks a configuration file.
type configCheck struct {
	all bool // show defaults and all errors
}

// read reads the file. It is nil if there is none.
func (c *configCheck) read(path string) (*config.File, error) {
	if path == "-" {
		return config.Read("stdin", os.Stdin)
	}
	file, err := config.ReadFile(path)
	if errors.Is(err, fs.ErrPermission) {
		err = fmt.Errorf("%w: run the command with sudo", err)
	}
	return file, err
}

// check does with a file everything that run would do before it creates anything or asks a
// server.
func (c *configCheck) check(of *cli.App, path string, environ []string) error {
	w, app := of.Writer, freshApp(of)
	run := &invocation{app: app, line: config.Line{Command: []string{"run"}}}
	in, err := configInput(app, app.Command("run"), run.line, environ)
	if err != nil {
		return err
	}
	var wrong problems
	if in.File, err = c.read(path); in.File == nil {
		return usageError("config check: %w", err)
	}
	wrong.add(err)
	if len(wrong) > mostAlike && !in.File.HasKnown(in.Known()) {
		return usageError("config check: %s is not a configuration file: it has no line key = value with a known key", in.File.Path)
	}
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
	wrong, left := exceptServiceFolders(wrong, serviceFolders)
	c.printErrors(w, wrong)
	for _, folder := range left {
		fmt.Fprintf(w, "warning: %s is not checked: systemd makes it at the start of the service, for the service alone\n", folder)
	}
	for _, t := range config.Advice(values) {
		fmt.Fprintln(w, "warning:", printable.OneLine(t))
	}
	if err := config.WriteTable(w, values, in.File.Path, c.all); err != nil {
		return err
	}
	if err := config.WriteChanges(w, values); err != nil {
		return err
	}
	if wrong == nil {
		fmt.Fprintln(w, "\nrun would start with this file")
		return nil
	}
	return usageError("%s: run would not start with this file: %s", in.File.Path, seeAbove(len(wrong)))
}

// mostAlike is how many errors of the same kind are shown: more of them hide the others.
const mostAlike = 5

// kindOfError matches the part that errors about the lines of a file have in common.
var kindOfError = regexp.MustCompile(` line \d+: (unknown key|unknown section|not of the form|not a section|key .*comment|a comment)`)

// printErrors prints errors, first those about what this build lacks: nothing in the file
// can put them right.
func (c *configCheck) printErrors(w io.Writer, wrong problems) {
	sorted := slices.Clone(wrong)
	slices.SortStableFunc(sorted, func(a, b error) int {
		return cmp.Compare(rank(a), rank(b))
	})
	shown, more := make(map[string]int), 0
	for _, err := range sorted {
		if m := kindOfError.FindStringSubmatch(err.Error()); m != nil && !c.all {
			kind := strings.Fields(m[1])[0] + strings.Fields(m[1])[1]
			if strings.HasPrefix(m[1], "key ") {
				kind = "comment"
			}
			if shown[kind]++; shown[kind] > mostAlike {
				more++
				continue
			}
		}
		fmt.Fprintln(w, "error:", printable.OneLineError(err))
	}
	if more > 0 {
		fmt.Fprintf(w, "and %d more of these (--all shows them)\n", more)
	}
}

func rank(err error) int {
	if config.IsNotBuilt(err) {
		return 0
	}
	return 1
}

// seeAbove refers to the errors that have been printed.
func seeAbove(errors int) string {
	if errors == 1 {
		return "see the error above"
	}
	return fmt.Sprintf("see the %d errors above", errors)
}
