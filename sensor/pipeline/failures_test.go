package pipeline

import (
	"errors"
	"io"
	"log/slog"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"dnsmonster-sensor/outputs"
	"dnsmonster-sensor/sensor/capture"
	"dnsmonster-sensor/sensor/signals"
	"dnsmonster-sensor/test/await"
	"dnsmonster-sensor/test/testlog"
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

// failed is how many parts have failed, as metrics get it.
func failed(t *testing.T, p *pipeline, what, part string) uint64 {
	t.Helper()
	for _, f := range p.failures() {
		if f.What == what && f.Part == part {
			return f.Count
		}
	}
	t.Fatalf("%s %s is not among the parts that can fail", what, part)
	return 0
}

// TestLaneFails: a lane that ends with an error is in the log and in the metrics while
// the others go on, and decides about the exit status.
func TestLaneFails(t *testing.T) {
	var log testlog.Log
	source := &broken{goOn: make(chan struct{})}
	p := toNowhere(t, source)
	p.log = slog.New(slog.NewTextHandler(&log, nil))
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		p.runUntilEnd(time.Second, signals.New())
	}()
	await.True(t, "the metric shows the lane", func() bool { return failed(t, p, "lane", "") > 0 })
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
	var exit *Error
	if err := p.finish(io.Discard, signals.New()); !errors.As(err, &exit) || exit.Kind != Failed || !strings.Contains(err.Error(), "the lane is broken") {
		t.Errorf("the end is %v, want the lane's error and exit status 2", err)
	}
}

// TestQuietEnd: a run ends without a summary if the reader of its output has left, unless
// it was asked to stop.
func TestQuietEnd(t *testing.T) {
	p, sig := toNowhere(t, &rigged{}), signals.New()
	want := func(quietly bool) {
		t.Helper()
		if got := p.endsQuietly(sig); got != quietly {
			t.Errorf("ends quietly: %v, want %v", got, quietly)
		}
	}
	want(false)
	p.runners[0].End(outputs.ErrReaderGone)
	want(true)
	sig.Request(syscall.SIGTERM)
	want(false)
}

// TestLedgersAtTheEnd: run always prints the full ledgers. For a person they are printed on
// request, or if something is unaccounted, undelivered or has failed.
func TestLedgersAtTheEnd(t *testing.T) {
	p, _, _ := toTwo(t, manyLanes(1))
	ledgers := goes(t, p)
	f := func(want bool, report Report, incomplete bool) {
		t.Helper()
		var text strings.Builder
		p.report = report
		p.printEnd(&text, ledgers, incomplete)
		if got := strings.Contains(text.String(), "ledgers after "); got != want || strings.Contains(text.String(), "records in ") != report.Brief {
			t.Errorf("%+v, incomplete %t: %s", report, incomplete, text.String())
		}
	}
	brief := Report{Brief: true}
	f(true, Report{}, false)
	f(false, brief, false)
	f(true, brief, true)
	f(true, Report{Brief: true, Verbose: true}, false)
	ledgers[0].In++
	f(true, brief, false)

	var text strings.Builder
	p.report = brief
	p.runners[0].End(errors.New("the output is broken"))
	if err := p.finish(&text, signals.New()); err == nil || !strings.Contains(text.String(), "\nledgers after ") {
		t.Errorf("after a failure: %v, %s", err, text.String())
	}
}
