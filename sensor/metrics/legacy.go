package metrics

import (
	"slices"
	"strings"

	"github.com/prometheus/client_golang/prometheus"

	"dnsmonster-sensor/userspace/account"
)

// legacySamples are dnsmonster's metrics, with its names and kinds. Those that depend on
// an unknown number are left out.
func legacySamples(ledgers []account.Ledger) []sample {
	var dropped, overRatio, duplicate, read uint64
	droppedKnown, overRatioKnown := true, true
	var outputs []sample
	for _, l := range ledgers {
		n := make(map[string]uint64)
		lost := uint64(0)
		for _, o := range l.Outcomes {
			n[o.Name] = o.Value
			if o.Lost {
				lost += o.Value
			}
		}
		switch l.Name {
		case "kernel":
			dropped += lost
			overRatio += n["sampled_out"]
			unknown := func(o account.Line) bool { return o.Unknown && o.Lost }
			droppedKnown = droppedKnown && len(l.Outcomes) > 0 && !slices.ContainsFunc(l.Outcomes, unknown)
			unknown = func(o account.Line) bool { return o.Unknown && o.Name == "sampled_out" }
			overRatioKnown = overRatioKnown && len(l.Outcomes) > 0 && !slices.ContainsFunc(l.Outcomes, unknown)
		case "packet":
			read += l.In
			overRatio += n["sampled_out"]
			duplicate += n["duplicate"]
		case "delivery":
			failure := "Failed"
			if l.Label == "nats" {
				failure = "Errors" // dnsmonster's word for this output
			}
			outputs = append(outputs, sample{l.Label + "SentToOutput", nil, float64(n["delivered"]), true},
				sample{l.Label + "Skipped", nil, float64(n["skipped"]), true}, sample{l.Label + failure, nil, float64(lost), true})
		}
	}
	var list []sample
	if captured := read + dropped; droppedKnown {
		percent := 0.0
		if captured > 0 {
			percent = float64(dropped) * 100 / float64(captured)
		}
		list = append(list, sample{"packetsCaptured", nil, float64(captured), false},
			sample{"packetsDropped", nil, float64(dropped), false}, sample{"packetLossPercent", nil, percent, false})
	}
	list = append(list, sample{"packetsDuplicate", nil, float64(duplicate), true})
	if overRatioKnown {
		list = append(list, sample{"packetsOverRatio", nil, float64(overRatio), true})
	}
	return append(list, outputs...)
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
