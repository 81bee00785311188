package metrics

import (
	"slices"
	"strings"

	"github.com/prometheus/client_golang/prometheus"

	"dnsmonster-sensor/userspace/account"
)

// legacyTotals are sums over the ledgers of all interfaces or files.
type legacyTotals struct {
	read, duplicate         uint64
	dropped, overRatio      uint64
	droppedKnown, overKnown bool
}

// addHook adds the ledger of a hook in the kernel. A hook without outcomes knows nothing.
func (t *legacyTotals) addHook(l *account.Ledger) {
	knows := func(matters func(account.Line) bool) bool {
		return len(l.Outcomes) > 0 && !slices.ContainsFunc(l.Outcomes, func(o account.Line) bool { return o.Unknown && matters(o) })
	}
	t.droppedKnown = t.droppedKnown && knows(func(o account.Line) bool { return o.Lost })
	t.overKnown = t.overKnown && knows(func(o account.Line) bool { return o.Name == "sampled_out" })
	t.dropped += lostIn(l)
	t.overRatio += outcome(l, "sampled_out")
}

// legacySamples are dnsmonster's metrics, with its names and kinds. Those that depend on
// an unknown number are left out.
func legacySamples(ledgers []account.Ledger) []sample {
	t := legacyTotals{droppedKnown: true, overKnown: true}
	var outputs []sample
	for i := range ledgers {
		switch l := &ledgers[i]; l.Name {
		case "kernel":
			t.addHook(l)
		case "packet":
			t.read += l.In
			t.overRatio += outcome(l, "sampled_out")
			t.duplicate += outcome(l, "duplicate")
		case "delivery":
			failure := "Failed"
			if l.Label == "nats" {
				failure = "Errors" // dnsmonster's word for this output
			}
			outputs = append(outputs, sample{l.Label + "SentToOutput", nil, float64(outcome(l, "delivered")), true},
				sample{l.Label + "Skipped", nil, float64(outcome(l, "skipped")), true}, sample{l.Label + failure, nil, float64(lostIn(l)), true})
		}
	}
	var list []sample
	if captured := t.read + t.dropped; t.droppedKnown {
		percent := 0.0
		if captured > 0 {
			percent = float64(t.dropped) * 100 / float64(captured)
		}
		list = append(list, sample{"packetsCaptured", nil, float64(captured), false},
			sample{"packetsDropped", nil, float64(t.dropped), false}, sample{"packetLossPercent", nil, percent, false})
	}
	list = append(list, sample{"packetsDuplicate", nil, float64(t.duplicate), true})
	if t.overKnown {
		list = append(list, sample{"packetsOverRatio", nil, float64(t.overRatio), true})
	}
	return append(list, outputs...)
}

// outcome returns the value of one outcome, 0 if the ledger does not have it.
func outcome(l *account.Ledger, name string) uint64 {
	for _, o := range l.Outcomes {
		if o.Name == name {
			return o.Value
		}
	}
	return 0
}

func lostIn(l *account.Ledger) (n uint64) {
	for _, o := range l.Outcomes {
		if o.Lost {
			n += o.Value
		}
	}
	return n
}

// legacyCollector shows dnsmonster's metrics as it did: all of them gauges.
type legacyCollector struct {
	ledgers func() ([]account.Ledger, error)
	prefix  string
}

// legacyPrefix is what dnsmonster put before the names.
func legacyPrefix(server string) string {
	return "dnsmonster_" + strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' {
			return r
		}
		return '_'
	}, server) + "_"
}

// Describe implements prometheus.Collector. The names depend on the outputs:
// without a description they are taken as they come.
func (c *legacyCollector) Describe(chan<- *prometheus.Desc) {}

// Collect implements prometheus.Collector.
func (c *legacyCollector) Collect(ch chan<- prometheus.Metric) {
	ledgers, err := c.ledgers()
	if err != nil {
		ch <- prometheus.NewInvalidMetric(descIn, err)
		return
	}
	for _, s := range legacySamples(ledgers) {
		d := prometheus.NewDesc(c.prefix+s.name, s.name, nil, nil)
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, s.value)
	}
}
