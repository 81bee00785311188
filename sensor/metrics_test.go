package sensor

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"dnsmonster-sensor/sensor/capture"
	"dnsmonster-sensor/test/lab"
	"dnsmonster-sensor/userspace/account"
)

// freePort is one that nobody listens on now.
func freePort(t *testing.T, network string) int {
	t.Helper()
	port, err := lab.FreePort(network)
	if err != nil {
		t.Fatal(err)
	}
	return port
}

// scrape asks until there is an answer.
func scrape(t *testing.T, url string) string {
	t.Helper()
	client := http.Client{Timeout: stuck, Transport: &http.Transport{DisableKeepAlives: true}}
	var err error
	for end := time.Now().Add(stuck); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		var r *http.Response
		if r, err = client.Get(url); err == nil {
			defer r.Body.Close()
			b, err := io.ReadAll(r.Body)
			if err != nil {
				t.Fatal(err)
			}
			return string(b)
		}
	}
	t.Fatalf("%s does not answer: %v", url, err)
	return ""
}

// value finds one sample in Prometheus's text; -1 where it is not.
func value(text, sample string) float64 {
	m := regexp.MustCompile(`(?m)^` + regexp.QuoteMeta(sample) + ` (\S+)$`).FindStringSubmatch(text)
	if m == nil {
		return -1
	}
	v, err := strconv.ParseFloat(m[1], 64)
	if err != nil {
		return -1
	}
	return v
}

// TestPrometheus: promtool finds nothing wrong with what is served, and the
// process's and Go's own numbers are there.
func TestPrometheus(t *testing.T) {
	t.Parallel()
	lab.Need(t, "promtool")
	for _, legacy := range []bool{false, true} {
		url := fmt.Sprintf("http://127.0.0.1:%d/metrics", freePort(t, "tcp"))
		p, in := fed(t, queries(500), "--gomaxprocs=1", "--metricendpointtype=prometheus", "--metricprometheusendpoint="+url, "--servername=ns-1.example",
			fmt.Sprintf("--metriclegacynames=%v", legacy))
		delivered := `dnsmonster_sensor_ledger_outcomes_total{ledger="message",outcome="event",part=""}`
		if legacy {
			delivered = "dnsmonster_ns_1_example_packetsCaptured"
		}
		text := scrape(t, url)
		for end := time.Now().Add(stuck); value(text, delivered) != 500; text = scrape(t, url) {
			if time.Now().After(end) {
				t.Fatalf("%s is %v, want 500:\n%s", delivered, value(text, delivered), text)
			}
			time.Sleep(20 * time.Millisecond)
		}
		in.Close()
		p.wait(time.Minute).expect(t, exitOK)
		if strings.Contains(p.log(), " metrics: ") {
			t.Errorf("metrics on stderr though the type is prometheus:\n%s", p.log())
		}
		wants := []string{"go_goroutines ", "go_sched_gomaxprocs_threads 1\n", "process_resident_memory_bytes "}
		if legacy {
			wants = append(wants, "dnsmonster_ns_1_example_packetLossPercent 0", "dnsmonster_ns_1_example_stdoutSentToOutput ", "dnsmonster_ns_1_example_stdoutSkipped 0")
		} else {
			wants = append(wants, `dnsmonster_sensor_build_info{commit=`, `server="ns-1.example"`, "dnsmonster_sensor_capture_loss_ratio 0",
				`dnsmonster_sensor_output_oldest_undelivered_seconds{output="stdout"} `, `dnsmonster_sensor_output_batch_rows_bucket{output="stdout",le="1000"} `)
		}
		for _, want := range wants {
			if !strings.Contains(text, want) {
				t.Errorf("legacy %v: lacks %q:\n%s", legacy, want, text)
			}
		}
		if strings.Contains(text, "dnsmonster_sensor_") == legacy {
			t.Errorf("legacy %v: the wrong names:\n%s", legacy, text)
		}
		if legacy {
			continue // dnsmonster's names are not what promtool likes
		}
		tool := exec.Command("promtool", "check", "metrics")
		tool.Stdin = strings.NewReader(text)
		if out, err := tool.CombinedOutput(); err != nil || len(out) > 0 {
			t.Errorf("promtool check metrics: %v\n%s", err, out)
		}
	}
}

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

