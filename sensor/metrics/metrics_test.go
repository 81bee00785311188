//go:build linux

package metrics

import (
	"bytes"
	"fmt"
	"log/slog"
	"math"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"dnsmonster-sensor/test/await"
	"dnsmonster-sensor/test/lab"
	"dnsmonster-sensor/test/program"
	"dnsmonster-sensor/userspace/account"
)

// TestFlattenHistogram: stderr and statsd get a histogram's count and sum.
func TestFlattenHistogram(t *testing.T) {
	registry := prometheus.NewRegistry()
	h := prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "rows", Help: "Rows."}, []string{"output"})
	registry.MustRegister(h)
	h.WithLabelValues("null").Observe(7)
	h.WithLabelValues("null").Observe(5)
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := flatten(families)
	if len(got) != 2 || got[0].key() != `rows_count{output="null"}` || got[0].value != 2 || !got[0].counter ||
		got[1].key() != `rows_sum{output="null"}` || got[1].value != 12 || !got[1].counter {
		t.Errorf("%+v", got)
	}
}

func TestAlertRules(t *testing.T) {
	lab.Need(t, "promtool")
	page, err := os.ReadFile("../../docs/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(page), "```yaml\n")
	rules, _, ok := strings.Cut(rest, "```")
	if !ok {
		t.Fatal("the page has no rules")
	}
	path := filepath.Join(t.TempDir(), "rules.yml")
	if err := os.WriteFile(path, []byte(rules), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("promtool", "check", "rules", path).CombinedOutput(); err != nil {
		t.Errorf("promtool check rules: %v\n%s", err, out)
	}
	_, pattern, _ := strings.Cut(rules, `outcome=~"`)
	pattern, _, _ = strings.Cut(pattern, `"`)
	named := strings.Split(pattern, "|")
	lost := program.LossNames()
	for _, name := range lost {
		if !slices.Contains(named, name) {
			t.Errorf("no alert when records are lost as %s", name)
		}
	}
	if len(named) != len(lost) {
		t.Errorf("alerts for %q, losses are %v", named, lost)
	}
}

// TestMetricLine: names with labels, kinds, and numbers that are left out.
func TestMetricLine(t *testing.T) {
	f := func(want string, samples []sample, format string) {
		t.Helper()
		var b bytes.Buffer
		writeMetrics(&b, time.Unix(0, 0), samples, format)
		if got := b.String(); got != "1970-01-01T00:00:00Z metrics: "+want+"\n" {
			t.Errorf("%s: %s, want %s", format, got, want)
		}
	}
	list := []sample{
		{"dnsmonster_sensor_x_total", []string{"a:b c"}, 3, true}, {"dnsmonster_sensor_y", nil, 0, false}, {"packetLossPercent", nil, 0.25, false},
		{"go_threads", nil, 8, false}, {"go_goroutines", nil, 9, false},
	}
	f(`{"dnsmonster_sensor_x_total{a=\"b c\"}":{"count":3},"go_goroutines":{"value":9},"packetLossPercent":{"value":0.25}}`, list, "json")
	f(`dnsmonster_sensor_x_total{a="b c"}=3 packetLossPercent=0.25 go_goroutines=9`, list, "kv")
	f("{}", nil, "json")
	f("", nil, "kv")
}

// TestLegacyMetrics: dnsmonster's names, from the ledgers of an interface and of a
// file, for every output that it has.
func TestLegacyMetrics(t *testing.T) {
	f := func(want string, ledgers ...account.Ledger) {
		t.Helper()
		var b bytes.Buffer
		writeMetrics(&b, time.Unix(0, 0), legacySamples(ledgers), "kv")
		if got := strings.TrimPrefix(b.String(), "1970-01-01T00:00:00Z metrics: "); got != want+"\n" {
			t.Errorf("got  %swant %s", got, want)
		}
	}
	ledger := func(name, label string, in uint64, outcomes ...account.Line) account.Ledger {
		return account.Ledger{Name: name, Label: label, In: in, Outcomes: outcomes}
	}
	n := func(name string, value uint64) account.Line { return account.Line{Name: name, Value: value} }
	lost := func(name string, value uint64) account.Line {
		return account.Line{Name: name, Value: value, Lost: true}
	}
	f("packetsCaptured=0 packetsDropped=0 packetLossPercent=0 packetsDuplicate=0 packetsOverRatio=0")
	f("packetsCaptured=90 packetsDropped=0 packetLossPercent=0 packetsDuplicate=4 packetsOverRatio=5",
		ledger("packet", "", 90, n("duplicate", 4), n("sampled_out", 5)))
	f("packetsCaptured=80 packetsDropped=20 packetLossPercent=25 packetsDuplicate=0 packetsOverRatio=7",
		ledger("kernel", "tc ingress", 90, n("delivered", 60), lost("ring_full", 15), lost("copy_failed", 5), n("sampled_out", 7), n("not_dns", 3)),
		ledger("packet", "", 60))
	f("packetsCaptured=0 packetsDropped=0 packetLossPercent=0 packetsDuplicate=0 packetsOverRatio=0 "+
		"psqlSentToOutput=1 psqlSkipped=2 psqlFailed=18 natsSentToOutput=0 natsSkipped=0 natsErrors=9",
		ledger("delivery", "psql", 21, n("delivered", 1), n("skipped", 2), lost("refused", 3), lost("queue_full", 4), lost("spool_evicted", 5), lost("abandoned", 6)),
		ledger("delivery", "nats", 9, lost("refused", 9)))
	// What is not known is left out.
	unknown := account.Line{Name: "ring_full", Unknown: true, Lost: true}
	f("packetsDuplicate=0 packetsOverRatio=7",
		ledger("kernel", "", 0, n("delivered", 60), unknown, n("sampled_out", 7)), ledger("packet", "", 60))
	f("packetsDuplicate=4", ledger("kernel", "", 0), ledger("packet", "", 60, n("duplicate", 4)))
}

// capturing is what a capture has counted.
type capturing struct{ now atomic.Pointer[Captured] }

func (c *capturing) captured() (Captured, error) { return *c.now.Load(), nil }

func (c *capturing) count(delivered, ringFull, copyFailed uint64) {
	lost := ringFull + copyFailed
	c.now.Store(&Captured{Frames: delivered + lost, Lost: lost, Known: true})
}

// TestLossMeter: the share of the last interval, and 0 where nothing passed.
func TestLossMeter(t *testing.T) {
	source := &capturing{}
	source.count(60, 30, 10)
	m := newLossMeter(source.captured)
	wantRatio := func(want float64) {
		t.Helper()
		if got := math.Float64frombits(m.ratio.Load()); got != want {
			t.Errorf("the ratio is %v, want %v", got, want)
		}
	}
	wantRatio(0)
	m.measure()
	wantRatio(0.4)
	m.measure()
	wantRatio(0) // nothing passed
	source.count(70, 40, 10)
	m.measure()
	wantRatio(0.5)
	m.measure()
	wantRatio(0)
	source.count(70, 50, 10)
	quit := make(chan struct{})
	defer close(quit)
	go m.follow(time.Hour, quit)
	wantRatio(0) // the interval is not over
}

// TestLossMeterFollows: it measures at the end of each interval, until it is told to stop.
func TestLossMeterFollows(t *testing.T) {
	var asked atomic.Uint64 // every interval has one more frame, which is lost
	m := newLossMeter(func() (Captured, error) {
		n := asked.Add(1)
		return Captured{Frames: n, Lost: n, Known: true}, nil
	})
	quit, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		m.follow(time.Millisecond, quit)
	}()
	await.True(t, "three intervals are over", func() bool { return asked.Load() >= 4 })
	close(quit)
	<-ended
	if got := math.Float64frombits(m.ratio.Load()); got != 1 {
		t.Errorf("the ratio is %v, want 1", got)
	}
	now := asked.Load()
	time.Sleep(5 * time.Millisecond)
	if asked.Load() != now {
		t.Error("it measures after it was told to stop")
	}
}

// TestPrometheusPaths: any path can be served, and only what is below it answers.
func TestPrometheusPaths(t *testing.T) {
	f := func(path, ask string, want int) {
		t.Helper()
		m, err := listenPrometheus("http://127.0.0.1:0" + path)
		if err != nil {
			t.Fatal(err)
		}
		defer m.close()
		m.serve(prometheus.NewRegistry(), slog.New(slog.DiscardHandler), func(error) {})
		r, err := http.Get("http://" + m.listener.Addr().String() + ask)
		if err != nil {
			t.Fatal(err)
		}
		r.Body.Close()
		if r.StatusCode != want {
			t.Errorf("%s: %s is answered with %d, want %d", path, ask, r.StatusCode, want)
		}
	}
	f("", "/metrics", 200)
	f("/metrics", "/metrics", 200)
	f("/metrics", "/metrics?format=text", 200)
	f("/metrics", "/metrics/x", 404)
	f("/metrics", "/", 404)
	f("/", "/metrics", 200)
	f("/a/", "/a/metrics", 200)
	f("/a/", "/b/metrics", 404)
	f("/{name", "/%7Bname", 200)
	f("/my%20metrics", "/my%20metrics", 200)
	f("//metrics", "//metrics", 200)
}

func TestPrometheusAddress(t *testing.T) {
	f := func(endpoint, want string) {
		t.Helper()
		address, path, err := prometheusAddress(endpoint)
		got := address + path
		if err != nil {
			got = "error"
		}
		if got != want {
			t.Errorf("%s: %s, want %s", endpoint, got, want)
		}
	}
	f("", "")
	f("http://:2112/metrics", "127.0.0.1:2112/metrics")
	f("http://[2001:db8::1]:2112", "[2001:db8::1]:2112/metrics")
	f("https://127.0.0.1:2112/metrics", "error")
	f("127.0.0.1:2112", "error")
	f("http://127.0.0.1/metrics", "error")
	f("http://user:secret@127.0.0.1:2112/metrics", "error")
	f("http://127.0.0.1:2112/metrics?token=secret", "error")
}

// TestMetricsEndpointFails: an endpoint that ends before the sensor does is a failure of
// its own.
func TestMetricsEndpointFails(t *testing.T) {
	m, err := listenPrometheus("http://127.0.0.1:0/m")
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
		t.Error("failed is not called")
	}
}

