package metrics

import (
	"errors"
	"math"
	"net"
	"strings"

	"github.com/DataDog/datadog-go/v5/statsd"
)

// statsdSender sends to a statsd server. Its nil value does nothing.
type statsdSender struct {
	client *statsd.Client
	last   map[string]float64 // of counters: statsd adds up what it is sent
}

// checkStatsdAddress checks only the form. An empty address is no error.
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
			m.name = "dnsmonster_sensor_" + m.name // a bridge to Prometheus has metrics of the same name
		}
		if !m.counter {
			if m.value < 0 { // alone, a negative number would be subtracted
				errs = append(errs, s.client.Gauge(m.name, 0, m.labels, 1))
			}
			errs = append(errs, s.client.Gauge(m.name, m.value, m.labels, 1))
			continue
		}
		// Counters of the process have fractions: the remainder is sent with the next.
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
		s.client.Close() // sends what it still holds
	}
}