// TestAlertRules: Prometheus takes the rules of docs/metrics.md, and they speak of
// outcomes that mean a loss here.
// TestMetricsFullOfConnections: connections that others leave open take neither
// the sensor's descriptors nor the metrics from who reads them.
func TestMetricsFullOfConnections(t *testing.T) {
	t.Parallel()
	address := fmt.Sprintf("127.0.0.1:%d", freePort(t, "tcp"))
	url := "http://" + address + "/metrics"
	p, in := fed(t, queries(1), "--metricprometheusendpoint="+url)
	scrape(t, url)
	for i := range 300 {
		c, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if i%2 == 0 {
			fmt.Fprintf(c, "GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n")
		}
	}
	if n := value(scrape(t, url), "process_open_fds"); n == 0 || n > 100 {
		t.Errorf("%v descriptors are open", n)
	}
	r, err := http.Post(url, "text/plain", strings.NewReader("x"))
	if err != nil {
		t.Fatal(err)
	}
	r.Body.Close()
	if r.StatusCode != http.StatusMethodNotAllowed || r.Header.Get("Allow") != "GET, HEAD" {
		t.Errorf("POST: %s, %v", r.Status, r.Header)
	}
	in.Close()
	p.wait(time.Minute).expect(t, exitOK)
}

func TestAlertRules(t *testing.T) {
	lab.Need(t, "promtool")
	page, err := os.ReadFile("../docs/metrics.md")
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
	lost := lossNames()
	for _, name := range lost {
		if !slices.Contains(named, name) {
			t.Errorf("no alert when records are lost as %s", name)
		}
	}
	if len(named) != len(lost) {
		t.Errorf("alerts for %q, losses are %v", named, lost)
	}
}

// TestStatsd sends to a real statsd server, which counts lines that it cannot
// read, and shows what it has understood.
func TestStatsd(t *testing.T) {
	if path, err := exec.Command("go", "env", "GOPATH").Output(); err == nil { // where install-tools.sh puts it
		t.Setenv("PATH", os.Getenv("PATH")+":"+filepath.Join(strings.TrimSpace(string(path)), "bin"))
	}
	lab.Need(t, "statsd_exporter")
	udp, web := freePort(t, "udp"), freePort(t, "tcp")
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	server := exec.CommandContext(ctx, "statsd_exporter", fmt.Sprintf("--statsd.listen-udp=127.0.0.1:%d", udp), "--statsd.listen-tcp=",
		fmt.Sprintf("--web.listen-address=127.0.0.1:%d", web), "--log.level=error")
	var log journal
	server.Stderr = &log
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		cancel()
		server.Wait()
	}()
	url := fmt.Sprintf("http://127.0.0.1:%d/metrics", web)
	scrape(t, url)
	agent := fmt.Sprintf("--metricstatsdagent=127.0.0.1:%d", udp)
	f := func(want map[string]float64, args ...string) {
		t.Helper()
		p, in := fed(t, queries(700), append([]string{"--metricendpointtype=statsd", agent, "--metricflushinterval=100ms"}, args...)...)
		for intervals, lines := 0, 0.0; intervals < 4; { // counters must not add up
			if now := value(scrape(t, url), "statsd_exporter_lines_total"); now != lines {
				intervals, lines = intervals+1, now
			}
			time.Sleep(110 * time.Millisecond)
		}
		in.Close()
		p.wait(time.Minute).expect(t, exitOK)
		var text string
		for end := time.Now().Add(stuck); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
			text = scrape(t, url)
			ok := true
			for sample, v := range want {
				ok = ok && value(text, sample) == v
			}
			if ok {
				break
			}
		}
		for sample, v := range want {
			if got := value(text, sample); got != v {
				t.Errorf("%q: the server has %s = %v, want %v\n%s", args, sample, got, v, log.String())
			}
		}
	}
	f(map[string]float64{
		`dnsmonster_sensor_ledger_outcomes_total{ledger="delivery",outcome="delivered",part="stdout"}`: 700,
		`dnsmonster_sensor_ledger_in_total{ledger="packet"}`:                                           700,
		`dnsmonster_sensor_ledger_unaccounted{ledger="message"}`:                                       0,
		"dnsmonster_sensor_process_max_fds":                                                            maxFiles(t),
	})
	f(map[string]float64{"packetsCaptured": 700, "stdoutSentToOutput": 700, "packetLossPercent": 0}, "--metriclegacynames")
	text := scrape(t, url)
	for _, sample := range []string{"statsd_exporter_sample_errors_total", "statsd_exporter_tag_errors_total", "statsd_exporter_events_conflict_total"} {
		for line := range strings.Lines(text) {
			if strings.HasPrefix(line, sample) && !strings.HasSuffix(line, " 0\n") {
				t.Errorf("the server could not read something: %s", line)
			}
		}
	}
	if value(text, "statsd_exporter_lines_total") < 100 {
		t.Errorf("the server has read too few lines:\n%s", text)
	}
}

