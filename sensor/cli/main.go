// Package cli is the command line: one file for each command, the options that
// commands share, help and completions, and the exit status of each error. A command
// turns options into values and hands them to the pipeline; how packets are moved is
// not known here. Only main imports it. Its tests run the program in their own
// process; testdata holds every option of dnsmonster's manual.
package cli

import (
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/urfave/cli/v2"

	"dnsmonster-sensor/outputs"
	"dnsmonster-sensor/outputs/all"
	"dnsmonster-sensor/outputs/endpoint"
	"dnsmonster-sensor/outputs/printable"
	"dnsmonster-sensor/sensor/config"
	"dnsmonster-sensor/sensor/signals"
)

// Main runs the program and returns its exit status. What it says to people, on
// stdout too, passes a printable.Writer: names and answers come from strangers.
func Main(args []string, stdout, stderr io.Writer) int {
	stdout, stderr = printable.NewWriter(stdout), printable.NewWriter(stderr)
	calls := signals.New()
	calls.Catch()
	app := newApp(stdout, stderr)
	app.Metadata[signalsKey] = calls
	err := calls.While(func() error { return perform(app, args, os.Environ()) })
	if err == nil {
		return exitOK
	}
	for _, e := range config.SplitJoined(err) {
		fmt.Fprintf(stderr, "dnsmonster-sensor: %s\n", withoutUsers(printable.OneLineError(e), args))
	}
	return statusOf(err)
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
	calls, caught := app.Metadata[signalsKey].(*signals.Signals)
	if !caught {
		calls = signals.New()
	}
	inv, err := invoke(app, args, environ)
	if err != nil {
		return err
	}
	if inv.signals = calls; caught && !inv.records() {
		calls.Release()
	}
	if done, err := inv.printAndExit(app); done || err != nil {
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
		Commands:  slices.Concat(inputCommands(list), []*cli.Command{checkCommand(), configCommand(), spoolCommand()}, outputCommands(list())),
		Metadata:  map[string]any{freshKey: func() *cli.App { return appWith(list, io.Discard, io.Discard) }},
	}
}

// freshApp is the same program with options of its own, which writes nowhere.
func freshApp(app *cli.App) *cli.App { return app.Metadata[freshKey].(func() *cli.App)() }
