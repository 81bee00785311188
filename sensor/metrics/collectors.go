package sensor

import (
	"math"
	"runtime"
	"strings"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"dnsmonster-sensor/bpf"
	"dnsmonster-sensor/sensor/config"
	"dnsmonster-sensor/sensor/lists"
	"dnsmonster-sensor/userspace/account"
)

// ledgerCollector shows the books: the same numbers as the summary.
type ledgerCollector struct{ books *books }

var (
	descIn = prometheus.NewDesc("dnsmonster_sensor_ledger_in_total",
		"Items that entered a ledger, counted by the giver.", []string{"ledger", "part"}, nil)
	descOutcome = prometheus.NewDesc("dnsmonster_sensor_ledger_outcomes_total",
		"Items that left a ledger, by outcome, counted by the taker.", []string{"ledger", "part", "outcome"}, nil)
	descHeld = prometheus.NewDesc("dnsmonster_sensor_ledger_held",
		"Items that wait inside a ledger.", []string{"ledger", "part"}, nil)
	descUnaccounted = prometheus.NewDesc("dnsmonster_sensor_ledger_unaccounted",
		"Items that came in, did not leave and are not held: 0 at rest, at most what is in flight otherwise.", []string{"ledger", "part"}, nil)
	descSpool = prometheus.NewDesc("dnsmonster_sensor_spool_bytes",
		"Disk that an output's spool takes.", []string{"output"}, nil)
	descSpoolLimit = prometheus.NewDesc("dnsmonster_sensor_spool_limit_bytes",
		"Disk that an output's spool may take: beyond it, the oldest records are thrown away.", []string{"output"}, nil)
	descOldest = prometheus.NewDesc("dnsmonster_sensor_output_oldest_undelivered_seconds",
		"For how long the oldest record has waited for an output's destination, since it was received; 0: none waits.", []string{"output"}, nil)
	descRows = prometheus.NewDesc("dnsmonster_sensor_output_batch_rows",
		"Records in a batch that an output's destination has acknowledged.", []string{"output"}, nil)
	descMeter = prometheus.NewDesc("dnsmonster_sensor_meter_total",
		"Numbers beside the books.", []string{"ledger", "part", "meter"}, nil)
)

// Describe implements prometheus.Collector.
func (c *ledgerCollector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{descIn, descOutcome, descHeld, descUnaccounted, descMeter, descSpool, descSpoolLimit, descOldest, descRows} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (c *ledgerCollector) Collect(ch chan<- prometheus.Metric) {
	ledgers, err := c.books.ledgers()
	if err != nil {
		ch <- prometheus.NewInvalidMetric(descIn, err)
		return
	}
	for _, r := range c.books.outputs {
		ch <- prometheus.MustNewConstMetric(descOldest, prometheus.GaugeValue, r.OldestAge().Seconds(), r.Name())
		batches, rows, upTo := r.BatchRows()
		ch <- prometheus.MustNewConstHistogram(descRows, batches, float64(rows), upTo, r.Name())
		if size, limit := r.SpoolBytes(); limit > 0 {
			ch <- prometheus.MustNewConstMetric(descSpool, prometheus.GaugeValue, float64(size), r.Name())
			ch <- prometheus.MustNewConstMetric(descSpoolLimit, prometheus.GaugeValue, float64(limit), r.Name())
		}
	}
	for _, l := range ledgers {
		emit := func(d *prometheus.Desc, kind prometheus.ValueType, v float64, labels ...string) {
			ch <- prometheus.MustNewConstMetric(d, kind, v, append([]string{l.Name, l.Label}, labels...)...)
		}
		lines := func(d *prometheus.Desc, list []account.Line) {
			for _, o := range list {
				if !o.Unknown {
					emit(d, prometheus.CounterValue, float64(o.Value), o.Name)
				}
			}
		}
		if !l.InUnknown { // what is unknown is absent, and not 0
			emit(descIn, prometheus.CounterValue, float64(l.In))
		}
		lines(descOutcome, l.Outcomes)
		emit(descHeld, prometheus.GaugeValue, float64(l.Held))
		if l.Balanced() {
			emit(descUnaccounted, prometheus.GaugeValue, float64(l.Unaccounted()))
		}
		lines(descMeter, l.Meters)
	}
}

// failureCollector shows what has failed while the sensor goes on.
type failureCollector struct{ pipeline *pipeline }

var descFailed = prometheus.NewDesc("dnsmonster_sensor_failures_total",
	"Parts of the sensor that have ended for good while it goes on: lanes, inputs, outputs, the metrics endpoint. Each is in the log.", []string{"what", "part"}, nil)

// Describe implements prometheus.Collector.
func (c *failureCollector) Describe(ch chan<- *prometheus.Desc) { ch <- descFailed }

// Collect implements prometheus.Collector.
func (c *failureCollector) Collect(ch chan<- prometheus.Metric) {
	emit := func(what, part string, n uint64) {
		ch <- prometheus.MustNewConstMetric(descFailed, prometheus.CounterValue, float64(n), what, part)
	}
	p := c.pipeline
	for _, what := range []string{"capture", "lane", "metrics"} {
		emit(what, "", p.failures(what))
	}
	inputs := 0
	if err := p.source.Err(); err != nil {
		inputs = len(config.Joined(err))
	}
	emit("input", "", uint64(inputs))
	for _, r := range p.runners {
		n := uint64(0)
		if r.Err() != nil {
			n = 1
		}
		emit("output", r.Name(), n)
	}
}

// listCollector shows the domain lists that there are.
type listCollector struct{ lists *lists.Lists }

var (
	descEntries = prometheus.NewDesc("dnsmonster_sensor_list_entries", "Entries of a domain list.", []string{"list"}, nil)
	descCurrent = prometheus.NewDesc("dnsmonster_sensor_list_current_timestamp_seconds",
		"When a domain list was last seen to be as its file or server has it.", []string{"list"}, nil)
	descLoads    = prometheus.NewDesc("dnsmonster_sensor_list_loads_total", "How often a domain list was read and taken over.", []string{"list"}, nil)
	descFailures = prometheus.NewDesc("dnsmonster_sensor_list_failures_total", "How often a domain list could not be read, and the old one stayed.", []string{"list"}, nil)
)

// Describe implements prometheus.Collector.
func (c *listCollector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{descEntries, descCurrent, descLoads, descFailures} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (c *listCollector) Collect(ch chan<- prometheus.Metric) {
	for _, s := range c.lists.Stats() {
		ch <- prometheus.MustNewConstMetric(descEntries, prometheus.GaugeValue, float64(s.Entries), s.List)
		ch <- prometheus.MustNewConstMetric(descCurrent, prometheus.GaugeValue, float64(s.Current.UnixMilli())/1e3, s.List)
		ch <- prometheus.MustNewConstMetric(descLoads, prometheus.CounterValue, float64(s.Loads), s.List)
		ch <- prometheus.MustNewConstMetric(descFailures, prometheus.CounterValue, float64(s.Failures), s.List)
	}
}

// legacyCollector shows dnsmonster's metrics as it did: all of them gauges.
type legacyCollector struct {
	books  *books
	prefix string
}

// legacyPrefix is what stood before the names.
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
	ledgers, err := c.books.ledgers()
	if err != nil {
		ch <- prometheus.NewInvalidMetric(descIn, err)
		return
	}
	for _, s := range legacySamples(ledgers) {
		d := prometheus.NewDesc(c.prefix+s.name, s.name, nil, nil)
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, s.value)
	}
}