// TestUnknownNumbers: what a back end cannot know is unknown in the line of rates and
// absent from the metrics, and never 0.
func TestUnknownNumbers(t *testing.T) {
	ledger := account.Ledger{
		Name: "kernel", Label: "tap", InUnknown: true,
		Outcomes: []account.Line{
			{Name: "not_dns", Unknown: true}, {Name: "ring_full", Value: 3, Lost: true}, {Name: "copy_failed", Unknown: true, Lost: true}, {Name: "delivered", Value: 9},
		},
		Meters: []account.Line{{Name: "bytes", Unknown: true}, {Name: "brand_new", Value: 4}},
	}
	delivery := account.Ledger{Name: "delivery", Held: 7, Outcomes: make([]account.Line, account.Delivered+1)}
	list := []account.Ledger{ledger, {Name: "packet"}, delivery}
	now := time.Unix(100, 0)
	if line := totalsOf(list, now).line(totals{at: now.Add(-time.Second)}); !strings.Contains(line, " 0 packets/s read, at least 3 LOST, 7 waiting") {
		t.Errorf("the line of rates is %q", line)
	}
	frames := []account.Ledger{{Name: "kernel", Label: "dnstap", In: 5}}
	if line := totalsOf(frames, now).line(totals{at: now.Add(-time.Second)}); !strings.Contains(line, " 5 frames/s seen, ") {
		t.Errorf("the line of rates of dnstap is %q", line)
	}
	for _, known := range []bool{true, false} { // of a hook's meter of frames that came without their end
		l := account.Ledger{Name: "kernel", Outcomes: []account.Line{{Value: 3, Lost: true}}, Meters: []account.Line{{Unknown: !known, Lost: true}}}
		if line := totalsOf([]account.Ledger{l}, now).line(totals{}); strings.Contains(line, ", 3 LOST, ") != known {
			t.Errorf("known %v: the line of rates is %q", known, line)
		}
	}
	capture := Captured{Frames: 12, Lost: 3}
	captured := func() (Captured, error) { return capture, nil }
	registry := prometheus.NewRegistry()
	registry.MustRegister(&ledgerCollector{ledgers: func() ([]account.Ledger, error) { return list, nil }}, newLossMeter(captured))
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var shown []string
	for _, s := range flatten(families) {
		if strings.Contains(s.key(), `ledger="kernel"`) || strings.Contains(s.key(), "loss_ratio") {
			shown = append(shown, fmt.Sprint(s.key(), " ", s.value))
		}
	}
	if got, want := strings.Join(shown, "\n"), `dnsmonster_sensor_ledger_held{ledger="kernel",part="tap"} 0
dnsmonster_sensor_ledger_outcomes_total{ledger="kernel",outcome="delivered",part="tap"} 9
dnsmonster_sensor_ledger_outcomes_total{ledger="kernel",outcome="ring_full",part="tap"} 3
dnsmonster_sensor_meter_total{ledger="kernel",meter="brand_new",part="tap"} 4`; got != want {
		t.Errorf("Prometheus gets\n%s\nwant\n%s", got, want)
	}
	for _, s := range legacySamples(list) {
		if s.name == "packetsDropped" || s.name == "packetLossPercent" || s.name == "packetsCaptured" {
			t.Errorf("%s is %v, and not known", s.name, s.value)
		}
	}
	// Once everything is known, the ratio is there.
	capture.Known = true
	loss := newLossMeter(captured)
	loss.measure()
	registry = prometheus.NewRegistry()
	registry.MustRegister(loss)
	if families, err = registry.Gather(); err != nil || len(flatten(families)) != 1 || flatten(families)[0].value != 0.25 {
		t.Errorf("the ratio of loss is %v, want 0.25 (%v)", flatten(families), err)
	}
	capture.Known = false
	loss.measure()
	if families, err = registry.Gather(); err != nil || len(families) != 0 {
		t.Errorf("the ratio of loss is %v, want none once it is unknown (%v)", flatten(families), err)
	}
}

