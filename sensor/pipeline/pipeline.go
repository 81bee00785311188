// Package pipeline runs a capture from its start to its end: it joins a source, the
// lanes that decode, the stages and the outputs, keeps their ledgers, reloads what
// may change, stops in order and prints the summary. A Config that the caller has
// checked comes in; records go to the outputs, and an Error that tells the caller which
// exit status to use comes back. It must not import an input, an output or the command
// line. Its tests make sources and outputs of their own.
package pipeline

import (
	"context"
	"errors"
	"log/slog"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"dnsmonster-sensor/outputs"
	"dnsmonster-sensor/sensor/capture"
	"dnsmonster-sensor/sensor/lists"
	"dnsmonster-sensor/sensor/metrics"
	"dnsmonster-sensor/sensor/waiting"
	"dnsmonster-sensor/userspace/account"
	"dnsmonster-sensor/userspace/event"
	"dnsmonster-sensor/userspace/mask"
	"dnsmonster-sensor/userspace/stage"
	"dnsmonster-sensor/userspace/worker"
)

func refused(err error) error { return &Error{Refused, err} }

// Run captures until the source ends, a signal comes or all outputs have ended, and
// delivers what was captured. Its errors are of type Error.
func Run(c Config) error {
	ignoreWriteSignals()
	runners, err := newRunners(c.Outputs, c.Input.Live, c.Log)
	if err != nil {
		return refused(err)
	}
	defer discardRunners(runners)
	c.Delivery.WarnUnclaimed(runners, c.Log)
	m, err := metrics.Open(c.Metrics, c.Stderr)
	if err != nil {
		return refused(err)
	}
	defer m.Close()
	var source capture.Source = noSource{}
	if !c.Input.Live || !c.Signals.Stopped() {
		if source, err = c.Input.Open(c.Signals.Stopping().Done()); err != nil {
			return refused(err)
		}
	}
	c.Names.take(source)
	p := newPipeline(source, c.Worker, c.Stages, runners, c.Log)
	p.pinLane = c.PinLane
	p.report, p.hints = c.Report, c.Hints
	p.setLimit(c.Count)
	defer p.closeAtLimit()()
	if err := p.checkAndLoad(&c); err != nil {
		return refused(err)
	}
	c.Signals.Started()
	if c.Signals.Stopped() {
		if p.drainSource(); p.nothingToDeliver() {
			return p.finishUnstarted(c.Stderr, c.Signals)
		}
	}
	defer c.Lists.Follow()()
	defer p.reloadAtHangup(&c)()
	m.Start(p.metricsSource(c.Lists), c.Log, func(err error) { p.fail("metrics", err) })
	endHints := p.giveHints(c.Hints)
	endProgress := p.startProgress(c.Progress)
	p.runUntilEnd(c.Grace, c.Signals)
	endProgress()
	endHints()
	m.Stop(p.endsQuietly(c.Signals), c.Log)
	return p.finish(c.Stderr, c.Signals)
}

// metricsSource is where metrics read the pipeline's numbers.
func (p *pipeline) metricsSource(domains *lists.Pair) metrics.Source {
	return metrics.Source{Ledgers: p.ledgers.read, Captured: p.ledgers.captured, Failures: p.failures, Outputs: p.runners, Lists: domains}
}

// startProgress shows progress until stop is called, if the source knows it and there
// is somewhere to show it.
func (p *pipeline) startProgress(show func(capture.Progressor, func() uint64, time.Time) func()) (stop func()) {
	files, ok := p.source.(capture.Progressor)
	if !ok || show == nil {
		return func() {}
	}
	return show(files, p.ledgers.events, p.ledgers.begun)
}

// pipeline joins a source, the workers and the outputs: one goroutine for each
// lane takes packets all the way into the outputs' blocks.
type pipeline struct {
	source  capture.Source
	config  worker.Config
	stages  []stage.Kind // between workers and outputs, in their order
	limit   *limit       // nil: none
	runners []*outputs.Runner
	ledgers *ledgers
	log     *slog.Logger
	report  Report
	hints   Hints
	pinLane func(lane int) error // nil: lanes run on any thread
	lanes   sync.WaitGroup
	started sync.Once                 // the lanes
	running atomic.Int64              // lanes that have not ended
	masks   atomic.Pointer[mask.Bits] // lanes take these over with their next batch
	mu      sync.Mutex
	errs    []error
	failed  map[string]uint64 // how many of errs, by what has failed
}

