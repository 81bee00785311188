//go:build linux

package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"dnsmonster-sensor/test/bench/generator"
)

type liveOptions struct {
	sensor, cache, doc, report string
	rate, seconds              int
}

// contender is one of the compared programs, with its results.
type contender struct {
	name    string
	command []string
	paced   trial // at the rate for comparing CPU time
	best    trial // at the highest rate without loss
	limit   limit
}

func benchLive(ctx context.Context, args []string) error {
	var o liveOptions
	flags := flag.NewFlagSet("bench live", flag.ExitOnError)
	flags.StringVar(&o.sensor, "sensor", "./dnsmonster-sensor", "the `binary` to measure")
	flags.StringVar(&o.cache, "captures", filepath.Join("build", "captures"), "`folder` for the captures; existing ones are used")
	flags.IntVar(&o.rate, "rate", 50000, "`packets` per second for comparing CPU time")
	flags.IntVar(&o.seconds, "seconds", 5, "`seconds` of each run")
	options := flags.String("options", "--workers 1", "`options` of attach, separated by spaces")
	flags.StringVar(&o.doc, "doc", "", "also insert the figures into this `page`, between its markers")
	flags.StringVar(&o.report, "report", filepath.Join("build", "bench-live.md"), "`file` for the figures")
	if err := flags.Parse(args); err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	all, err := captures(ctx, o.cache)
	if err != nil {
		return err
	}
	small := all[len(all)-1]
	h, err := newHost(ctx)
	if err != nil {
		return err
	}
	defer h.remove()
	store, err := storeOf(small.path)
	if err != nil {
		return err
	}
	g, err := generator.New(store)
	if err != nil {
		return err
	}
	defer g.Close()
	l := &liveBench{h, g, o.seconds}

	replay, err := o.replayCost(ctx, small)
	if err != nil {
		return err
	}
	floor, err := l.floor()
	if err != nil {
		return err
	}
	ours := &contender{name: "attach", command: append([]string{o.sensor, "attach", "-v", readIface}, strings.Fields(*options)...)}
	plain := &contender{name: "reference on AF_PACKET", command: []string{self, "reference-live", readIface}}
	for _, c := range []*contender{ours, plain} {
		if c.paced, err = l.paced(ctx, c.command, o.rate); err != nil {
			return err
		}
		if c.best, c.limit, err = l.highest(ctx, c.command); err != nil {
			return err
		}
	}

	figures := liveFigures{store.Frames(), small.name, *options, replay, floor, ours, plain}
	return keep(figures.markdown(&o, h), o.report, o.doc, "make bench-live")
}

// liveFigures are the results of all measurements.
type liveFigures struct {
	frames      int
	capture     string
	options     string
	replay      float64 // CPU seconds per message
	floor       floor
	ours, plain *contender
}

func (f *liveFigures) markdown(o *liveOptions, h *host) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n\n", machine(o.sensor))
	fmt.Fprintf(&b, "The first %d frames of %s in turn, JSON to /dev/null, `attach %s`. Processor %d makes the frames and takes them through the kernel; the capturing program has the others (%d).\n\n",
		f.frames, f.capture, f.options, h.generator, h.processors.Count())
	fmt.Fprintf(&b, "| at %d packets/s | ns of the process per packet | ns of the kernel program | lost |\n|---|---|---|---|\n", o.rate)
	fmt.Fprintf(&b, "| replay of the file | %.0f | - | 0 |\n", f.replay*1e9)
	for _, c := range []*contender{f.ours, f.plain} {
		c.writePaced(&b)
	}
	b.WriteString("\n| | highest rate without loss, packets/s | limit |\n|---|---|---|\n")
	for _, c := range []*contender{f.ours, f.plain} {
		fmt.Fprintf(&b, "| %s | %.0f | %s |\n", c.name, c.best.PerSecond(), c.limit)
	}
	fmt.Fprintf(&b, "\n%s\n\n", ratio(f.ours, f.plain))
	writeShares(&b, f.floor, h.processors.Count(), f.ours, f.plain)
	return b.String()
}

