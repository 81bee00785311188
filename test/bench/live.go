//go:build linux

package main

import (
	"context"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"dnsmonster-sensor/test/bench/generator"
)

type liveOptions struct {
	sensor, cache, doc, report string
	only, options              string
	cpuOnly                    bool
	rate, seconds, rounds      int
}

func benchLive(ctx context.Context, args []string) error {
	var o liveOptions
	flags := flag.NewFlagSet("bench live", flag.ExitOnError)
	flags.StringVar(&o.sensor, "sensor", "./dnsmonster-sensor", "the `binary` to measure")
	flags.StringVar(&o.cache, "captures", filepath.Join("build", "captures"), "`folder` for the captures; existing ones are used")
	flags.IntVar(&o.rate, "rate", 50000, "`packets` per second for comparing CPU time")
	flags.IntVar(&o.seconds, "seconds", 3, "`seconds` of each run")
	flags.IntVar(&o.rounds, "rounds", 3, "`rounds` at the rate for comparing CPU time, the ways in turn")
	flags.StringVar(&o.only, "only", "", "only `ways` to capture whose names begin with one of these, separated by commas")
	flags.BoolVar(&o.cpuOnly, "cpu-only", false, "only compare CPU time, which takes less than a minute")
	flags.StringVar(&o.options, "options", "--workers 1", "`options` of attach, separated by spaces")
	flags.StringVar(&o.doc, "doc", "", "also insert the figures into this `page`, between its markers")
	flags.StringVar(&o.report, "report", filepath.Join("build", "bench-live.md"), "`file` for the figures")
	if err := flags.Parse(args); err != nil {
		return err
	}
	chosen, err := choose(ways(), o.only)
	if err != nil {
		return err
	}
	small, err := liveCapture(ctx, o.cache)
	if err != nil {
		return err
	}
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
	figures := liveFigures{options: o, host: h, frames: store.Frames(), capture: small.name, ways: chosen}
	if err := figures.measure(ctx, &liveBench{h, g, o.seconds}, small); err != nil {
		return err
	}
	return keep(figures.markdown(), o.report, o.doc, "make bench-live")
}

// liveCapture returns the capture whose frames are sent: that of small messages, or the
// last one of the user's own.
func liveCapture(ctx context.Context, cache string) (traffic, error) {
	if os.Getenv(capturesEnv) == "" {
		if err := os.MkdirAll(cache, 0o755); err != nil {
			return traffic{}, err
		}
		return smallCapture(ctx, cache)
	}
	all, err := captures(ctx, cache)
	if err != nil {
		return traffic{}, err
	}
	return all[len(all)-1], nil
}

// liveFigures are the results of all measurements.
type liveFigures struct {
	options liveOptions
	host    *host
	frames  int
	capture string
	replay  float64 // CPU seconds per message
	floor   floor
	nobody  float64 // what a frame costs at the rate for comparing CPU time if nobody captures, in ns
	ways    []*way
}

func (f *liveFigures) measure(ctx context.Context, l *liveBench, small traffic) (err error) {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	command := func(w *way) []string { return w.command(f.options.sensor, self, strings.Fields(f.options.options)) }
	for _, w := range f.ways {
		w.probe(ctx, l.host, command(w))
	}
	if f.replay, err = f.options.replayCost(ctx, small); err != nil {
		return err
	}
	if f.floor, err = l.floor(); err != nil {
		return err
	}
	if f.nobody, err = l.unwatched(f.options.rate, f.options.rounds); err != nil {
		return err
	}
	for range f.options.rounds {
		for _, w := range f.measured(true) {
			t, err := l.try(ctx, w, command(w), f.options.rate)
			if err != nil {
				return err
			}
			w.paced = append(w.paced, t)
		}
	}
	if f.options.cpuOnly {
		return nil
	}
	for _, w := range f.measured(false) {
		if w.offered > 0 {
			w.best, err = l.tryTwice(ctx, w, command(w), w.offered)
		} else {
			w.best, w.limit, err = l.highest(ctx, w, command(w))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// measured returns the ways that work here; with search only those whose highest rate is
// searched.
func (f *liveFigures) measured(search bool) (list []*way) {
	for _, w := range f.ways {
		if w.missing == "" && !(search && w.offered > 0) {
			list = append(list, w)
		}
	}
	return list
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

// floor is what a frame costs the generator's processor when nobody captures, in ns, at
// full speed.
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

// unwatched returns what a frame costs the generator's processor at a rate when nobody
// captures, in ns.
func (l *liveBench) unwatched(rate, rounds int) (float64, error) {
	var all []float64
	for range max(rounds, 1) {
		r, err := l.generator.Send(generator.Load{
			Count: rate * l.seconds, Rate: rate, CPU: l.host.generator, Namespace: l.host.namespace, Interface: readIface,
		})
		if err != nil {
			return 0, err
		}
		t := trial{Result: r}
		all = append(all, t.busy())
	}
	return middle(all), nil
}
