package sensor

import (
	"io"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/urfave/cli/v2"

	"dnsmonster-sensor/outputs/endpoint"
)

// metricOptions say where the numbers go.
type metricOptions struct {
	kind       string
	statsd     string
	prometheus string
	format     string
	interval   time.Duration
	legacy     bool
	stats      time.Duration
	lossEvery  time.Duration
}

func (o *metricOptions) flags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{
			Category: "metric", Name: "metricendpointtype", EnvVars: []string{"DNSMONSTER_METRICENDPOINTTYPE"}, Value: "stderr", Destination: &o.kind,
			Usage: "where metrics go, as `TYPE`: stderr, statsd, prometheus, or nothing for none. Unless it is set, the endpoints that are set are used too",
		},
		&cli.StringFlag{
			Category: "metric", Name: "metricstatsdagent", EnvVars: []string{"DNSMONSTER_METRICSTATSDAGENT"}, Destination: &o.statsd,
			Usage: "`HOST:PORT` of a statsd server, such as 127.0.0.1:8125. Labels are sent as DogStatsD tags",
		},
		&cli.StringFlag{
			Category: "metric", Name: "metricprometheusendpoint", EnvVars: []string{"DNSMONSTER_METRICPROMETHEUSENDPOINT"}, Destination: &o.prometheus,
			Usage: "serve metrics for Prometheus at this `URL`, such as http://127.0.0.1:2112/metrics; without a host: loopback",
		},
		&cli.StringFlag{
			Category: "metric", Name: "metricstderrformat", Aliases: []string{"metricformat"}, Value: "json", Destination: &o.format,
			EnvVars: []string{"DNSMONSTER_METRICSTDERRFORMAT", "DNSMONSTER_METRICFORMAT"},
			Usage:   "`FORMAT` of metrics on stderr: json or kv. Numbers that are 0 are left out",
		},
		&cli.DurationFlag{
			Category: "metric", Name: "metricflushinterval", EnvVars: []string{"DNSMONSTER_METRICFLUSHINTERVAL"}, Value: 10 * time.Second, Destination: &o.interval,
			Usage: "`INTERVAL` at which metrics are sent to statsd and printed on stderr",
		},
		&cli.BoolFlag{
			Category: "metric", Name: "metriclegacynames", EnvVars: []string{"DNSMONSTER_METRICLEGACYNAMES"}, Destination: &o.legacy,
			Usage: "dnsmonster's metrics, under its names, in place of the sensor's own",
		},
		&cli.DurationFlag{
			Category: "metric", Name: "stats", EnvVars: []string{"DNSMONSTER_STATS"}, Destination: &o.stats,
			Usage: "print a line of rates and losses for people on stderr at this `INTERVAL`; 0: none",
		},
		&cli.DurationFlag{
			Category: "general", Name: "capturestatsdelay", EnvVars: []string{"DNSMONSTER_CAPTURESTATSDELAY"}, Value: time.Second, Destination: &o.lossEvery,
			Usage: "`INTERVAL` over which the metric of the capture's loss is taken",
		},
	}
}

func (o *metricOptions) check() error {
	var p problems
	p.when(!slices.Contains([]string{"stderr", "statsd", "prometheus", ""}, o.kind),
		"--metricendpointtype %q: use stderr, statsd, prometheus, or nothing for none", o.kind)
	p.when(o.kind == "statsd" && o.statsd == "", "--metricstatsdagent: needed for --metricendpointtype=statsd, such as 127.0.0.1:8125")
	p.when(o.kind == "prometheus" && o.prometheus == "",
		"--metricprometheusendpoint: needed for --metricendpointtype=prometheus, such as http://127.0.0.1:2112/metrics")
	p.when(o.format != "json" && o.format != "kv", "--metricstderrformat %q: use json or kv", o.format)
	p.when(o.interval < 100*time.Millisecond, "--metricflushinterval %s: at least 100ms", o.interval)
	p.when(o.lossEvery < 10*time.Millisecond, "--capturestatsdelay %s: at least 10ms", o.lossEvery)
	p.when(o.stats != 0 && o.stats < 100*time.Millisecond, "--stats %s: at least 100ms, or 0 for none", o.stats)
	if err := checkStatsdAddress(o.statsd); err != nil {
		p.add(usageError("--metricstatsdagent %q: %w", shown(o.statsd), err))
	}
	if _, _, err := prometheusAddress(o.prometheus); err != nil {
		p.add(usageError("--metricprometheusendpoint %q: %w", shown(o.prometheus), err))
	}
	return p.err()
}

