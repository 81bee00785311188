package cli

import (
	"encoding/json"
	"fmt"
	"io"

	"github.com/urfave/cli/v2"

	"dnsmonster-sensor/sensor/capture/ring"
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
		Flags: []cli.Flag{&cli.BoolFlag{Name: "json", Usage: "print one JSON object"}},
		Action: func(c *cli.Context) error {
			if name := c.Args().First(); !isInterface(name) && (isConfiguration(name) || isFile(name)) {
				return usageError("check: %s is no interface%s", name, meant(invocationOf(c).program, "config", "check", name))
			}
			r, err := ring.Check(c.Args().Slice())
			if err != nil {
				return usageError("check: %w", err)
			}
			if c.Bool("json") {
				e := json.NewEncoder(c.App.Writer)
				e.SetIndent("", "  ")
				err = e.Encode(r)
			} else {
				printReport(c.App.Writer, r)
			}
			if err == nil && r.Mode == "" {
				return usageError("check: no live capture here: %s", r.Why)
			}
			return err
		},
	}
}

func printReport(w io.Writer, r *ring.Report) {
	fmt.Fprintln(w, r.Kernel)
	for _, f := range r.Features {
		if f.Have {
			fmt.Fprintf(w, "  yes  %s\n", f.Name)
		} else {
			fmt.Fprintf(w, "  no   %s: %s\n", f.Name, f.Reason)
		}
	}
	if r.Mode != "" {
		fmt.Fprintf(w, "mode: %s: %s\n", r.Mode, r.Why)
	} else {
		fmt.Fprintf(w, "mode: none: %s\n", r.Why)
	}
	printList(w, "", "advice", r.Advice)
	fmt.Fprintf(w, "tunnels: %s\n", r.Tunnels)
	for _, i := range r.Interfaces {
		state := "up"
		if !i.Up {
			state = "down"
		}
		fmt.Fprintf(w, "%s: %s, %s, MTU %d", i.Name, i.Type, state, i.MTU)
		if i.Impossible != "" {
			fmt.Fprintf(w, ": cannot be captured: %s", i.Impossible)
		}
		fmt.Fprintln(w)
		printList(w, "  ", "attached", i.Attached)
		printList(w, "  ", "hidden", i.Hidden)
		printList(w, "  ", "advice", i.Advice)
	}
}

func printList(w io.Writer, indent, title string, lines []string) {
	for _, l := range lines {
		fmt.Fprintf(w, "%s%s: %s\n", indent, title, l)
	}
}