func maxFiles(t *testing.T) float64 {
	t.Helper()
	var r syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &r); err != nil {
		t.Fatal(err)
	}
	return float64(r.Cur)
}

// metricLines are the lines on stderr, without time and word.
func metricLines(t *testing.T, log string) (lines []string) {
	t.Helper()
	for line := range strings.Lines(log) {
		stamp, rest, ok := strings.Cut(strings.TrimRight(line, "\n"), " metrics: ")
		if !ok {
			continue
		}
		if _, err := time.Parse(time.RFC3339, stamp); err != nil {
			t.Errorf("a line of metrics without its time: %s", line)
		}
		lines = append(lines, rest)
	}
	return lines
}

// TestDefect21Metrics: dnsmonster ignored [metric] in a file, and a NaN broke
// the line.
func TestDefect21Metrics(t *testing.T) {
	file := write(t, queries(0)) // nothing captured: the loss is 0 of 0
	for _, format := range []string{"json", "kv"} {
		ini := write(t, fmt.Appendf(nil, "[metric]\nmetricformat = %s\nmetriclegacynames = true\n", format))
		p := runs(t, "replay", file, "--config", ini)
		lines := metricLines(t, p.log())
		if len(lines) != 1 {
			t.Fatalf("%s: %d lines of metrics, want the last one:\n%s", format, len(lines), p.log())
		}
		if strings.Contains(lines[0], "NaN") {
			t.Errorf("%s: %s", format, lines[0])
		}
		if format == "kv" {
			if !strings.HasPrefix(lines[0], "packetsCaptured=0 packetsDropped=0 packetLossPercent=0 ") {
				t.Errorf("kv: %s", lines[0])
			}
			continue
		}
		var numbers map[string]map[string]float64
		if err := json.Unmarshal([]byte(lines[0]), &numbers); err != nil {
			t.Fatalf("%v: %s", err, lines[0])
		}
		for name, kind := range map[string]string{
			"packetsCaptured": "value", "packetsDropped": "value", "packetLossPercent": "value", "packetsDuplicate": "count",
			"packetsOverRatio": "count", "stdoutSentToOutput": "count", "stdoutSkipped": "count", "stdoutFailed": "count",
		} {
			if v, ok := numbers[name][kind]; !ok || v != 0 {
				t.Errorf("%s = %v, want %s 0", name, numbers[name], kind)
			}
		}
	}
}

