package sensor

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"dnsmonster-sensor/outputs"
	"dnsmonster-sensor/sensor/capture"
	"dnsmonster-sensor/userspace/account"
	"dnsmonster-sensor/userspace/stage"
)

// books are the ledgers of one run, from the kernel to the outputs. Each
// ledger's givers are the takers of the one before.
type books struct {
	source   capture.Source
	packets  *account.Counters
	messages *account.Counters
	kinds    []stage.Kind // those between messages and outputs
	stages   stage.Counters
	outputs  []*outputs.Runner
	begun    time.Time
}

func newBooks(source capture.Source, stages []stage.Kind, runners []*outputs.Runner) *books {
	return &books{
		source: source, packets: account.NewPacketCounters(), messages: account.NewMessageCounters(),
		kinds: stages, stages: stage.NewCounters(stages), outputs: runners, begun: time.Now(),
	}
}

// messageCount is how many messages became events.
func (b *books) messageCount() uint64 { return b.messages.Sum(account.MessageEvent) }

// offered is how many events came out of the first n stages.
func (b *books) offered(n int) uint64 {
	if n == 0 {
		return b.messageCount()
	}
	return b.stages[n-1].Sum(account.StagePassed)
}

// ledgers reads all books, the last takers first: what moves meanwhile then
// shows as in flight and never as a surplus.
func (b *books) ledgers() ([]account.Ledger, error) {
	var deliveries []account.Ledger
	for _, r := range b.outputs {
		deliveries = append(deliveries, r.Ledger(func() uint64 { return b.offered(len(b.stages)) }))
	}
	stages := make([]account.Ledger, len(b.stages))
	for i := len(stages) - 1; i >= 0; i-- {
		stages[i] = account.StageLedger(b.kinds[i].Name, b.stages[i], func() uint64 { return b.offered(i) })
	}
	message := account.MessageLedger(b.messages)
	packet := account.PacketLedger(b.packets, b.source.Given)
	all, err := b.kernel()
	if err != nil {
		return nil, err
	}
	return slices.Concat(all, []account.Ledger{packet, message}, stages, deliveries), nil
}

// kernel reads what the source says of frames before they reached a lane. Behind a
// live source that says nothing, something may have been lost that nobody knows.
func (b *books) kernel() ([]account.Ledger, error) {
	stats, err := capture.Kernel(b.source)
	if err != nil {
		return nil, err
	}
	var all []account.Ledger
	for _, h := range stats.Hooks {
		all = append(all, kernelLedger(h))
	}
	if all == nil && b.source.Live() && len(b.source.Lanes()) > 0 {
		all = []account.Ledger{kernelLedger(capture.HookStats{})}
	}
	return all, nil
}

// kernelLedger sorts a hook's counters by what they mean.
func kernelLedger(h capture.HookStats) account.Ledger {
	l := account.Ledger{Name: "kernel", Label: h.Hook, InUnknown: true}
	for _, c := range h.Counters {
		line := account.Line{Name: c.Name, Value: c.Value, Unknown: !c.Known}
		switch c.Kind {
		case capture.CountsIn:
			l.In, l.InUnknown = c.Value, !c.Known
		case capture.CountsMeter, capture.CountsIncomplete:
			line.Lost = c.Kind == capture.CountsIncomplete
			l.Meters = append(l.Meters, line)
		default:
			line.Lost = c.Kind == capture.CountsLost
			l.Outcomes = append(l.Outcomes, line)
		}
	}
	return l
}

// losses says what was lost and where, and how much in all.
func losses(ledgers []account.Ledger) (text string, total uint64) {
	var parts []string
	add := func(l *account.Ledger, what string, o account.Line) {
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

// wanted is how many frames were to be captured, and how many of them were lost on
// their way to a lane, unless that is not known.
func (b *books) wanted() (all, lost uint64, known bool, err error) {
	stats, err := capture.Kernel(b.source)
	known = len(stats.Hooks) > 0 || !b.source.Live()
	for _, h := range stats.Hooks {
		for _, c := range h.Counters {
			switch c.Kind {
			case capture.CountsLost:
				lost += c.Value
			case capture.CountsGiven:
			default:
				continue
			}
			all += c.Value
			known = known && c.Known
		}
	}
	return all, lost, known, err
}

// summary prints the books for people.
func summary(w io.Writer, ledgers []account.Ledger, took time.Duration) {
	fmt.Fprintf(w, "books after %s:\n", took.Round(time.Millisecond))
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
	fmt.Fprintf(w, "unaccounted %d\n", unaccounted(ledgers))
}

// shownNumber is a number for people.
func shownNumber[N int64 | uint64](n N, unknown bool) string {
	if unknown {
		return "unknown"
	}
	return fmt.Sprint(n)
}

// unaccounted adds up over all ledgers, without regard to sign: a surplus in
// one does not make good for a hole in another. Where a ledger has no balance
// because a number is unknown, nothing is missed.
func unaccounted(ledgers []account.Ledger) uint64 {
	var n uint64
	for i := range ledgers {
		u := ledgers[i].Unaccounted()
		n += uint64(max(u, -u))
	}
	return n
}
