package metrics

import (
	"fmt"
	"io"
	"slices"
	"time"

	"dnsmonster-sensor/outputs/printable"
	"dnsmonster-sensor/userspace/account"
)

// printStats writes a line at each interval until quit is closed.
func printStats(w io.Writer, every time.Duration, ledgers func() ([]account.Ledger, error), quit <-chan struct{}) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	last := totals{at: time.Now()}
	for {
		select {
		case <-quit:
			return
		case now := <-tick.C:
			list, err := ledgers()
			if err != nil {
				fmt.Fprintf(w, "stats: %s\n", printable.OneLineError(err))
				continue
			}
			next := totalsOf(list, now)
			fmt.Fprintln(w, next.line(last))
			last = next
		}
	}
}

// totals are the numbers of a stats line, since the start.
type totals struct {
	at                       time.Time
	seen, packets, events    uint64
	delivered, held, lost    uint64
	inFlight                 uint64
	seenUnknown, lostUnknown bool
}

func totalsOf(ledgers []account.Ledger, at time.Time) totals {
	t := totals{at: at, inFlight: account.Unaccounted(ledgers)}
	for _, l := range ledgers {
		switch l.Name {
		case "kernel":
			t.seen += l.In
			t.seenUnknown = t.seenUnknown || l.InUnknown
			t.lostUnknown = t.lostUnknown || !lossKnown(&l)
		case "packet":
			t.packets = l.In
		case "message":
			t.events = l.Outcomes[account.MessageEvent].Value
		case "delivery":
			t.delivered += l.Outcomes[account.Delivered].Value
			t.held += l.Held
		}
	}
	_, t.lost = account.Losses(ledgers)
	return t
}

// lossKnown reports whether a hook counts everything that it loses.
func lossKnown(l *account.Ledger) bool {
	unknown := func(o account.Line) bool { return o.Lost && o.Unknown }
	return len(l.Outcomes) > 0 && !slices.ContainsFunc(l.Outcomes, unknown) && !slices.ContainsFunc(l.Meters, unknown)
}

// line says what happened since last, and what was lost since the start.
func (t totals) line(last totals) string {
	seconds := t.at.Sub(last.at).Seconds()
	rate := func(now, before uint64) float64 { return float64(now-before) / seconds }
	seen := fmt.Sprintf("%.0f/s", rate(t.seen, last.seen))
	if t.seenUnknown {
		seen = "unknown"
	}
	lost := fmt.Sprint(t.lost)
	if t.lostUnknown {
		lost = "at least " + lost
	}
	return fmt.Sprintf("%s stats: seen %s, captured %.0f/s, messages %.0f/s, delivered %.0f/s, held %d, lost %s, in flight %d",
		t.at.UTC().Format(time.RFC3339), seen, rate(t.packets, last.packets), rate(t.events, last.events),
		rate(t.delivered, last.delivered), t.held, lost, t.inFlight)
}
