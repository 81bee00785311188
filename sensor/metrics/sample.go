package metrics

import (
	"math"
	"strconv"
	"strings"

	dto "github.com/prometheus/client_model/go"
)

// sample is one number for stderr and statsd.
type sample struct {
	name    string
	labels  []string // "name:value"
	value   float64
	counter bool // only ever grows
}

// key is the name with its labels, as Prometheus writes them.
func (s *sample) key() string {
	if len(s.labels) == 0 {
		return s.name
	}
	var parts []string
	for _, l := range s.labels {
		name, value, _ := strings.Cut(l, ":")
		parts = append(parts, name+"="+strconv.Quote(value))
	}
	return s.name + "{" + strings.Join(parts, ",") + "}"
}

// flatten makes plain numbers of all families: of a histogram its count and its sum.
// It leaves out summaries, and NaN and infinity, which JSON cannot hold.
func flatten(families []*dto.MetricFamily) []sample {
	var list []sample
	for _, f := range families {
		for _, m := range f.GetMetric() {
			add := func(suffix string, value float64, counter bool) {
				if math.IsNaN(value) || math.IsInf(value, 0) {
					return
				}
				s := sample{name: f.GetName() + suffix, value: value, counter: counter}
				for _, l := range m.GetLabel() {
					if l.GetValue() != "" {
						s.labels = append(s.labels, l.GetName()+":"+l.GetValue())
					}
				}
				list = append(list, s)
			}
			switch f.GetType() {
			case dto.MetricType_COUNTER:
				add("", m.GetCounter().GetValue(), true)
			case dto.MetricType_GAUGE:
				add("", m.GetGauge().GetValue(), false)
			case dto.MetricType_HISTOGRAM:
				add("_count", float64(m.GetHistogram().GetSampleCount()), true)
				add("_sum", m.GetHistogram().GetSampleSum(), true)
			}
		}
	}
	return list
}
