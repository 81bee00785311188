package metrics

import (
	"math"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Captured counts the frames that the capture wanted, since it began.
type Captured struct {
	Frames uint64 // wanted
	Lost   uint64 // of these, lost before they reached a lane
	Known  bool   // false: the numbers mean nothing
}

// lossMeter measures the share of packets that the capture lost in the last whole
// interval.
type lossMeter struct {
	captured func() (Captured, error)
	last     Captured      // at the end of the last interval
	ratio    atomic.Uint64 // bits of a float64; NaN: not known
}

func newLossMeter(captured func() (Captured, error)) *lossMeter {
	m := &lossMeter{captured: captured}
	if c, err := captured(); err == nil && !c.Known {
		m.ratio.Store(math.Float64bits(math.NaN()))
	}
	return m
}

var descLoss = prometheus.NewDesc("dnsmonster_sensor_capture_loss_ratio",
	"Share of the packets chosen by the kernel program that it had no room for, in the last interval of capturestatsdelay.", nil, nil)

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
	now, err := m.captured()
	if err != nil {
		return // whoever reads the ledgers reports it
	}
	ratio := 0.0
	switch {
	case !now.Known:
		ratio = math.NaN()
	case now.Frames > m.last.Frames:
		ratio = float64(now.Lost-m.last.Lost) / float64(now.Frames-m.last.Frames)
	}
	m.ratio.Store(math.Float64bits(ratio))
	m.last = now
}
