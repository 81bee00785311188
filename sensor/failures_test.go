package sensor

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"dnsmonster-sensor/sensor/capture"
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
	var log journal
	source := &broken{goOn: make(chan struct{})}
	p := toNowhere(t, source)
	p.log = slog.New(slog.NewTextHandler(&log, nil))
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		p.runUntilEnd(time.Second, newSignals())
	}()
	for end := time.Now().Add(stuck); failed(t, p, "lane", "") == 0; time.Sleep(time.Millisecond) {
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

// An input that cannot be read is in the log and in the metrics while the next one
// is read.
func TestInputFails(t *testing.T) {
	bad := queries(2)
	p := prepared(t, nil, "replay", write(t, bad[:len(bad)-1]), "-", "--metricflushinterval=100ms")
	in, err := p.cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	p.run()
	p.waitFor(`level=ERROR msg="an input cannot be read to its end"`)
	p.waitFor(`"dnsmonster_sensor_failures_total{what=\"input\"}":{"count":1}`)
	in.Write(queries(5))
	in.Close()
	p.wait(time.Minute).expect(t, exitFailure)
	if got := count(t, p.records).total(); got != 6 {
		t.Errorf("%d records, want 6", got)
	}
}

// TestFullDevice: an output that will never take anything ends a replay, with the
// reason and how far it came; with another output the replay goes on.
func TestFullDevice(t *testing.T) {
	path := longer(t, write(t, queries(1000)), 100)
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer full.Close()
	f := func(wantLog []string, args ...string) result {
		t.Helper()
		cmd := command(nil, append([]string{"replay", path, "--stdoutoutputtype=1"}, args...)...)
		var log bytes.Buffer
		cmd.Stdout, cmd.Stderr = full, &log
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		late := time.AfterFunc(time.Minute, func() { cmd.Process.Kill() })
		defer late.Stop()
		cmd.Wait()
		r := result{code: cmd.ProcessState.ExitCode(), log: log.String(), books: parseBooks(log.String())}
		r.expect(t, exitFailure)
		r.wantLog(t, append(wantLog,
			`level=ERROR msg="output gives up: what it has not delivered and what is still to come for it is abandoned" output=stdout records=`,
			"\ndnsmonster-sensor: output stdout: write stdout: no space left on device\n", " abandoned (delivery, stdout)")...)
		if strings.Contains(r.log, "other writers") {
			t.Errorf("that is not the reason:\n%s", r.log)
		}
		return r
	}
	f([]string{"\ndnsmonster-sensor: interrupted: " + path + " was read up to offset "})
	dir := t.TempDir()
	r := f([]string{`"dnsmonster_sensor_failures_total{part=\"stdout\",what=\"output\"}":{"count":1}`}, "--fileoutputtype=1", "--fileoutputpath="+dir)
	if r.books["delivery file"]["delivered"] != 100_000 || strings.Contains(r.log, "interrupted") {
		t.Errorf("the file did not get all:\n%s", r.log)
	}
}

// TestOneReaderLeaves: the end of a pipe is quiet where nobody else reads, and not
// where another output lives.
func TestOneReaderLeaves(t *testing.T) {
	cmd, out := stalled(t, longer(t, write(t, queries(1000)), 100), "--stdoutoutputtype=1", "--fileoutputtype=1", "--fileoutputpath="+t.TempDir())
	out.Close()
	cmd.Wait()
	r := result{code: cmd.ProcessState.ExitCode(), log: fmt.Sprint(cmd.Stderr)}
	r.expect(t, exitUndelivered)
	r.wantLog(t, `level=ERROR msg="an output ends: its reader has left`, " abandoned (delivery, stdout)")
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
	case <-time.After(stuck):
		t.Error("nobody hears of it")
	}
}