// TestSamplesAreFinite: JSON holds neither NaN nor infinity.
func TestSamplesAreFinite(t *testing.T) {
	registry := prometheus.NewRegistry()
	for name, v := range map[string]float64{"nan": math.NaN(), "infinite": math.Inf(1), "finite": 1} {
		g := prometheus.NewGauge(prometheus.GaugeOpts{Name: name})
		g.Set(v)
		registry.MustRegister(g)
	}
	families, err := registry.Gather()
	if list := flatten(families); err != nil || len(list) != 1 || list[0].name != "finite" {
		t.Errorf("samples %+v (%v), want the finite one", list, err)
	}
}

// TestFailuresAreAMetric: each part that can fail has a number, 0 included.
func TestFailuresAreAMetric(t *testing.T) {
	registry := prometheus.NewRegistry()
	registry.MustRegister(&failureCollector{func() []Failure { return []Failure{{What: "lane", Count: 2}, {What: "output", Part: "psql"}} }})
	families, err := registry.Gather()
	var shown []string
	for _, s := range flatten(families) {
		shown = append(shown, fmt.Sprint(s.key(), " ", s.value))
	}
	if got, want := strings.Join(shown, "\n"), `dnsmonster_sensor_failures_total{what="lane"} 2
dnsmonster_sensor_failures_total{part="psql",what="output"} 0`; got != want {
		t.Errorf("Prometheus gets\n%s\nwant\n%s (%v)", got, want, err)
	}
}
