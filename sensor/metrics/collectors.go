package metrics

import (
	"runtime"

	"github.com/prometheus/client_golang/prometheus"

	"dnsmonster-sensor/outputs"
	"dnsmonster-sensor/sensor/lists"
	"dnsmonster-sensor/userspace/account"
)

// ledgerCollector shows the ledgers, with the same numbers as the summary, and what
// only outputs know.
type ledgerCollector struct {
	ledgers func() ([]account.Ledger, error)
	outputs []*outputs.Runner
}

var (
	descIn = prometheus.NewDesc("dnsmonster_sensor_ledger_in_total",
		"Items that entered a ledger, counted by the step before it.", []string{"ledger", "part"}, nil)
	descOutcome = prometheus.NewDesc("dnsmonster_sensor_ledger_outcomes_total",
		"Items that left a ledger, by outcome, counted by the step itself.", []string{"ledger", "part", "outcome"}, nil)
	descHeld = prometheus.NewDesc("dnsmonster_sensor_ledger_held",
		"Items that wait inside a ledger.", []string{"ledger", "part"}, nil)
	descUnaccounted = prometheus.NewDesc("dnsmonster_sensor_ledger_unaccounted",
		"Items that came in, did not leave and are not held: 0 at rest, at most what is in flight otherwise.", []string{"ledger", "part"}, nil)
	descSpool = prometheus.NewDesc("dnsmonster_sensor_spool_bytes",
		"Disk that an output's spool takes.", []string{"output"}, nil)
	descSpoolLimit = prometheus.NewDesc("dnsmonster_sensor_spool_limit_bytes",
		"Disk that an output's spool may take: beyond it, the oldest records are deleted.", []string{"output"}, nil)
	descOldest = prometheus.NewDesc("dnsmonster_sensor_output_oldest_undelivered_seconds",
		"For how long the oldest record has waited for an output's destination, since it was received; 0: none waits.", []string{"output"}, nil)
	descRows = prometheus.NewDesc("dnsmonster_sensor_output_batch_rows",
		"Records in a batch that an output's destination has acknowledged.", []string{"output"}, nil)
	descMeter = prometheus.NewDesc("dnsmonster_sensor_meter_total",
		"Numbers beside the ledgers.", []string{"ledger", "part", "meter"}, nil)
)

// Describe implements prometheus.Collector.
func (c *ledgerCollector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{descIn, descOutcome, descHeld, descUnaccounted, descMeter, descSpool, descSpoolLimit, descOldest, descRows} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (c *ledgerCollector) Collect(ch chan<- prometheus.Metric) {
	ledgers, err := c.ledgers()
	if err != nil {
		ch <- prometheus.NewInvalidMetric(descIn, err)
		return
	}
	for _, r := range c.outputs {
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

// Failure is a part of the sensor, or all parts of a kind, and how often it has
// failed.
type Failure struct {
	What, Part string // such as "output", "psql"
	Count      uint64
}

// failureCollector shows what has failed while the sensor goes on.
type failureCollector struct{ failures func() []Failure }

var descFailed = prometheus.NewDesc("dnsmonster_sensor_failures_total",
	"Parts of the sensor that have ended for good while it goes on: lanes, inputs, outputs, the metrics endpoint. Each is in the log.", []string{"what", "part"}, nil)

// Describe implements prometheus.Collector.
func (c *failureCollector) Describe(ch chan<- *prometheus.Desc) { ch <- descFailed }

// Collect implements prometheus.Collector.
func (c *failureCollector) Collect(ch chan<- prometheus.Metric) {
	for _, f := range c.failures() {
		ch <- prometheus.MustNewConstMetric(descFailed, prometheus.CounterValue, float64(f.Count), f.What, f.Part)
	}
}

// listCollector shows the domain lists that are in use.
type listCollector struct{ lists *lists.Pair }

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
		ch <- prometheus.MustNewConstMetric(descCurrent, prometheus.GaugeValue, float64(s.CurrentAt.UnixMilli())/1e3, s.List)
		ch <- prometheus.MustNewConstMetric(descLoads, prometheus.CounterValue, float64(s.Loads), s.List)
		ch <- prometheus.MustNewConstMetric(descFailures, prometheus.CounterValue, float64(s.Failures), s.List)
	}
}

// Identity names a sensor and its build.
type Identity struct {
	Server  string // the name that the user has given it
	Version string
	Commit  string
	Program string // hash of the kernel program
}

// buildInfo is 1, with labels to join with.
func buildInfo(of Identity) prometheus.Collector {
	g := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "dnsmonster_sensor_build_info", Help: "The build, its kernel program, and the sensor's name.",
		ConstLabels: prometheus.Labels{
			"version": of.Version, "commit": of.Commit, "kernel_program": of.Program, "goversion": runtime.Version(), "server": of.Server,
		},
	})
	g.Set(1)
	return g
}
