package account

import (
	"fmt"
	"slices"
	"strings"
)

// Losses lists all losses with their ledgers, and returns the total.
func Losses(ledgers []Ledger) (text string, total uint64) {
	var parts []string
	add := func(l *Ledger, what string, o Line) {
		if !o.Lost || o.Unknown || o.Value == 0 {
			return
		}
		where := l.Name
		if l.Label != "" {
			where += ", " + l.Label
		}
		parts = append(parts, fmt.Sprintf(what+" %s (%s)", o.Value, o.Name, where))
		total += o.Value
	}
	for i := range ledgers {
		l := &ledgers[i]
		for _, o := range l.Outcomes {
			add(l, "%d", o)
		}
		for _, m := range l.Meters {
			add(l, "the ends of %d frames that no record holds:", m)
		}
	}
	return strings.Join(parts, ", "), total
}

// Unaccounted sums the absolute values of all ledgers: a surplus in one does not cancel a
// shortage in another. A ledger without a balance, because a number is unknown, adds
// nothing.
func Unaccounted(ledgers []Ledger) uint64 {
	var n uint64
	for i := range ledgers {
		u := ledgers[i].Unaccounted()
		n += uint64(max(u, -u))
	}
	return n
}

// LossKnown reports whether the ledger counts everything that it loses.
func (l *Ledger) LossKnown() bool {
	unknown := func(o Line) bool { return o.Lost && o.Unknown }
	return len(l.Outcomes) > 0 && !slices.ContainsFunc(l.Outcomes, unknown) && !slices.ContainsFunc(l.Meters, unknown)
}
