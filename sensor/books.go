package sensor

import (
	"fmt"
	"io"
	"strings"
	"time"

	"dnsmonster-sensor/outputs"
	"dnsmonster-sensor/sensor/capture"
	"dnsmonster-sensor/userspace/account"
)

// books are the ledgers of one run, from the kernel to the outputs. Each
// ledger's givers are the takers of the one before.
type books struct {
	source   capture.Source
	packets  *account.Book
	messages *account.Book
	outputs  []*outputs.Runner
	begun    time.Time
}

func newBooks(source capture.Source, runners []*outputs.Runner) *books {
	return &books{source: source, packets: account.NewPacketBook(), messages: account.NewMessageBook(), outputs: runners, begun: time.Now()}
}

// messageCount is how many messages became events.
func (b *books) messageCount() uint64 { return b.messages.Sum(account.MessageEvent) }

// ledgers reads all books, the last takers first: what moves meanwhile then
// shows as in flight and never as a surplus.
func (b *books) ledgers() ([]account.Ledger, error) {
	var deliveries []account.Ledger
	for _, r := range b.outputs {
		deliveries = append(deliveries, r.Ledger(b.messageCount))
	}
	message := account.MessageLedger(b.messages)
	packet := account.PacketLedger(b.packets, b.source.Given)
	kernel, err := b.source.Kernel()
	if err != nil {
		return nil, err
	}
	var all []account.Ledger
	for _, h := range kernel.Hooks {
		all = append(all, kernelLedger(h))
	}
	return append(append(all, packet, message), deliveries...), nil
}

func kernelLedger(h capture.HookStats) account.Ledger {
	return account.Ledger{
		Name: "kernel", Label: h.Hook, In: h.Seen,
		Outcomes: []account.Line{
			{Name: "not_dns", Value: h.NotDNS}, {Name: "sampled_out", Value: h.SampledOut}, {Name: "frag_quota", Value: h.FragQuota},
			{Name: "ring_full", Value: h.RingFull}, {Name: "copy_failed", Value: h.CopyFailed}, {Name: "delivered", Value: h.Delivered},
		},
		Meters: []account.Line{{Name: "bytes", Value: h.Bytes}, {Name: "cut", Value: h.Cut}, {Name: "overlong", Value: h.Overlong}, {Name: "opaque", Value: h.Opaque}},
	}
}

// lost names the outcomes that mean that a record did not arrive.
var lost = map[string]bool{
	"ring_full": true, "copy_failed": true, "refused": true, "queue_full": true, "spool_evicted": true, "spool_damaged": true, "abandoned": true,
}

// losses says what was lost and where, and how much in all.
func losses(ledgers []account.Ledger) (text string, total uint64) {
	var parts []string
	for _, l := range ledgers {
		for _, o := range l.Outcomes {
			if lost[o.Name] && o.Value > 0 && (l.Name == "kernel" || l.Name == "delivery") {
				parts = append(parts, fmt.Sprintf("%d %s (%s, %s)", o.Value, o.Name, l.Name, l.Label))
				total += o.Value
			}
		}
		for _, m := range l.Meters {
			if m.Name == "overlong" && m.Value > 0 {
				parts = append(parts, fmt.Sprintf("the ends of %d frames that no record holds: overlong (%s, %s)", m.Value, l.Name, l.Label))
				total += m.Value
			}
		}
	}
	return strings.Join(parts, ", "), total
}

// summary prints the books for people.
func summary(w io.Writer, ledgers []account.Ledger, took time.Duration) {
	fmt.Fprintf(w, "books after %s:\n", took.Round(time.Millisecond))
	for _, l := range ledgers {
		name := l.Name
		if l.Label != "" {
			name += " " + l.Label
		}
		fmt.Fprintf(w, "  %-22s in %d", name, l.In)
		for _, o := range l.Outcomes {
			if o.Value > 0 {
				fmt.Fprintf(w, ", %s %d", o.Name, o.Value)
			}
		}
		if l.Held > 0 {
			fmt.Fprintf(w, ", held %d", l.Held)
		}
		fmt.Fprintf(w, "; unaccounted %d\n", l.Unaccounted())
	}
	fmt.Fprintf(w, "unaccounted %d\n", unaccounted(ledgers))
}

// unaccounted adds up over all ledgers, without regard to sign: a surplus in
// one does not make good for a hole in another.
func unaccounted(ledgers []account.Ledger) uint64 {
	var n uint64
	for i := range ledgers {
		u := ledgers[i].Unaccounted()
		n += uint64(max(u, -u))
	}
	return n
}
