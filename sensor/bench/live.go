package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// bpfStats makes the kernel measure its BPF programs, which costs some 30 ns for
// each run.
const bpfStats = "/proc/sys/kernel/bpf_stats_enabled"

type liveOptions struct {
	sensor, cache, doc, report string
	rate, seconds              int
}

// settle is how long what was sent may take through the pipeline.
const settle = 300 * time.Millisecond

// trial is one load on one program.
type trial struct {
	sent      int
	perSecond float64 // that the generator reached
	lost      int
	cpu       float64 // of the capturing process since it began, seconds
	kernel    float64 // of BPF programs, seconds
}

func benchLive(ctx context.Context, args []string) error {
	var o liveOptions
	flags := flag.NewFlagSet("bench live", flag.ExitOnError)
	flags.StringVar(&o.sensor, "sensor", "./dnsmonster-sensor", "the `binary` to measure")
	flags.StringVar(&o.cache, "captures", filepath.Join("build", "captures"), "`folder` that keeps the captures")
	flags.IntVar(&o.rate, "rate", 50000, "packets a `second` at which CPU time is compared")
	flags.IntVar(&o.seconds, "seconds", 5, "`length` of each run")
	flags.StringVar(&o.doc, "doc", "", "put the figures into this `page` too, between its markers")
	flags.StringVar(&o.report, "report", filepath.Join("build", "bench-live.md"), "`file` for the figures")
	if err := flags.Parse(args); err != nil {
		return err
	}
	all, err := captures(ctx, o.cache)
	if err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	w, err := newWire(ctx)
	if err != nil {
		return err
	}
	defer w.remove()
	small := all[len(all)-1]
	ours := []string{o.sensor, "attach", readIface, "--workers", "1"}
	plain := []string{self, "reference-live", readIface}

	replay, err := o.replayCost(ctx, small)
	if err != nil {
		return err
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n\nveth pair, tcpreplay of %s, JSON to /dev/null; the generator and what is measured share the processors.\n\n", machine(o.sensor), small.name)
	if err := o.compare(ctx, w, small, ours, plain, replay, &b); err != nil {
		return err
	}
	b.WriteString("\n| | highest rate without loss, packets/s |\n|---|---|\n")
	best, limit := [2]float64{}, [2]bool{}
	for i, command := range [][]string{ours, plain} {
		t, atLimit, err := o.highest(ctx, w, small, command)
		if err != nil {
			return err
		}
		best[i], limit[i] = t.perSecond, atLimit
		note := ""
		if atLimit {
			note = ", all that the generator makes"
		}
		fmt.Fprintf(&b, "| %s | %.0f%s |\n", []string{"attach", "reference on AF_PACKET"}[i], t.perSecond, note)
	}
	fmt.Fprintf(&b, "\n%s\n", ratio(best, limit))
	fmt.Print(b.String())
	if err := os.MkdirAll(filepath.Dir(o.report), 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(o.report, []byte(b.String()), 0o644); err != nil {
		return err
	}
	if o.doc != "" {
		return insert(o.doc, "make bench-live", b.String())
	}
	return nil
}

// ratio says what two highest rates tell of each other; nothing where the
// generator was the limit of the reference.
func ratio(best [2]float64, limit [2]bool) string {
	switch r := best[0] / max(best[1], 1); {
	case limit[1]:
		return "The generator was the limit of the reference too: these rates say nothing of their ratio. The machine is too busy, or too small."
	case limit[0]:
		return fmt.Sprintf("Ratio: at least %.1f.", r)
	default:
		return fmt.Sprintf("Ratio: %.1f.", r)
	}
}

// replayCost is the CPU time of a message replayed from a file, in seconds.
func (o *liveOptions) replayCost(ctx context.Context, t traffic) (float64, error) {
	var all series
	n := 0
	for range 3 {
		s, err := measure(ctx, o.sensor, "replay", t.path, "--workers", "1")
		if err != nil {
			return 0, err
		}
		if n, err = messages(s.log); err != nil {
			return 0, err
		}
		all = append(all, s)
	}
	return all.cpu() / float64(n), nil
}

// compare measures both programs at one rate.
func (o *liveOptions) compare(ctx context.Context, w *wire, t traffic, ours, plain []string, replay float64, b *strings.Builder) error {
	if was, err := os.ReadFile(bpfStats); err == nil && strings.TrimSpace(string(was)) == "0" {
		if os.WriteFile(bpfStats, []byte("1"), 0) == nil {
			defer os.WriteFile(bpfStats, was, 0)
		}
	}
	fmt.Fprintf(b, "| at %d packets/s | ns of the process for each packet | ns of the kernel program | lost |\n|---|---|---|---|\n", o.rate)
	fmt.Fprintf(b, "| replay of the file | %.0f | - | 0 |\n", replay*1e9)
	for i, command := range [][]string{ours, plain} {
		r, err := o.try(ctx, w, t, command, o.rate)
		if err != nil {
			return err
		}
		kernel := "-"
		if r.kernel > 0 {
			kernel = fmt.Sprintf("%.0f", r.kernel/float64(r.sent)*1e9)
		}
		fmt.Fprintf(b, "| %s | %.0f | %s | %d of %d |\n", []string{"attach", "reference on AF_PACKET"}[i], r.cpu/float64(r.sent)*1e9, kernel, r.lost, r.sent)
	}
	return nil
}

// highest finds the highest rate at which nothing is lost: by doubling, then by
// halving what is between. atLimit says that the generator made no more.
func (o *liveOptions) highest(ctx context.Context, w *wire, t traffic, command []string) (best trial, atLimit bool, err error) {
	low, high, short := 0, 0, false
	for rate := 25000; high == 0; rate *= 2 {
		r, err := o.try(ctx, w, t, command, rate)
		if err != nil {
			return best, false, err
		}
		if r.lost > 0 {
			high = rate
			break
		}
		low = rate
		if r.perSecond > best.perSecond {
			best = r
		}
		if r.perSecond >= 0.9*float64(rate) {
			short = false
			continue
		}
		if short {
			return best, true, nil
		}
		short, rate = true, rate/2 // once more: the machine may have been busy
	}
	for range 4 {
		rate := (low + high) / 2
		r, err := o.try(ctx, w, t, command, rate)
		if err != nil {
			return best, false, err
		}
		if r.lost > 0 {
			high = rate
		} else {
			low, best = rate, r
		}
	}
	return best, false, nil
}

var (
	ringFull  = regexp.MustCompile(`(?:ring_full|copy_failed|queue_full|abandoned) (\d+)`)
	plainLost = regexp.MustCompile(`(?m)^lost (\d+)`)
)

// try plays one load to one program.
func (o *liveOptions) try(ctx context.Context, w *wire, t traffic, command []string, rate int) (trial, error) {
	r, err := w.start(ctx, command...)
	if err != nil {
		return trial{}, err
	}
	var result trial
	before, err := r.cpu() // loading programs into the kernel is not what each packet costs
	if err != nil {
		return trial{}, err
	}
	result.sent, result.perSecond, err = w.send(ctx, t.path, rate, rate*o.seconds)
	result.kernel = r.programTime() / 1e9
	time.Sleep(settle)
	after, cpuErr := r.cpu()
	s, stopErr := r.stop()
	if err != nil {
		return trial{}, err
	}
	if err := errors.Join(cpuErr, stopErr); err != nil {
		return trial{}, err
	}
	result.cpu = after - before
	for _, re := range []*regexp.Regexp{ringFull, plainLost} {
		for _, m := range re.FindAllStringSubmatch(s.log, -1) {
			n, _ := strconv.Atoi(m[1])
			result.lost += n
		}
	}
	fmt.Fprintf(os.Stderr, "%s: asked for %d packets/s, sent %d at %.0f, lost %d, %.2f CPU s\n",
		filepath.Base(command[0]), rate, result.sent, result.perSecond, result.lost, result.cpu)
	return result, nil
}