func newPipeline(source capture.Source, config worker.Config, stages []stage.Kind, runners []*outputs.Runner, log *slog.Logger) *pipeline {
	p := &pipeline{source: source, config: config, stages: stages, runners: runners, log: log, ledgers: newLedgers(source, stages, runners)}
	p.masks.Store(config.Mask)
	return p
}

// newRunners prepares the outputs to take events, and opens their spools. live is the
// source's Live, before there is a source.
func newRunners(list []Output, live bool, log *slog.Logger) ([]*outputs.Runner, error) {
	var runners []*outputs.Runner
	ids := event.NewIDs()
	for _, o := range list {
		opened := waiting.Step{What: func() string { return spoolToRead(o) }, Say: sayTo(log)}.Begin()
		r, err := outputs.NewRunner(o.Output, o.Settings, live, ids, account.NewDeliveryCounters(), log)
		opened()
		if err != nil {
			discardRunners(runners)
			return nil, err
		}
		runners = append(runners, r)
	}
	return runners, nil
}

// discardRunners releases what runners hold that were not stopped.
func discardRunners(runners []*outputs.Runner) {
	for _, r := range runners {
		r.Discard()
	}
}

// startLanes starts the lanes at its first call. Until the outputs are started, events
// wait in their queues.
func (p *pipeline) startLanes() {
	p.started.Do(func() {
		lanes := p.source.Lanes()
		p.running.Store(int64(len(lanes)))
		for n, l := range lanes {
			lane := p.newLane(l)
			p.lanes.Go(func() {
				p.pin(n)
				lane.run()
			})
		}
	})
}

// pin binds the calling goroutine to a thread of its own, and that to a processor. The
// thread ends with the goroutine.
func (p *pipeline) pin(lane int) {
	if p.pinLane == nil {
		return
	}
	runtime.LockOSThread()
	if err := p.pinLane(lane); err != nil {
		p.log.Warn("a worker runs on any processor", "worker", lane, "error", err)
	}
}

// start starts the outputs and the lanes. It closes ended when all lanes have ended.
func (p *pipeline) start(ctx context.Context) (ended <-chan struct{}) {
	for _, r := range p.runners {
		r.Start(ctx)
	}
	p.startLanes()
	done := make(chan struct{})
	go func() {
		p.lanes.Wait()
		close(done)
	}()
	return done
}

// deliver lets the outputs finish until ctx ends.
func (p *pipeline) deliver(ctx context.Context) {
	var all sync.WaitGroup
	for _, r := range p.runners {
		all.Go(func() { r.Stop(ctx) })
	}
	all.Wait()
}

// err joins the errors of the source and the lanes.
func (p *pipeline) err() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return errors.Join(append([]error{p.source.Err()}, p.errs...)...)
}

// fail logs that a part of the sensor has ended while the others go on, and keeps the
// error for the end: the run has then failed.
func (p *pipeline) fail(what string, err error) {
	p.log.Error("a part of the sensor has failed, the others go on", "what", what, "error", err)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.errs = append(p.errs, err)
	if p.failed == nil {
		p.failed = make(map[string]uint64)
	}
	p.failed[what]++
}

// laneEnded is called by each lane when it stops reading. If it was the last one, and
// one has failed, the capture ends: its packets would only be discarded, by a sensor
// that looks as if it worked.
func (p *pipeline) laneEnded() {
	if p.running.Add(-1) > 0 || p.failureCount("lane") == 0 {
		return
	}
	if p.source.Live() {
		p.log.Error("no worker reads packets any more: the capture ends")
	}
	p.closeSource()
}

// failureCount is how many parts of a kind have failed.
func (p *pipeline) failureCount(what string) uint64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.failed[what]
}

// failures counts, for each kind of part that can fail while the others go on, those
// that have.
func (p *pipeline) failures() []metrics.Failure {
	var list []metrics.Failure
	for _, what := range []string{"capture", "lane", "metrics"} {
		list = append(list, metrics.Failure{What: what, Count: p.failureCount(what)})
	}
	inputs := uint64(0)
	switch err := p.source.Err().(type) {
	case nil:
	case interface{ Unwrap() []error }:
		inputs = uint64(len(err.Unwrap()))
	default:
		inputs = 1
	}
	list = append(list, metrics.Failure{What: "input", Count: inputs})
	for _, r := range p.runners {
		n := uint64(0)
		if r.Err() != nil {
			n = 1
		}
		list = append(list, metrics.Failure{What: "output", Part: r.Name(), Count: n})
	}
	return list
}
