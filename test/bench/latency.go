//go:build linux

package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"dnsmonster-sensor/test/testlog"
)

// latency measures how much later a server answers because a sensor watches it: dnsperf's
// percentiles in pairs of runs, one with the sensor and one without, in turn.
type latency struct {
	sensor               string
	rate, seconds, pairs int
	dir, server, client  string // names of namespaces
	report, doc          string
}

// control is the mode that has no sensor in either run of a pair: its differences are what
// the machine does by itself.
const control = "none"

// percentiles are those of one run, in microseconds.
type percentiles struct{ p50, p99 float64 }

func benchLatency(ctx context.Context, args []string) error {
	var l latency
	flags := flag.NewFlagSet("bench latency", flag.ExitOnError)
	flags.StringVar(&l.sensor, "sensor", "./dnsmonster-sensor", "the `binary` to measure")
	flags.IntVar(&l.rate, "rate", 5000, "`queries` per second")
	flags.IntVar(&l.seconds, "seconds", 2, "`seconds` of each run")
	flags.IntVar(&l.pairs, "pairs", 30, "`number` of pairs of runs for each mode")
	modes := flags.String("modes", control+",tcx,afpacket", "`modes` of capture, separated by commas; "+control+" starts no sensor")
	flags.StringVar(&l.doc, "doc", "", "also insert the figures into this `page`, between its markers")
	flags.StringVar(&l.report, "report", filepath.Join("build", "bench-latency.md"), "`file` for the figures")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if os.Geteuid() != 0 {
		return errors.New("network namespaces need root")
	}
	var err error
	if l.sensor, err = filepath.Abs(l.sensor); err != nil {
		return err
	}
	if l.dir, err = os.MkdirTemp("", "bench-latency"); err != nil {
		return err
	}
	defer os.RemoveAll(l.dir)
	l.server, l.client = fmt.Sprintf("latency-%d-s", os.Getpid()), fmt.Sprintf("latency-%d-c", os.Getpid())
	defer l.remove()
	if err := l.wire(); err != nil {
		return err
	}
	stop, err := l.serve(ctx)
	if err != nil {
		return err
	}
	defer stop()
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n\nKnot DNS asked by dnsperf, %d queries/s over a veth pair; medians of %d pairs of runs of %d s, in microseconds.\n\n", machine(l.sensor), l.rate, l.pairs, l.seconds)
	b.WriteString("| mode | p50 without | with | difference | p99 without | with | difference |\n|---|---|---|---|---|---|---|\n")
	for mode := range strings.SplitSeq(*modes, ",") {
		with, without, err := l.measure(ctx, mode)
		if err != nil {
			return fmt.Errorf("mode %s: %w", mode, err)
		}
		b.WriteString(latencyRow(mode, with, without))
	}
	return keep(b.String(), l.report, l.doc, "make bench-latency")
}

// latencyRow has the medians, and the medians of the differences within pairs.
func latencyRow(mode string, with, without []percentiles) string {
	p50 := func(p percentiles) float64 { return p.p50 }
	p99 := func(p percentiles) float64 { return p.p99 }
	var more, moreOf99 []float64
	for i := range with {
		more = append(more, with[i].p50-without[i].p50)
		moreOf99 = append(moreOf99, 100*(with[i].p99/without[i].p99-1))
	}
	return fmt.Sprintf("| %s | %.0f | %.0f | %+.1f | %.0f | %.0f | %+.1f %% |\n", mode,
		middleOf(without, p50), middleOf(with, p50), middle(more), middleOf(without, p99), middleOf(with, p99), middle(moreOf99))
}

func middleOf(list []percentiles, value func(percentiles) float64) float64 {
	var values []float64
	for _, p := range list {
		values = append(values, value(p))
	}
	return middle(values)
}

// measure runs the pairs. Which run of a pair comes first alternates.
func (l *latency) measure(ctx context.Context, mode string) (with, without []percentiles, err error) {
	for pair := range l.pairs {
		fmt.Fprintf(os.Stderr, "mode %s, pair %d of %d\n", mode, pair+1, l.pairs)
		for half := range 2 {
			if half == pair%2 {
				p, err := l.ask(ctx)
				if err != nil {
					return nil, nil, err
				}
				without = append(without, p)
				continue
			}
			stop, err := l.watch(ctx, mode)
			if err != nil {
				return nil, nil, err
			}
			p, err := l.ask(ctx)
			if err := errors.Join(err, stop()); err != nil {
				return nil, nil, err
			}
			with = append(with, p)
		}
	}
	return with, without, nil
}

// in is a command in a namespace.
func in(ctx context.Context, namespace, command string, args ...string) *exec.Cmd {
	c := exec.CommandContext(ctx, "ip", append([]string{"netns", "exec", namespace, command}, args...)...)
	c.Cancel = func() error { return c.Process.Signal(syscall.SIGTERM) }
	return c
}

// wire joins two namespaces by a veth pair.
func (l *latency) wire() error {
	for _, line := range []string{
		"netns add " + l.server, "netns add " + l.client,
		"link add srv0 netns " + l.server + " type veth peer name cli0 netns " + l.client,
		"-n " + l.server + " addr add 192.0.2.1/24 dev srv0", "-n " + l.client + " addr add 192.0.2.2/24 dev cli0",
		"-n " + l.server + " link set srv0 up", "-n " + l.client + " link set cli0 up",
	} {
		if out, err := exec.Command("ip", strings.Fields(line)...).CombinedOutput(); err != nil {
			return fmt.Errorf("ip %s: %w: %s", line, err, out)
		}
	}
	return nil
}

