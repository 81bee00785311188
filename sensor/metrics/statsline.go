package metrics

import (
	"fmt"
	"io"
	"strings"
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
	at                   time.Time
	seen, packets        uint64
	records, held, lost  uint64
	seenKnown, lostKnown bool
	frames               bool // of dnstap, not packets, are seen
}

func totalsOf(ledgers []account.Ledger, at time.Time) totals {
	t := totals{at: at, lostKnown: true}
	hooks := 0
	for _, l := range ledgers {
		switch l.Name {
		case "kernel":
			t.seen += l.In
			t.seenKnown = !l.InUnknown && (t.seenKnown || hooks == 0)
			t.lostKnown = t.lostKnown && l.LossKnown()
			t.frames = l.Label == "dnstap"
			hooks++
		case "packet":
			t.packets = l.In
		case "message":
			t.records = l.Outcomes[account.MessageEvent].Value
		case "delivery":
			t.held += l.Held
		}
	}
	_, t.lost = account.Losses(ledgers)
	return t
}

// line says what happened since last:
//
//	12:00:10  1,204 records/s, 2,410 packets/s seen, 0 lost, 12 waiting
//
// Losses are loud. What was lost before is mentioned beside what was lost since.
func (t totals) line(last totals) string {
	seconds := t.at.Sub(last.at).Seconds()
	rate := func(now, before uint64) string {
		return account.Number(uint64(float64(now-before)/seconds + 0.5))
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s  %s records/s, ", t.at.Format("15:04:05"), rate(t.records, last.records))
	if t.seenKnown {
		unit := "packets"
		if t.frames {
			unit = "frames"
		}
		fmt.Fprintf(&b, "%s %s/s seen, ", rate(t.seen, last.seen), unit)
	} else {
		fmt.Fprintf(&b, "%s packets/s read, ", rate(t.packets, last.packets))
	}
	if !t.lostKnown {
		b.WriteString("at least ")
	}
	lost := t.lost - min(last.lost, t.lost)
	b.WriteString(account.Number(lost))
	if lost == 0 {
		b.WriteString(" lost")
	} else {
		b.WriteString(" LOST")
	}
	if lost != t.lost {
		fmt.Fprintf(&b, " (%s in all)", account.Number(t.lost))
	}
	fmt.Fprintf(&b, ", %s waiting", account.Number(t.held))
	return b.String()
}
