package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"github.com/urfave/cli/v2"

	"dnsmonster-sensor/sensor/capture/live"
)

func checkCommand() *cli.Command {
	return &cli.Command{
		Name:      "check",
		Usage:     "say what can be captured on this host, and why not more",
		ArgsUsage: "[INTERFACE...]",
		Description: `Says whether this kernel and user can capture from interfaces, how, and what would make it better. For
each interface it lists the programs and sockets that could hide traffic from the sensor. Attaches
nothing. Exit status: 0 if a live capture is possible, 1 if not.

EXAMPLES:
   dnsmonster-sensor check
   dnsmonster-sensor check eth0 --json | jq '.interfaces[0].hidden'`,
		Flags: []cli.Flag{&cli.BoolFlag{Name: "json", Usage: "print the report as one JSON object"}},
		Action: func(c *cli.Context) error {
			if name := c.Args().First(); !isInterface(name) && (isConfiguration(name) || isFile(name)) {
				return usageError("check: %s is not an interface%s", name, meant(invocationOf(c).program, "config", "check", name))
			}
			r, err := live.Check(c.Args().Slice())
			if err != nil {
				return usageError("check: %w", err)
			}
			if c.Bool("json") {
				e := json.NewEncoder(c.App.Writer)
				e.SetIndent("", "  ")
				err = e.Encode(r)
			} else {
				printReport(c.App.Writer, r, c.Args().Slice(), commandLine(invocationOf(c).program, append([]string{"check"}, c.Args().Slice()...)...))
			}
			if err == nil && r.Mode == "" {
				return usageError("check: %s", r.Why)
			}
			return err
		},
	}
}

// printReport says first whether a capture is possible and how, or what to do for it. again
// is the command line, to be repeated with sudo.
func printReport(w io.Writer, r *live.Report, names []string, again string) {
	switch {
	case r.Mode != "":
		fmt.Fprintf(w, "Live capture works here, in mode %s.\n%s.\n", r.Mode, r.Why)
	case r.Missing != nil:
		fmt.Fprintf(w, "Live capture does not work for this user. Try: sudo %s\nThe process lacks %s.\n", again, strings.Join(r.Missing, ", "))
	default:
		fmt.Fprintf(w, "Live capture does not work here.\n%s.\n", r.Why)
	}
	printList(w, "", "advice", r.Advice)
	fmt.Fprintf(w, "\nkernel: %s\n", r.Kernel)
	for _, f := range r.Features {
		switch {
		case f.Have:
			fmt.Fprintf(w, "  yes  %s\n", f.Name)
		case f.Unknown:
			fmt.Fprintf(w, "  ?    %s\n", f.Name)
		default:
			fmt.Fprintf(w, "  no   %s: %s\n", f.Name, f.Reason)
		}
	}
	fmt.Fprintf(w, "tunnels: %s\n\n", r.Tunnels)
	for _, i := range r.Interfaces {
		printInterface(w, &i, len(names) > 0)
	}
}

// printInterface reports on one interface. That it is down needs advice only if the user has
// named it.
func printInterface(w io.Writer, i *live.InterfaceReport, named bool) {
	var words []string
	if i.About != "" {
		words = append(words, i.About)
	}
	if i.Type != "device" && i.Type != "" { // which is the kernel's word for all without a type
		words = append(words, i.Type)
	}
	state, advice := "up", i.Advice
	if !i.Up {
		state = "down"
		if !named && len(advice) > 0 {
			advice = advice[1:]
		}
	}
	fmt.Fprintf(w, "%s: %s", i.Name, strings.Join(append(words, state), ", "))
	if i.MTU > 0 {
		fmt.Fprintf(w, ", MTU %d", i.MTU)
	}
	if i.Impossible != "" {
		fmt.Fprintf(w, ": cannot be captured: %s", i.Impossible)
	}
	fmt.Fprintln(w)
	printList(w, "  ", "attached", i.Attached)
	printList(w, "  ", "hidden", i.Hidden)
	printList(w, "  ", "advice", advice)
}

func printList(w io.Writer, indent, title string, lines []string) {
	for _, l := range lines {
		fmt.Fprintf(w, "%s%s: %s\n", indent, title, l)
	}
}
