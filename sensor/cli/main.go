// Package cli is the command line: one file for each command, the options that
// commands share, help and completions, and the exit status of each error. Arguments,
// environment and configuration file come in; a command makes values of them and passes
// these to the pipeline, which moves the packets. Only main and tests import it. Tests
// call Main, or start their own binary as the sensor; testdata has every option of
// dnsmonster's manual.
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

// Main runs the program and returns its exit status. All text for people, on stdout
// too, passes through a printable.Writer: names and answers of servers are not trusted.
func Main(args []string, stdout, stderr io.Writer) int {
	stdout, stderr = printable.NewWriter(stdout), printable.NewWriter(stderr)
	sig := signals.New()
	sig.Catch()
	app := newApp(stdout, stderr)
	app.Metadata[signalsKey] = sig
	err := sig.While(func() error { return perform(app, args, os.Environ()) })
	if err == nil {
		return exitOK
	}
	for _, e := range config.SplitJoined(err) {
		fmt.Fprintf(stderr, "dnsmonster-sensor: %s\n", maskUsers(printable.OneLineError(e), args))
	}
	return statusOf(err)
}

// maskUsers masks the user information of all URLs in a line. In those that are
// arguments it is masked to its end, whatever characters it holds.
func maskUsers(line string, args []string) string {
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

// perform parses the command line and runs the command. Without signals in
// app.Metadata, as in tests, none are caught.
func perform(app *cli.App, args, environ []string) error {
	sig, caught := app.Metadata[signalsKey].(*signals.Signals)
	if !caught {
		sig = signals.New()
	}
	inv, err := invoke(app, args, environ)
	if err != nil {
		return err
	}
	if inv.signals = sig; caught && !inv.captures() {
		sig.Release()
	}
	if done, err := inv.printAndExit(app); done || err != nil {
		return inv.explain(err)
	}
	return inv.run(app)
}

func newApp(stdout, stderr io.Writer) *cli.App { return appWith(all.New, stdout, stderr) }

// appWith is the program with the outputs of list, which makes new ones at each
// call: an output holds its parsed options.
func appWith(list func() []outputs.Output, stdout, stderr io.Writer) *cli.App {
	return &cli.App{
		Name:  "dnsmonster-sensor",
		Usage: "record every DNS message that passes this host, without touching the traffic",
		Description: `Captures DNS messages from interfaces, reads them from capture files, or receives them from DNS servers by
dnstap, and writes one record for each message.

EXAMPLES:
   dnsmonster-sensor attach eth0             show the DNS messages of eth0
   dnsmonster-sensor attach any > dns.json   all interfaces, as JSON lines
   dnsmonster-sensor replay day.pcap         the same from a capture file
   dnsmonster-sensor dnstap unix:///run/d.sock   what a DNS server reports
   dnsmonster-sensor check                   what can be captured on this host
   dnsmonster-sensor config check /etc/dnsmonster.ini
   dnsmonster-sensor --config=/etc/dnsmonster.ini`,
		Writer:    stdout,
		ErrWriter: stderr,
		Commands:  slices.Concat(inputCommands(list), []*cli.Command{checkCommand(), configCommand(), spoolCommand()}, outputCommands(list())),
		Metadata:  map[string]any{outputsKey: list, freshKey: func() *cli.App { return appWith(list, io.Discard, io.Discard) }},
	}
}

// freshApp is the same program with options of its own, which writes nowhere.
func freshApp(app *cli.App) *cli.App { return app.Metadata[freshKey].(func() *cli.App)() }
