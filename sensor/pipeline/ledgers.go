package pipeline

import (
	"slices"
	"time"

	"dnsmonster-sensor/outputs"
	"dnsmonster-sensor/sensor/capture"
	"dnsmonster-sensor/sensor/metrics"
	"dnsmonster-sensor/userspace/account"
	"dnsmonster-sensor/userspace/stage"
)

// ledgers are those of one run, from the kernel to the outputs. What leaves one
// ledger enters the next.
type ledgers struct {
	source   capture.Source
	packets  *account.Counters
	messages *account.Counters
	kinds    []stage.Kind // of stages
	stages   stage.Counters
	limit    *account.Counters // nil: no limit to the number of records
	outputs  []*outputs.Runner
	begun    time.Time
}

func newLedgers(source capture.Source, stages []stage.Kind, runners []*outputs.Runner) *ledgers {
	return &ledgers{
		source: source, packets: account.NewPacketCounters(), messages: account.NewMessageCounters(),
		kinds: stages, stages: stage.NewCounters(stages), outputs: runners, begun: time.Now(),
	}
}

// events is how many messages became events.
func (l *ledgers) events() uint64 { return l.messages.Sum(account.MessageEvent) }

// offered is how many events came out of the first n stages.
func (l *ledgers) offered(n int) uint64 {
	if n == 0 {
		return l.events()
	}
	return l.stages[n-1].Sum(account.StagePassed)
}

// read reads all ledgers, the last one first: what moves meanwhile then shows as in
// flight and never as a surplus.
func (l *ledgers) read() ([]account.Ledger, error) {
	var deliveries []account.Ledger
	staged := func() uint64 { return l.offered(len(l.stages)) }
	toOutputs := staged
	if l.limit != nil {
		toOutputs = func() uint64 { return l.limit.Sum(account.WithinCount) }
	}
	for _, r := range l.outputs {
		deliveries = append(deliveries, r.Ledger(toOutputs))
	}
	var limits []account.Ledger
	if l.limit != nil {
		limits = append(limits, account.LimitLedger(l.limit, staged))
	}
	stages := make([]account.Ledger, len(l.stages))
	for i := len(stages) - 1; i >= 0; i-- {
		stages[i] = account.StageLedger(l.kinds[i].Name, l.stages[i], func() uint64 { return l.offered(i) })
	}
	message := account.MessageLedger(l.messages)
	packet := account.PacketLedger(l.packets, l.source.Given)
	all, err := l.kernel()
	if err != nil {
		return nil, err
	}
	return slices.Concat(all, []account.Ledger{packet, message}, stages, limits, deliveries), nil
}

// kernel reads what became of frames before they reached a lane. A live source that does
// not count them may have lost some: the numbers of its ledger are unknown.
func (l *ledgers) kernel() ([]account.Ledger, error) {
	stats, err := capture.Kernel(l.source)
	if err != nil {
		return nil, err
	}
	var all []account.Ledger
	for _, h := range stats.Hooks {
		all = append(all, kernelLedger(h))
	}
	if all == nil && l.source.Live() && len(l.source.Lanes()) > 0 {
		all = []account.Ledger{kernelLedger(capture.HookStats{})}
	}
	return all, nil
}

// kernelLedger sorts a hook's counters by what they mean.
func kernelLedger(h capture.HookStats) account.Ledger {
	l := account.Ledger{Name: "kernel", Label: h.Hook, InUnknown: true, Filtered: h.Filtered}
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

// captured counts the frames that were wanted, and those of them that were lost before
// they reached a lane.
func (l *ledgers) captured() (c metrics.Captured, err error) {
	stats, err := capture.Kernel(l.source)
	c.Known = len(stats.Hooks) > 0 || !l.source.Live()
	for _, h := range stats.Hooks {
		for _, n := range h.Counters {
			switch n.Kind {
			case capture.CountsLost:
				c.Lost += n.Value
			case capture.CountsDelivered:
			default:
				continue
			}
			c.Frames += n.Value
			c.Known = c.Known && n.Known
		}
	}
	return c, err
}
