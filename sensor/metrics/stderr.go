package sensor

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	dto "github.com/prometheus/client_model/go"

	"dnsmonster-sensor/userspace/account"
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

// samples are the numbers as of now, under the names that the user wants.
func (m *metrics) samples() ([]sample, error) {
	if m.options.legacy {
		ledgers, err := m.books.ledgers()
		return legacySamples(ledgers), err
	}
	families, err := m.registry.Gather()
	return flatten(families), err
}

// flatten makes plain numbers of all: of a histogram, how often and how much in all.
// It leaves out summaries, and what is no number: JSON has no word for it.
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

// processShown are the process's own numbers on stderr; the other endpoints get
// all.
var processShown = []string{"process_cpu_seconds_total", "process_resident_memory_bytes", "process_open_fds", "go_goroutines"}

// writeMetrics writes one line.
func writeMetrics(w io.Writer, now time.Time, samples []sample, format string) {
	line := bytes.NewBuffer(nil)
	fmt.Fprintf(line, "%s metrics: ", now.UTC().Format(time.RFC3339))
	shown := slices.DeleteFunc(slices.Clone(samples), func(s sample) bool {
		if strings.HasPrefix(s.name, "process_") || strings.HasPrefix(s.name, "go_") {
			return !slices.Contains(processShown, s.name)
		}
		return s.name == "dnsmonster_sensor_build_info" || s.value == 0 && strings.HasPrefix(s.name, "dnsmonster_sensor_")
	})
	if format == "kv" {
		for i, s := range shown {
			if i > 0 {
				line.WriteByte(' ')
			}
			fmt.Fprintf(line, "%s=%s", s.key(), strconv.FormatFloat(s.value, 'f', -1, 64))
		}
	} else {
		object := make(map[string]map[string]float64, len(shown))
		for _, s := range shown {
			kind := "value"
			if s.counter {
				kind = "count"
			}
			object[s.key()] = map[string]float64{kind: s.value}
		}
		e := json.NewEncoder(line)
		e.SetEscapeHTML(false)
		if err := e.Encode(object); err != nil {
			fmt.Fprintf(line, "%v", err)
		}
	}
	w.Write(append(bytes.TrimRight(line.Bytes(), "\n"), '\n')) // one write: lines of others do not come between
}

// legacySamples are dnsmonster's metrics, with its names and kinds. One that
// depends on a number that is unknown is left out.
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
				failure = "Errors" // its own word for it
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
