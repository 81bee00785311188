package pipeline

import (
	"fmt"
	"io"
	"time"

	"dnsmonster-sensor/userspace/account"
)

// printSummary prints the ledgers for people.
func printSummary(w io.Writer, ledgers []account.Ledger, took time.Duration) {
	fmt.Fprintf(w, "ledgers after %s:\n", took.Round(time.Millisecond))
	for _, l := range ledgers {
		name := l.Name
		if l.Label != "" {
			name += " " + l.Label
		}
		fmt.Fprintf(w, "  %-22s in %s", name, shownNumber(l.In, l.InUnknown))
		for _, o := range l.Outcomes {
			if o.Value > 0 || o.Unknown {
				fmt.Fprintf(w, ", %s %s", o.Name, shownNumber(o.Value, o.Unknown))
			}
		}
		if l.Held > 0 {
			fmt.Fprintf(w, ", held %d", l.Held)
		}
		fmt.Fprintf(w, "; unaccounted %s\n", shownNumber(l.Unaccounted(), !l.Balanced()))
	}
	fmt.Fprintf(w, "unaccounted %d\n", account.Unaccounted(ledgers))
}

// shownNumber is a number for people.
func shownNumber[N int64 | uint64](n N, unknown bool) string {
	if unknown {
		return "unknown"
	}
	return fmt.Sprint(n)
}
