package sensor

import (
	"errors"
	"io"
	"log/slog"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"dnsmonster-sensor/sensor/capture"
	"dnsmonster-sensor/test/await"
	"dnsmonster-sensor/test/lab"
	"dnsmonster-sensor/userspace/packet"
)

// broken is a live source, one of whose lanes ends with an error.
type broken struct {
	rigged
	goOn chan struct{} // closed: the other lane ends, too
}

func (s *broken) Live() bool            { return true }
func (s *broken) Lanes() []capture.Lane { return []capture.Lane{brokenLane{}, s} }
func (s *broken) Read(*packet.Batch) error {
	select {
	case <-s.goOn:
		return io.EOF
	case <-time.After(time.Millisecond):
		return os.ErrDeadlineExceeded
	}
}

type brokenLane struct{}

func (brokenLane) Read(*packet.Batch) error { return errors.New("read ring: the lane is broken") }

// failed is the metric of what has failed.
func failed(t *testing.T, p *pipeline, what, part string) float64 {
	t.Helper()
	registry := prometheus.NewRegistry()
	registry.MustRegister(&failureCollector{p})
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range families[0].Metric {
		if m.Label[1].GetValue() == what && m.Label[0].GetValue() == part {
			return m.Counter.GetValue()
		}
	}
	t.Fatalf("no metric for %s %s", what, part)
	return 0
}

// A lane that ends with an error is in the log and in the metrics while the others
// go on, and decides about the exit status.
func TestLaneFails(t *testing.T) {
	var log lab.Log
	source := &broken{goOn: make(chan struct{})}
	p := toNowhere(t, source)
	p.log = slog.New(slog.NewTextHandler(&log, nil))
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		p.runUntilEnd(time.Second, newSignals())
	}()
	for end := time.Now().Add(await.Limit); failed(t, p, "lane", "") == 0; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the metric does not show the lane")
		}
	}
	if text := log.String(); strings.Count(text, "level=ERROR") != 1 || !strings.Contains(text, "the lane is broken") {
		t.Errorf("log: %s", text)
	}
	select {
	case <-ended:
		t.Error("the other lane has ended")
	default:
	}
	close(source.goOn)
	<-ended
	var exit *exitError
	if err := p.conclude(io.Discard, newSignals()); !errors.As(err, &exit) || exit.code != exitFailure || !strings.Contains(err.Error(), "the lane is broken") {
		t.Errorf("the end is %v, want the lane's error and exit status 2", err)
	}
}

// A metrics endpoint that ends before the sensor does is a failure of its own.
func TestMetricsEndpointFails(t *testing.T) {
	m, err := listenMetrics("http://127.0.0.1:0/m")
	if err != nil {
		t.Fatal(err)
	}
	why := make(chan error, 1)
	m.serve(prometheus.NewRegistry(), slog.New(slog.DiscardHandler), func(err error) { why <- err })
	m.listener.Close()
	select {
	case err := <-why:
		if !strings.HasPrefix(err.Error(), "serve metrics: ") {
			t.Error(err)
		}
	case <-time.After(await.Limit):
		t.Error("nobody hears of it")
	}
}
