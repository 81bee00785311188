//go:build linux

package scenes

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"dnsmonster-sensor/test/await"
	"dnsmonster-sensor/test/lab"
	"dnsmonster-sensor/test/packets"
	"dnsmonster-sensor/test/program"
)

// TestMetricsSayWhatTheLedgersSay asks the Prometheus endpoint.
func TestMetricsSayWhatTheLedgersSay(t *testing.T) {
	t.Parallel()
	port := lab.FreePort(t, "tcp")
	host := lab.New(t).Server
	p := program.Attach(t, host, fmt.Sprintf("--metricprometheusendpoint=http://:%d/m", port))
	// A process, because an HTTP client dials on a thread outside the host.
	body := host.Run(t, "bash", "-c", fmt.Sprintf(`exec 3<>/dev/tcp/127.0.0.1/%d; printf 'GET /m HTTP/1.0\r\n\r\n' >&3; cat <&3`, port))
	p.Stop().Expect(t, program.ExitOK)
	for _, want := range []string{
		`dnsmonster_sensor_ledger_in_total{ledger="kernel",part="tc ingress"} `,
		`dnsmonster_sensor_ledger_outcomes_total{ledger="delivery",outcome="delivered",part="stdout"} 0`,
		`dnsmonster_sensor_ledger_unaccounted{ledger="packet",part=""} 0`,
	} {
		if !strings.Contains(body, want) {
			t.Errorf("metrics lack %s:\n%s", want, body)
		}
	}
}

// TestPrometheus: promtool accepts the page, and it has the metrics of the process and of
// Go.
func TestPrometheus(t *testing.T) {
	t.Parallel()
	lab.Need(t, "promtool")
	for _, legacy := range []bool{false, true} {
		url := fmt.Sprintf("http://127.0.0.1:%d/metrics", lab.FreePort(t, "tcp"))
		p, in := program.Feed(t, packets.Queries(500), "--gomaxprocs=1", "--metricendpointtype=prometheus", "--metricprometheusendpoint="+url, "--servername=ns-1.example",
			fmt.Sprintf("--metriclegacynames=%v", legacy))
		delivered := `dnsmonster_sensor_ledger_outcomes_total{ledger="message",outcome="event",part=""}`
		if legacy {
			delivered = "dnsmonster_ns_1_example_packetsCaptured"
		}
		text := ""
		if !await.Within(await.Limit, func() bool { text = program.Scrape(t, url); return program.Sample(text, delivered) == 500 }) {
			t.Fatalf("%s is %v, want 500:\n%s", delivered, program.Sample(text, delivered), text)
		}
		in.Close()
		p.Wait(time.Minute).Expect(t, program.ExitOK)
		if strings.Contains(p.Log(), " metrics: ") {
			t.Errorf("metrics on stderr though the type is prometheus:\n%s", p.Log())
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
			continue // promtool rejects dnsmonster's names
		}
		tool := exec.Command("promtool", "check", "metrics")
		tool.Stdin = strings.NewReader(text)
		if out, err := tool.CombinedOutput(); err != nil || len(out) > 0 {
			t.Errorf("promtool check metrics: %v\n%s", err, out)
		}
	}
}

// TestMetricsFullOfConnections: connections that clients leave open neither exhaust the
// sensor's descriptors nor keep others from the metrics.
func TestMetricsFullOfConnections(t *testing.T) {
	t.Parallel()
	address := fmt.Sprintf("127.0.0.1:%d", lab.FreePort(t, "tcp"))
	url := "http://" + address + "/metrics"
	p, in := program.Feed(t, packets.Queries(1), "--metricprometheusendpoint="+url)
	program.Scrape(t, url)
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
	if n := program.Sample(program.Scrape(t, url), "process_open_fds"); n == 0 || n > 100 {
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
	p.Wait(time.Minute).Expect(t, program.ExitOK)
}

// TestStatsd sends to a real statsd server, which counts lines that it cannot read, and
// shows the metrics that it has read.
func TestStatsd(t *testing.T) {
	server := lab.StartStatsd(t)
	url := server.MetricsURL
	f := func(want map[string]float64, args ...string) {
		t.Helper()
		p, in := program.Feed(t, packets.Queries(700), append([]string{"--metricendpointtype=statsd", "--metricstatsdagent=" + server.Addr, "--metricflushinterval=100ms"}, args...)...)
		lines := func() float64 { return program.Sample(program.Scrape(t, url), "statsd_exporter_lines_total") }
		for range 4 { // intervals: counters must not add up
			before := lines()
			server.Await("it has read more lines", func() bool { return lines() > before })
			time.Sleep(110 * time.Millisecond) // the other lines of the same interval
		}
		in.Close()
		p.Wait(time.Minute).Expect(t, program.ExitOK)
		var text string
		await.Within(await.Limit, func() bool {
			text = program.Scrape(t, url)
			for sample, v := range want {
				if program.Sample(text, sample) != v {
					return false
				}
			}
			return true
		})
		for sample, v := range want {
			if got := program.Sample(text, sample); got != v {
				t.Errorf("%q: the server has %s = %v, want %v\n%s", args, sample, got, v, server.Log.String())
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
	text := program.Scrape(t, url)
	for _, sample := range []string{"statsd_exporter_sample_errors_total", "statsd_exporter_tag_errors_total", "statsd_exporter_events_conflict_total"} {
		for line := range strings.Lines(text) {
			if strings.HasPrefix(line, sample) && !strings.HasSuffix(line, " 0\n") {
				t.Errorf("the server could not read something: %s", line)
			}
		}
	}
	if program.Sample(text, "statsd_exporter_lines_total") < 100 {
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

// metricLines returns the lines of metrics on stderr, without time and prefix.
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

// TestDefect21Metrics: dnsmonster ignored [metric] in a file, and a NaN broke the line.
func TestDefect21Metrics(t *testing.T) {
	file := packets.TempFile(t, packets.Queries(0)) // nothing captured: the loss is 0 out of 0
	for _, format := range []string{"json", "kv"} {
		ini := packets.TempFile(t, fmt.Appendf(nil, "[metric]\nmetricformat = %s\nmetriclegacynames = true\n", format))
		p := program.Run(t, "replay", file, "--config", ini)
		lines := metricLines(t, p.Log())
		if len(lines) != 1 {
			t.Fatalf("%s: %d lines of metrics, want the last one:\n%s", format, len(lines), p.Log())
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

// TestMetricsOnStderr: one line per interval and a last one, with the numbers of the
// ledgers; no lines on request.
func TestMetricsOnStderr(t *testing.T) {
	t.Parallel()
	p, in := program.Feed(t, packets.Queries(300), "--metricflushinterval=100ms")
	begun := time.Now()
	p.WaitForCount(" metrics: ", 6)
	in.Close()
	p.Wait(time.Minute).Expect(t, program.ExitOK)
	lines := metricLines(t, p.Log())
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
	file := packets.TempFile(t, packets.Queries(10))
	if lines := metricLines(t, program.Run(t, "replay", file, "--metricendpointtype=").Log()); len(lines) > 0 {
		t.Errorf("%d lines of metrics, want none", len(lines))
	}
	log := program.Run(t, "replay", file, "--metricendpointtype=stderr", "--metricstatsdagent=127.0.0.1:9").Log()
	if !strings.Contains(log, `metricstatsdagent has no effect: metricendpointtype names another endpoint (from the command line)`) {
		t.Errorf("an endpoint that is not used is not named:\n%s", log)
	}
}
