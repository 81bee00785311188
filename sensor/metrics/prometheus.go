package metrics

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"dnsmonster-sensor/sensor/listener"
)

// prometheusServer answers Prometheus. Its nil value does nothing.
type prometheusServer struct {
	listener net.Listener
	path     string
	server   *http.Server
}

// prometheusAddress checks an endpoint, and splits it. An empty one is no error.
func prometheusAddress(endpoint string) (address, path string, err error) {
	if endpoint == "" {
		return "", "", nil
	}
	u, err := url.Parse(endpoint)
	if err != nil || u.Scheme != "http" || u.Port() == "" {
		return "", "", errors.New("use a URL such as http://127.0.0.1:2112/metrics")
	}
	if u.User != nil || u.RawQuery != "" || u.Fragment != "" || strings.Contains(endpoint, "@") {
		return "", "", errors.New("use a URL of host, port and path alone: clients are not asked for a password")
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

func listenPrometheus(endpoint string) (*prometheusServer, error) {
	address, path, err := prometheusAddress(endpoint)
	if err != nil {
		return nil, err
	}
	l, err := listener.Listen("tcp", address, listener.Max)
	if err != nil {
		return nil, fmt.Errorf("--metricprometheusendpoint: %w", err)
	}
	return &prometheusServer{listener: l, path: path}, nil
}

// serve starts the server. It calls failed if the server ends before close.
func (m *prometheusServer) serve(registry *prometheus.Registry, log *slog.Logger, failed func(error)) {
	m.server = listener.NewServer(only(m.path, promhttp.HandlerFor(registry, promhttp.HandlerOpts{})), listener.Usual, log, "metrics")
	go func() {
		if err := m.server.Serve(m.listener); err != http.ErrServerClosed {
			failed(fmt.Errorf("serve metrics: %w", err))
		}
	}()
	log.Info("serving metrics", "url", fmt.Sprintf("http://%s%s", m.listener.Addr(), m.path))
}

// only passes requests to read one path to h, or, if the path ends in a slash, requests
// for everything below it. http.ServeMux reads a path as a pattern, and panics at some.
func only(path string, h http.Handler) http.Handler {
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

func (m *prometheusServer) close() {
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
