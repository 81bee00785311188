// Package sensor is the appliance: the command line, the wiring of source,
// workers and outputs, the order of stopping, and the books.
package sensor

import (
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"

	"github.com/urfave/cli/v2"

	"dnsmonster-sensor/bpf"
	"dnsmonster-sensor/outputs"
	"dnsmonster-sensor/outputs/all"
	"dnsmonster-sensor/outputs/endpoint"
	"dnsmonster-sensor/outputs/printable"
	"dnsmonster-sensor/sensor/config"
)

// Exit statuses.
const (
	exitOK          = 0 // all that was captured was delivered
	exitUsage       = 1 // bad use or configuration; nothing was written
	exitFailure     = 2 // failed while running
	exitUndelivered = 3 // finished, but some records were not delivered
)

// version is set at link time.
var version = "dev"

// exitError is an error that knows its exit status.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string { return e.err.Error() }
func (e *exitError) Unwrap() error { return e.err }

func usageError(format string, a ...any) error {
	return &exitError{exitUsage, fmt.Errorf(format, a...)}
}

// problems are what is wrong with the options: the user hears of all at once.
type problems []error

func (p *problems) when(wrong bool, format string, a ...any) {
	if wrong {
		*p = append(*p, usageError(format, a...))
	}
}

// add takes joined errors apart, and leaves out what is known.
func (p *problems) add(err error) {
	if err == nil {
		return
	}
	for _, e := range config.Joined(err) {
		if !slices.ContainsFunc(*p, func(known error) bool { return known.Error() == e.Error() }) {
			*p = append(*p, e)
		}
	}
}

func (p problems) err() error {
	if len(p) == 0 {
		return nil
	}
	return &exitError{exitUsage, errors.Join(p...)}
}

// Main runs the program and returns its exit status. What it says to people, on
// stdout too, passes a printable.Writer: names and answers come from strangers.
func Main(args []string, stdout, stderr io.Writer) int {
	stdout, stderr = printable.NewWriter(stdout), printable.NewWriter(stderr)
	calls := newSignals()
	calls.catch()
	app := newApp(stdout, stderr)
	app.Metadata[signalsKey] = calls
	err := calls.while(func() error { return perform(app, args, os.Environ()) })
	if err == nil {
		return exitOK
	}
	code := exitUsage
	var exit *exitError
	if errors.As(err, &exit) {
		code = exit.code
	}
	for _, e := range config.Joined(err) {
		fmt.Fprintf(stderr, "dnsmonster-sensor: %s\n", withoutUsers(printable.OneLineError(e), args))
	}
	return code
}

// withoutUsers masks the user information of all addresses in a line: of those that
// came as arguments to its end, whatever is in it.
func withoutUsers(line string, args []string) string {
	for _, arg := range args {
		if _, value, ok := strings.Cut(arg, "="); ok && strings.HasPrefix(arg, "-") {
			arg = value
		}
		if safe := endpoint.MaskURL(arg); safe != arg {
			quoted := strconv.Quote(arg)
			line = strings.NewReplacer(arg, safe, printable.OneLine(arg), safe, quoted[1:len(quoted)-1], safe).Replace(line)
		}
	}
	return endpoint.MaskURLs(line)
}

// perform finds out what is asked for and does it.
func perform(app *cli.App, args, environ []string) error {
	calls, caught := app.Metadata[signalsKey].(*signals)
	if !caught {
		calls = newSignals()
	}
	inv, err := invoke(app, args, environ)
	if err != nil {
		return err
	}
	if inv.signals = calls; caught && !inv.records() {
		calls.giveBack()
	}
	if done, err := inv.leave(app); done || err != nil {
		return inv.explain(err)
	}
	return inv.run(app)
}

func newApp(stdout, stderr io.Writer) *cli.App { return appWith(all.New, stdout, stderr) }

// appWith is the program with certain outputs. Each call of list makes new ones:
// they keep their parsed options in themselves.
func appWith(list func() []outputs.Output, stdout, stderr io.Writer) *cli.App {
	return &cli.App{
		Name:  "dnsmonster-sensor",
		Usage: "record every DNS message that passes this host, without touching the traffic",
		Description: `Sees every DNS message on an interface or in a capture file and writes one record per message.

EXAMPLES:
   dnsmonster-sensor attach eth0               records of eth0, both directions, as JSON lines
   dnsmonster-sensor attach eth0 lo | jq .DNS.Question
   dnsmonster-sensor replay day.pcap > day.json
   dnsmonster-sensor check                     what this kernel and each interface allow
   dnsmonster-sensor --config=dnsmonster.ini   what dnsmonster would do with its own file
   dnsmonster-sensor config check dnsmonster.ini`,
		Writer:    stdout,
		ErrWriter: stderr,
		Commands: append([]*cli.Command{
			newRun(list()).command(), attachCommand(list()), replayCommand(list()), checkCommand(), configCommand(), spoolCommand(),
		}, outputCommands(list())...),
		Metadata: map[string]any{anotherKey: func() *cli.App { return appWith(list, io.Discard, io.Discard) }},
	}
}

// another is the same program anew, which writes nowhere.
func another(app *cli.App) *cli.App { return app.Metadata[anotherKey].(func() *cli.App)() }

// versionLine names the build so that a report of a fault can be traced to it.
func versionLine() string {
	return fmt.Sprintf("dnsmonster-sensor %s, commit %s, kernel program %s, %s %s/%s",
		version, buildCommit(), bpf.ObjectHash(), runtime.Version(), runtime.GOOS, runtime.GOARCH)
}

func buildCommit() string {
	if linkedCommit != "" {
		return linkedCommit
	}
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" {
				return s.Value
			}
		}
	}
	return "unknown"
}

// linkedCommit is set at link time.
var linkedCommit string
