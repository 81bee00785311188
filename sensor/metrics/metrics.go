// Package metrics shows the numbers of a running sensor where the options say: to
// Prometheus, to statsd, on stderr, and as a line of rates for people. It reads ledgers
// and asks outputs and lists. It must not import the pipeline, which passes all of these
// as a Source. Its tests make ledgers by hand, and use a server on loopback.
package metrics

import (
	"fmt"
	"io"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"dnsmonster-sensor/outputs"
	"dnsmonster-sensor/sensor/lists"
	"dnsmonster-sensor/userspace/account"
)

// Source is what the numbers are made of. Its functions are called at any time,
// from several goroutines.
type Source struct {
	Ledgers  func() ([]account.Ledger, error)
	Captured func() (Captured, error)
	Failures func() []Failure
	Outputs  []*outputs.Runner
	Lists    *lists.Pair
}

// Metrics sends the numbers of one run.
type Metrics struct {
	options    *Options
	identity   Identity
	stderr     io.Writer         // for the stats line
	printed    bool              // metrics go to stderr, too
	prometheus *prometheusServer // nil: not to Prometheus
	statsd     *statsdSender     // nil: not to statsd
	registry   *prometheus.Registry
	source     Source
	quit       chan struct{}
	tasks      sync.WaitGroup
}

// Config says where the numbers go, and whose they are.
type Config struct {
	*Options
	Chosen   bool // the user has chosen a type of endpoint; false: every endpoint that is set is used
	Quiet    bool // nothing is printed on stderr unless the user has chosen that
	Identity Identity
}

// Open opens the endpoints, so that an address that is wrong or in use is an error
// before anything is captured.
func Open(c Config, stderr io.Writer) (*Metrics, error) {
	o, chosen := c.Options, c.Chosen
	m := &Metrics{options: o, identity: c.Identity, stderr: stderr, printed: o.kind == "stderr" && (chosen || !c.Quiet), quit: make(chan struct{})}
	var err error
	if o.statsd != "" && (!chosen || o.kind == "statsd") {
		if m.statsd, err = dialStatsd(o.statsd); err != nil {
			return nil, fmt.Errorf("--metricstatsdagent: %w", err)
		}
	}
	if o.prometheus != "" && (!chosen || o.kind == "prometheus") {
		if m.prometheus, err = listenPrometheus(o.prometheus); err != nil {
			m.Close()
			return nil, err
		}
	}
	return m, nil
}

// Start sends the numbers of a source until Stop. It calls failed if the endpoint for
// Prometheus ends before that.
func (m *Metrics) Start(source Source, log *slog.Logger, failed func(error)) {
	m.source = source
	m.registry = prometheus.NewRegistry()
	m.registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	loss := newLossMeter(source.Captured)
	if m.options.legacy {
		m.registry.MustRegister(&legacyCollector{ledgers: source.Ledgers, prefix: legacyPrefix(m.identity.Server)})
	} else {
		m.registry.MustRegister(&listCollector{source.Lists}, &failureCollector{source.Failures}, &ledgerCollector{source.Ledgers, source.Outputs}, loss)
		if m.prometheus != nil || m.statsd != nil { // on stderr there is nothing to join it with
			m.registry.MustRegister(buildInfo(m.identity))
		}
	}
	m.tasks.Go(func() { loss.follow(m.options.lossEvery, m.quit) })
	if m.prometheus != nil {
		m.prometheus.serve(m.registry, log, failed)
	}
	if m.printed || m.statsd != nil {
		m.tasks.Go(func() { m.follow(log) })
	}
	if m.options.stats > 0 {
		m.tasks.Go(func() { printStats(m.stderr, m.options.stats, source.Ledgers, m.quit) })
	}
}

// follow sends the numbers at each interval.
func (m *Metrics) follow(log *slog.Logger) {
	tick := time.NewTicker(m.options.interval)
	defer tick.Stop()
	for {
		select {
		case <-m.quit:
			return
		case <-tick.C:
			m.send(log)
		}
	}
}

func (m *Metrics) send(log *slog.Logger) {
	samples, err := m.samples()
	if err != nil {
		log.Warn("cannot read metrics", "error", err)
		return
	}
	if m.printed {
		writeMetrics(m.stderr, time.Now(), samples, m.options.format)
	}
	if m.statsd != nil {
		if err := m.statsd.send(samples); err != nil {
			log.Warn("cannot send metrics to statsd", "error", err)
		}
	}
}

// samples returns the current numbers, under the names that the user wants.
func (m *Metrics) samples() ([]sample, error) {
	if m.options.legacy {
		ledgers, err := m.source.Ledgers()
		return legacySamples(ledgers), err
	}
	families, err := m.registry.Gather()
	return flatten(families), err
}

// Stop sends the last numbers, unless the end is to be quiet.
func (m *Metrics) Stop(quiet bool, log *slog.Logger) {
	close(m.quit)
	m.tasks.Wait()
	if !quiet && (m.printed || m.statsd != nil) {
		m.send(log)
	}
}

// Close closes what Open has opened. It may be called at any time.
func (m *Metrics) Close() {
	m.prometheus.close()
	m.statsd.close()
}