// shown is what somebody has written where it should not be an address with a
// password, but may be one.
func shown(text string) string {
	if strings.Contains(text, "@") {
		return endpoint.Mask
	}
	return text
}

// metrics is where the numbers of one run go.
type metrics struct {
	options  *metricOptions
	server   *metricsServer // nil: not to Prometheus
	statsd   *statsdSender  // nil: not to statsd
	stderr   io.Writer      // nil: not there
	registry *prometheus.Registry
	books    *books
	name     string // of this sensor
	quit     chan struct{}
	tasks    sync.WaitGroup
}

// open takes addresses, so that a bad or taken one is an error before anything
// is captured. implied says that the user has not chosen a type: then every
// endpoint that is set is used.
func (o *metricOptions) open(implied bool, server string, stderr io.Writer) (*metrics, error) {
	m := &metrics{options: o, name: server, quit: make(chan struct{})}
	if o.kind == "stderr" {
		m.stderr = stderr
	}
	var err error
	if o.statsd != "" && (implied || o.kind == "statsd") {
		if m.statsd, err = dialStatsd(o.statsd); err != nil {
			return nil, usageError("--metricstatsdagent: %w", err)
		}
	}
	if o.prometheus != "" && (implied || o.kind == "prometheus") {
		if m.server, err = listenMetrics(o.prometheus); err != nil {
			m.close()
			return nil, err
		}
	}
	return m, nil
}

// start sends the numbers of the books, and what others collect, until stop.
func (m *metrics) start(b *books, log *slog.Logger, failed func(what string, err error), others ...prometheus.Collector) {
	m.books = b
	m.registry = prometheus.NewRegistry()
	m.registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	loss := newLossMeter(b)
	if m.options.legacy {
		m.registry.MustRegister(&legacyCollector{books: b, prefix: legacyPrefix(m.name)})
	} else {
		m.registry.MustRegister(append(others, &ledgerCollector{b}, loss)...)
		if m.server != nil || m.statsd != nil { // on stderr nothing is joined with it
			m.registry.MustRegister(buildInfo(m.name))
		}
	}
	m.tasks.Go(func() { loss.follow(m.options.lossEvery, m.quit) })
	if m.server != nil {
		m.server.serve(m.registry, log, func(err error) { failed("metrics", err) })
	}
	if m.stderr != nil || m.statsd != nil {
		m.tasks.Go(func() { m.follow(log) })
	}
}

// follow sends the numbers at each interval.
func (m *metrics) follow(log *slog.Logger) {
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

func (m *metrics) send(log *slog.Logger) {
	samples, err := m.samples()
	if err != nil {
		log.Warn("read metrics", "error", err)
		return
	}
	if m.stderr != nil {
		writeMetrics(m.stderr, time.Now(), samples, m.options.format)
	}
	if m.statsd != nil {
		if err := m.statsd.send(samples); err != nil {
			log.Warn("send metrics to statsd", "error", err)
		}
	}
}

// stop sends the last numbers, unless nobody is meant to hear of the end.
func (m *metrics) stop(quiet bool, log *slog.Logger) {
	close(m.quit)
	m.tasks.Wait()
	if !quiet && (m.stderr != nil || m.statsd != nil) {
		m.send(log)
	}
}

// close gives back what open took. It may be called at any time.
func (m *metrics) close() {
	m.server.close()
	m.statsd.close()
}