// TestMetricsOnStderr: one line each interval and a last one, with the numbers
// that the books have; none where that is asked for.
func TestMetricsOnStderr(t *testing.T) {
	t.Parallel()
	p, in := fed(t, queries(300), "--metricflushinterval=100ms")
	begun := time.Now()
	p.waitForCount(" metrics: ", 6)
	in.Close()
	p.wait(time.Minute).expect(t, exitOK)
	lines := metricLines(t, p.log())
	if most := 10 + int(time.Since(begun)/(100*time.Millisecond)); len(lines) > most {
		t.Errorf("%d lines, want one each 100 ms, at most %d", len(lines), most)
	}
	var last map[string]map[string]float64
	if err := json.Unmarshal([]byte(lines[len(lines)-1]), &last); err != nil {
		t.Fatal(err)
	}
	if got := last[`dnsmonster_sensor_ledger_outcomes_total{ledger="delivery",outcome="delivered",part="stdout"}`]["count"]; got != 300 {
		t.Errorf("the last line says %v delivered, want 300: %s", got, lines[len(lines)-1])
	}
	if _, ok := last["process_resident_memory_bytes"]["value"]; !ok {
		t.Errorf("nothing of the process: %s", lines[len(lines)-1])
	}
	file := write(t, queries(10))
	if lines := metricLines(t, runs(t, "replay", file, "--metricendpointtype=").log()); len(lines) > 0 {
		t.Errorf("%d lines of metrics, want none", len(lines))
	}
	log := runs(t, "replay", file, "--metricendpointtype=stderr", "--metricstatsdagent=127.0.0.1:9").log()
	if !strings.Contains(log, `metricstatsdagent has no effect: metricendpointtype names another one (from the command line)`) {
		t.Errorf("an endpoint that is not used is not named:\n%s", log)
	}
}

// TestMetricLine: names with labels, kinds, and what is left out.
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

// TestLegacyMetrics: dnsmonster's names, from the books of an interface and of a
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

// countingSource is a source whose kernel has counted.
type countingSource struct {
	capture.Source
	counters atomic.Pointer[[]capture.Counter]
}

func (s *countingSource) Live() bool { return true }

func (s *countingSource) Kernel() (capture.KernelStats, error) {
	return capture.KernelStats{Hooks: []capture.HookStats{{Hook: "tap", Counters: *s.counters.Load()}}}, nil
}

func (s *countingSource) count(delivered, ringFull, copyFailed uint64) {
	s.counters.Store(&[]capture.Counter{
		{Name: "delivered", Kind: capture.CountsGiven, Value: delivered, Known: true},
		{Name: "ring_full", Kind: capture.CountsLost, Value: ringFull, Known: true},
		{Name: "copy_failed", Kind: capture.CountsLost, Value: copyFailed, Known: true},
	})
}

// TestLossMeter: the share of the last interval, and 0 where nothing passed.
func TestLossMeter(t *testing.T) {
	source := &countingSource{}
	source.count(60, 30, 10)
	m := newLossMeter(&books{source: source})
	wantRatio := func(want float64) {
		t.Helper()
		if got := math.Float64frombits(m.ratio.Load()); got != want {
			t.Errorf("the ratio is %v, want %v", got, want)
		}
	}
	wantRatio(0)
	for _, want := range []float64{0.4, 0, 0.5, 0} {
		m.measure()
		wantRatio(want)
		if want == 0 {
			source.count(70, 40, 10)
		}
	}
	source.count(70, 50, 10)
	quit := make(chan struct{})
	defer close(quit)
	go m.follow(time.Hour, quit)
	wantRatio(0) // the interval is not over
	go m.follow(time.Millisecond, quit)
	end, full := time.Now().Add(stuck), uint64(50)
	for ; m.ratio.Load() == 0 && time.Now().Before(end); full += 10 {
		source.count(70, full, 10)
		time.Sleep(100 * time.Microsecond)
	}
	if m.ratio.Load() == 0 {
		t.Error("nobody measures")
	}
}

// TestPrometheusPaths: any path can be served, and only what is below it answers.
func TestPrometheusPaths(t *testing.T) {
	f := func(path, ask string, want int) {
		t.Helper()
		m, err := listenMetrics("http://127.0.0.1:0" + path)
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
