package sensor

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// metricsServer answers Prometheus. Its nil value does nothing.
type metricsServer struct {
	listener net.Listener
	path     string
	server   *http.Server
}

// listenMetrics takes the address, so that a bad or taken one is an error
// before anything is captured. An empty endpoint means no server.
func listenMetrics(endpoint string) (*metricsServer, error) {
	if endpoint == "" {
		return nil, nil
	}
	u, err := url.Parse(endpoint)
	if err != nil || u.Scheme != "http" || u.Port() == "" {
		return nil, usageError("--metricprometheusendpoint %q: use a URL such as http://127.0.0.1:2112/metrics", endpoint)
	}
	host := u.Hostname()
	if host == "" {
		host = "127.0.0.1"
	}
	l, err := net.Listen("tcp", net.JoinHostPort(host, u.Port()))
	if err != nil {
		return nil, usageError("--metricprometheusendpoint: %w", err)
	}
	path := u.Path
	if path == "" {
		path = "/metrics"
	}
	return &metricsServer{listener: l, path: path}, nil
}

// serve starts answering from the given books.
func (m *metricsServer) serve(b *books, log *slog.Logger) {
	if m == nil {
		return
	}
	registry := prometheus.NewRegistry()
	registry.MustRegister(&ledgerCollector{b}, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	mux := http.NewServeMux()
	mux.Handle(m.path, promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
	m.server = &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	go func() {
		if err := m.server.Serve(m.listener); err != http.ErrServerClosed {
			log.Error("serve metrics", "error", err)
		}
	}()
	log.Info("serving metrics", "url", fmt.Sprintf("http://%s%s", m.listener.Addr(), m.path))
}

func (m *metricsServer) close() {
	if m == nil {
		return
	}
	if m.server == nil {
		m.listener.Close()
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if m.server.Shutdown(ctx) != nil {
		m.server.Close()
	}
}

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
	descMeter = prometheus.NewDesc("dnsmonster_sensor_meter_total",
		"Numbers beside the books.", []string{"ledger", "part", "meter"}, nil)
)

// Describe implements prometheus.Collector.
func (c *ledgerCollector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{descIn, descOutcome, descHeld, descUnaccounted, descMeter} {
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
	for _, l := range ledgers {
		emit := func(d *prometheus.Desc, kind prometheus.ValueType, v float64, labels ...string) {
			ch <- prometheus.MustNewConstMetric(d, kind, v, append([]string{l.Name, l.Label}, labels...)...)
		}
		emit(descIn, prometheus.CounterValue, float64(l.In))
		for _, o := range l.Outcomes {
			emit(descOutcome, prometheus.CounterValue, float64(o.Value), o.Name)
		}
		emit(descHeld, prometheus.GaugeValue, float64(l.Held))
		emit(descUnaccounted, prometheus.GaugeValue, float64(l.Unaccounted()))
		for _, o := range l.Meters {
			emit(descMeter, prometheus.CounterValue, float64(o.Value), o.Name)
		}
	}
}