// remove deletes the namespaces; what is not there needs no message.
func (l *latency) remove() {
	for _, name := range []string{l.server, l.client} {
		_ = exec.Command("ip", "netns", "delete", name).Run()
	}
}

const latencyNames = 1000

// serve starts Knot DNS with a zone, and writes dnsperf's queries.
func (l *latency) serve(ctx context.Context) (stop func(), err error) {
	zone := "$ORIGIN example.org.\n$TTL 300\n@ SOA ns1 hostmaster 1 7200 3600 1209600 300\n@ NS ns1\nns1 A 192.0.2.1\n"
	queries := ""
	for i := range latencyNames {
		zone += fmt.Sprintf("h%d A 192.0.2.%d\n", i, i%256)
		queries += fmt.Sprintf("h%d.example.org A\n", i)
	}
	config := fmt.Sprintf("server:\n  rundir: %[1]q\n  listen: 192.0.2.1@53\n  udp-workers: 1\n  tcp-workers: 1\n  background-workers: 1\ndatabase:\n  storage: %[1]q\n"+
		"zone:\n  - domain: example.org\n    storage: %[1]q\n    file: zone\n    journal-content: none\n    zonefile-sync: -1\n", l.dir)
	for name, text := range map[string]string{"zone": zone, "queries": queries, "knot.conf": config} {
		if err := os.WriteFile(filepath.Join(l.dir, name), []byte(text), 0o644); err != nil {
			return nil, err
		}
	}
	var log testlog.Log
	knot := in(ctx, l.server, "knotd", "-c", filepath.Join(l.dir, "knot.conf"))
	knot.Stdout, knot.Stderr = &log, &log
	if err := knot.Start(); err != nil {
		return nil, err
	}
	stop = func() {
		_ = knot.Process.Signal(syscall.SIGTERM)
		_ = knot.Wait()
	}
	for range 100 {
		if p, err := l.dnsperf(ctx, "-l", "1", "-Q", "10", "-t", "1"); err == nil && len(p) > 0 {
			return stop, nil
		}
	}
	stop()
	return nil, fmt.Errorf("the server does not answer:\n%s", log.String())
}

// watch starts the sensor beside the server, and waits until it captures.
func (l *latency) watch(ctx context.Context, mode string) (stop func() error, err error) {
	if mode == control {
		return func() error { return nil }, nil
	}
	var log testlog.Log
	c := in(ctx, l.server, l.sensor, "attach", "srv0", "-v", "--mode="+mode) // records to /dev/null
	c.Stderr = &log
	if err := c.Start(); err != nil {
		return nil, err
	}
	stop = func() error {
		_ = c.Process.Signal(syscall.SIGINT)
		if err := c.Wait(); err != nil {
			return fmt.Errorf("%v: %w\n%s", c.Args, err, log.String())
		}
		return nil
	}
	for range 500 {
		if strings.Contains(log.String(), "capturing on") {
			return stop, nil
		}
		time.Sleep(20 * time.Millisecond)
	}
	return nil, errors.Join(errors.New("the sensor does not start to capture"), stop())
}

// ask is one run of dnsperf.
func (l *latency) ask(ctx context.Context) (percentiles, error) {
	took, err := l.dnsperf(ctx, "-l", strconv.Itoa(l.seconds), "-Q", strconv.Itoa(l.rate))
	if err != nil {
		return percentiles{}, err
	}
	if least := l.rate * l.seconds / 2; len(took) < least {
		return percentiles{}, fmt.Errorf("%d answers, fewer than %d: the machine is too busy", len(took), least)
	}
	return percentilesOf(took), nil
}

func percentilesOf(took []float64) percentiles {
	slices.Sort(took)
	return percentiles{took[len(took)/2], took[len(took)*99/100]}
}

// dnsperf returns how long each answer took, in microseconds.
func (l *latency) dnsperf(ctx context.Context, args ...string) ([]float64, error) {
	c := in(ctx, l.client, "dnsperf", append([]string{"-s", "192.0.2.1", "-d", filepath.Join(l.dir, "queries"), "-c", "1", "-T", "1", "-v"}, args...)...)
	out, err := c.CombinedOutput()
	if err != nil {
		return nil, fmt.Errorf("run dnsperf: %w\n%.2000s", err, out)
	}
	return answerTimes(out)
}

// answerTimes reads lines such as "> NOERROR h1.example.org A 0.000123".
func answerTimes(out []byte) (took []float64, err error) {
	for line := range bytes.Lines(out) {
		f := strings.Fields(string(line))
		if len(f) < 3 || f[0] != ">" || f[1] == "T" { // T: timeout
			continue
		}
		seconds, err := strconv.ParseFloat(f[len(f)-1], 64)
		if err != nil {
			return nil, fmt.Errorf("read what dnsperf says: %q: %w", line, err)
		}
		took = append(took, seconds*1e6)
	}
	return took, nil
}