// replayCost is the CPU time of a message replayed from a file, in seconds.
func (o *liveOptions) replayCost(ctx context.Context, t traffic) (float64, error) {
	var all series
	n := 0
	for range 3 {
		s, err := measure(ctx, o.sensor, "replay", "-v", t.path, "--workers", "1")
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

// paced measures a program at a rate that all can follow. The kernel measures its BPF
// programs meanwhile, which costs some 30 ns per run.
func (l *liveBench) paced(ctx context.Context, command []string, rate int) (trial, error) {
	stats, err := ebpf.EnableStats(unix.BPF_STATS_RUN_TIME)
	if err != nil {
		return trial{}, fmt.Errorf("measure BPF programs: %w", err)
	}
	defer stats.Close()
	return l.try(ctx, command, rate)
}

func (c *contender) writePaced(b *strings.Builder) {
	kernel := "-"
	if c.paced.kernel > 0 {
		kernel = fmt.Sprintf("%.0f", c.paced.each(c.paced.kernel))
	}
	fmt.Fprintf(b, "| %s | %.0f | %s | %d of %d |\n", c.name, c.paced.each(c.paced.cpu), kernel, c.paced.lost, c.paced.Sent)
}

// ratio compares the highest rates of two programs. It says nothing if the generator was
// the limit of both.
func ratio(ours, plain *contender) string {
	switch r := ours.best.PerSecond() / max(plain.best.PerSecond(), 1); {
	case plain.limit.generator:
		return "The generator was the limit of the reference, too: the ratio is unknown. The machine is too busy or too small."
	case ours.limit.generator:
		return fmt.Sprintf("Ratio: at least %.1f.", r)
	default:
		return fmt.Sprintf("Ratio: %.1f.", r)
	}
}

// floor is what a frame costs the generator's processor when nobody captures, in ns.
type floor struct {
	making float64
	stack  float64 // the network stack, up to the drop
}

func (l *liveBench) floor() (f floor, err error) {
	const rounds, count = 5, 2_000_000
	var making, whole []float64
	for range rounds {
		for iface, to := range map[string]*[]float64{"": &making, readIface: &whole} {
			r, err := l.generator.Send(generator.Load{Count: count, CPU: l.host.generator, Namespace: l.host.namespace, Interface: iface})
			if err != nil {
				return floor{}, err
			}
			*to = append(*to, float64(r.Took.Nanoseconds())/count)
		}
	}
	slices.Sort(making)
	slices.Sort(whole)
	return floor{making[rounds/2], whole[rounds/2] - making[rounds/2]}, nil
}

// writeShares says how the processors spent their time at the highest rates.
func writeShares(b *strings.Builder, f floor, readers int, all ...*contender) {
	rows := make([]string, len(shareNames))
	copy(rows, shareNames[:])
	head, line := "| at the highest rate, ns per packet", "|---"
	for _, c := range all {
		head, line = head+" | "+c.name, line+"|---"
		for i, ns := range c.best.shares(f, readers) {
			rows[i] += fmt.Sprintf(" | %.0f", ns)
		}
	}
	fmt.Fprintf(b, "%s |\n%s|\n", head, line)
	for _, row := range rows {
		fmt.Fprintf(b, "| %s |\n", row)
	}
}

// shareNames names the values that trial.shares returns.
var shareNames = [...]string{
	"time of each processor",
	"generator's processor: making the frame",
	"the same: the network stack, as without capturing",
	"the same: what capturing adds",
	"the same: waiting for the time of the next frame",
	"other processors: the capturing program, user",
	"the same: the capturing program, system",
	"the same: idle, and everything else",
}

// shares returns the processors' time per frame, in ns.
func (t *trial) shares(f floor, readers int) [len(shareNames)]float64 {
	took := t.each(t.Took.Seconds())
	idle := t.each(t.Idle.Seconds())
	user, system := t.each(t.during.user), t.each(t.during.all-t.during.user)
	return [...]float64{
		took, f.making, f.stack, took - idle - f.making - f.stack, idle,
		user, system, took*float64(readers) - user - system,
	}
}
