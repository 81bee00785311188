package sensor

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/DataDog/datadog-go/v5/statsd"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"dnsmonster-sensor/sensor/listener"
)

// metricsServer answers Prometheus. Its nil value does nothing.
type metricsServer struct {
	listener net.Listener
	path     string
	server   *http.Server
}

// prometheusAddress checks an endpoint; "" is none, and no error.
func prometheusAddress(endpoint string) (address, path string, err error) {
	if endpoint == "" {
		return "", "", nil
	}
	u, err := url.Parse(endpoint)
	if err != nil || u.Scheme != "http" || u.Port() == "" {
		return "", "", errors.New("use a URL such as http://127.0.0.1:2112/metrics")
	}
	if u.User != nil || u.RawQuery != "" || u.Fragment != "" || strings.Contains(endpoint, "@") {
		return "", "", errors.New("use a URL of host, port and path alone: nobody is asked for a password")
	}
	host, path := u.Hostname(), u.Path
	if host == "" {
		host = "127.0.0.1"
	}
	if path == "" {
		path = "/metrics"
	}
	return net.JoinHostPort(host, u.Port()), path, nil
}

func listenMetrics(endpoint string) (*metricsServer, error) {
	address, path, err := prometheusAddress(endpoint)
	if err != nil {
		return nil, err
	}
	l, err := listener.Listen("tcp", address, listener.Max)
	if err != nil {
		return nil, usageError("--metricprometheusendpoint: %w", err)
	}
	return &metricsServer{listener: l, path: path}, nil
}

// serve starts answering. failed is told when that ends before close.
func (m *metricsServer) serve(registry *prometheus.Registry, log *slog.Logger, failed func(error)) {
	m.server = listener.NewServer(at(m.path, promhttp.HandlerFor(registry, promhttp.HandlerOpts{})), listener.Usual, log, "metrics")
	go func() {
		if err := m.server.Serve(m.listener); err != http.ErrServerClosed {
			failed(fmt.Errorf("serve metrics: %w", err))
		}
	}()
	log.Info("serving metrics", "url", fmt.Sprintf("http://%s%s", m.listener.Addr(), m.path))
}

// at answers requests to read a path, and all below it where it ends in a slash.
// The library's own way takes a path for a pattern, and panics at some.
func at(path string, h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			w.Header().Set("Allow", "GET, HEAD")
			http.Error(w, "metrics are read with GET", http.StatusMethodNotAllowed)
			return
		}
		if r.URL.Path == path || strings.HasSuffix(path, "/") && strings.HasPrefix(r.URL.Path, path) {
			h.ServeHTTP(w, r)
			return
		}
		http.NotFound(w, r)
	})
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

// statsdSender sends to a statsd server. Its nil value does nothing.
type statsdSender struct {
	client *statsd.Client
	last   map[string]float64 // of counters: statsd adds up what it is sent
}

// checkStatsdAddress looks at the form alone; "" is none, and no error.
func checkStatsdAddress(address string) error {
	if address == "" {
		return nil
	}
	host, port, err := net.SplitHostPort(address)
	if err != nil || host == "" || port == "" || strings.Contains(address, "@") {
		return errors.New("use HOST:PORT, such as 127.0.0.1:8125")
	}
	return nil
}

func dialStatsd(address string) (*statsdSender, error) {
	client, err := statsd.New(address, statsd.WithoutTelemetry(), statsd.WithoutOriginDetection(), statsd.WithoutClientSideAggregation())
	if err != nil {
		return nil, err
	}
	return &statsdSender{client, make(map[string]float64)}, nil
}

func (s *statsdSender) send(samples []sample) error {
	var errs []error
	for _, m := range samples {
		if strings.HasPrefix(m.name, "go_") || strings.HasPrefix(m.name, "process_") {
			m.name = "dnsmonster_sensor_" + m.name // a bridge to Prometheus has such of its own
		}
		if !m.counter {
			if m.value < 0 { // alone, a negative number would be subtracted
				errs = append(errs, s.client.Gauge(m.name, 0, m.labels, 1))
			}
			errs = append(errs, s.client.Gauge(m.name, m.value, m.labels, 1))
			continue
		}
		// Counters of the process have fractions: what is left over goes with the next.
		key := m.key()
		delta := math.Trunc(m.value - s.last[key])
		if delta != 0 {
			s.last[key] += delta
			errs = append(errs, s.client.Count(m.name, int64(delta), m.labels, 1))
		}
	}
	return errors.Join(append(errs, s.client.Flush())...)
}

func (s *statsdSender) close() {
	if s != nil {
		s.client.Close() // sends what is left
	}
}