// buildInfo names the build and the sensor: 1, with labels to join with.
func buildInfo(server string) prometheus.Collector {
	g := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "dnsmonster_sensor_build_info", Help: "The build, its kernel program, and the sensor's name.",
		ConstLabels: prometheus.Labels{
			"version": version, "commit": buildCommit(), "kernel_program": bpf.ObjectHash(), "goversion": runtime.Version(), "server": server,
		},
	})
	g.Set(1)
	return g
}

// lossMeter takes the share of packets that the capture lost in the last whole
// interval.
type lossMeter struct {
	books     *books
	lost, all uint64        // packets up to the end of the last interval
	ratio     atomic.Uint64 // bits of a float64, NaN: not known
}

func newLossMeter(b *books) *lossMeter {
	m := &lossMeter{books: b}
	if _, _, known, err := b.wanted(); err == nil && !known {
		m.ratio.Store(math.Float64bits(math.NaN()))
	}
	return m
}

var descLoss = prometheus.NewDesc("dnsmonster_sensor_capture_loss_ratio",
	"Share of the packets to capture that the kernel had no room for, in the last interval of capturestatsdelay.", nil, nil)

// Describe implements prometheus.Collector.
func (m *lossMeter) Describe(ch chan<- *prometheus.Desc) { ch <- descLoss }

// Collect implements prometheus.Collector.
func (m *lossMeter) Collect(ch chan<- prometheus.Metric) {
	if ratio := math.Float64frombits(m.ratio.Load()); !math.IsNaN(ratio) {
		ch <- prometheus.MustNewConstMetric(descLoss, prometheus.GaugeValue, ratio)
	}
}

// follow measures until quit is closed.
func (m *lossMeter) follow(every time.Duration, quit <-chan struct{}) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-quit:
			return
		case <-tick.C:
			m.measure()
		}
	}
}

// measure ends an interval.
func (m *lossMeter) measure() {
	all, lost, known, err := m.books.wanted()
	if err != nil {
		return // whoever reads the books says so
	}
	ratio := 0.0
	switch {
	case !known:
		ratio = math.NaN()
	case all > m.all:
		ratio = float64(lost-m.lost) / float64(all-m.all)
	}
	m.ratio.Store(math.Float64bits(ratio))
	m.lost, m.all = lost, all
}
