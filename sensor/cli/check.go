package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
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
				return usageError("check: no live capture here: %s", r.Why)
			}
			return err
		},
	}
}

// printReport says first whether a capture is possible and how, or what to do for it. again
// is the command line, to be repeated with sudo.
func printReport(w io.Writer, r *live.Report, names []string, again string) {
	missing := missingRights(r)
	switch {
	case r.Mode != "":
		fmt.Fprintf(w, "Live capture works here, in mode %s.\n%s.\n", r.Mode, r.Why)
		printList(w, "", "advice", r.Advice)
	case missing:
		lacks := strings.TrimPrefix(strings.TrimSuffix(r.Why, ": "+os.ErrPermission.Error()), "missing ")
		fmt.Fprintf(w, "Live capture does not work for this user. Try: sudo %s\nThe process lacks %s.\n", again, lacks)
		printList(w, "", "advice", r.Advice)
	default:
		fmt.Fprintf(w, "Live capture does not work on this kernel: %s.\n", r.Why)
		printList(w, "", "advice", r.Advice)
	}
	fmt.Fprintf(w, "\nkernel: %s\n", r.Kernel)
	for _, f := range r.Features {
		switch {
		case f.Have:
			fmt.Fprintf(w, "  yes  %s\n", f.Name)
		case missing && f.Name != r.Features[0].Name:
			fmt.Fprintf(w, "  ?    %s\n", f.Name) // only those who have the rights can ask
		default:
			fmt.Fprintf(w, "  no   %s: %s\n", f.Name, f.Reason)
		}
	}
	fmt.Fprintf(w, "tunnels: %s\n\n", r.Tunnels)
	for _, i := range r.Interfaces {
		printInterface(w, &i, len(names) > 0)
	}
}

// missingRights reports whether the user lacks rights. The first feature is the rights.
func missingRights(r *live.Report) bool { return len(r.Features) > 0 && !r.Features[0].Have }

// printInterface reports on one interface. That it is down needs advice only if the user has
// named it.
func printInterface(w io.Writer, i *live.InterfaceReport, named bool) {
	var words []string
	if i.Type != "device" { // which is the kernel's word for all without a type
		words = append(words, i.Type)
	}
	state, advice := "up", i.Advice
	if !i.Up {
		state = "down"
		if !named && len(advice) > 0 {
			advice = advice[1:]
		}
	}
	fmt.Fprintf(w, "%s: %s, MTU %d", i.Name, strings.Join(append(words, state), ", "), i.MTU)
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
