package sensor

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"dnsmonster-sensor/outputs"
	"dnsmonster-sensor/sensor/capture"
	"dnsmonster-sensor/userspace/account"
	"dnsmonster-sensor/userspace/event"
	"dnsmonster-sensor/userspace/mask"
	"dnsmonster-sensor/userspace/packet"
	"dnsmonster-sensor/userspace/stage"
	"dnsmonster-sensor/userspace/worker"
)

// pipeline joins a source, the workers and the outputs: one goroutine for each
// lane takes packets all the way into the outputs' blocks.
type pipeline struct {
	source  capture.Source
	config  worker.Config
	stages  []stage.Kind // that stand between workers and outputs, in their order
	runners []*outputs.Runner
	books   *books
	log     *slog.Logger
	lanes   sync.WaitGroup
	begin   sync.Once                 // of the lanes
	reading atomic.Int64              // lanes that have not ended
	masks   atomic.Pointer[mask.Bits] // that lanes take over with their next batch
	mu      sync.Mutex
	errs    []error
	failed  map[string]uint64 // how many of errs, by what has failed
}

func newPipeline(source capture.Source, config worker.Config, stages []stage.Kind, runners []*outputs.Runner, log *slog.Logger) *pipeline {
	p := &pipeline{source: source, config: config, stages: stages, runners: runners, log: log, books: newBooks(source, stages, runners)}
	p.masks.Store(config.Mask)
	return p
}

// newRunners makes the outputs ready to take events, and opens their spools. live
// is what the source will be.
func newRunners(active []active, live bool, log *slog.Logger) ([]*outputs.Runner, error) {
	var runners []*outputs.Runner
	ids := event.NewIDs()
	for _, a := range active {
		r, err := outputs.NewRunner(a.output, a.settings, live, ids, account.NewDeliveryCounters(), log)
		if err != nil {
			discard(runners)
			return nil, &exitError{exitUsage, err}
		}
		runners = append(runners, r)
	}
	return runners, nil
}

// discard gives back what runners hold that have not been stopped.
func discard(runners []*outputs.Runner) {
	for _, r := range runners {
		r.Discard()
	}
}

// startLanes sets the lanes going, the first time. Until the outputs are started,
// what the lanes offer them waits in the queues.
func (p *pipeline) startLanes() {
	p.begin.Do(func() {
		lanes := p.source.Lanes()
		p.reading.Store(int64(len(lanes)))
		for _, l := range lanes {
			lane := p.newLane(l)
			p.lanes.Go(lane.run)
		}
	})
}

// start sets the outputs and the lanes going. When all lanes have ended, ended
// is closed.
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

// err is what went wrong in the source and the lanes.
func (p *pipeline) err() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return errors.Join(append([]error{p.source.Err()}, p.errs...)...)
}

// fail logs at once what decides about the exit status at the end: a part of the
// sensor that has ended while the others go on.
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

// laneEnded is called by each lane when it reads no more. Where none does, and one
// has failed, the capture ends: it would only be thrown away, by a sensor that looks
// as if it ran.
func (p *pipeline) laneEnded() {
	if p.reading.Add(-1) > 0 || p.failures("lane") == 0 {
		return
	}
	if p.source.Live() {
		p.log.Error("no lane is left that reads: the capture ends")
	}
	p.closeSource()
}

// failures is how many parts of a kind have failed.
func (p *pipeline) failures(what string) uint64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.failed[what]
}

// lane is one worker's loop and what it owns.
type lane struct {
	pipeline *pipeline
	source   capture.Lane
	worker   *worker.Worker
	chain    *stage.Chain // nil: no stages
	intakes  []*outputs.Intake
	emit     func(*event.Event)
	batch    packet.Batch
	given    int // packets and messages of the batch that the source has given
	done     int // those of them that have an outcome
	began    time.Time
	ticked   time.Time
}

// tickEvery is how often a lane looks after its open blocks and its reassembly.
const tickEvery = 10 * time.Millisecond

func (p *pipeline) newLane(source capture.Lane) *lane {
	l := &lane{pipeline: p, source: source, began: p.books.begun}
	l.worker = worker.New(p.config, p.books.packets.Shard(), p.books.messages.Shard())
	for _, r := range p.runners {
		l.intakes = append(l.intakes, r.Intake())
	}
	l.emit = func(e *event.Event) {
		for _, in := range l.intakes {
			in.Offer(e)
		}
	}
	if len(p.stages) > 0 {
		l.chain = stage.NewChain(p.stages, p.books.stages, l.emit)
		l.emit = l.chain.Event
	}
	l.tick(time.Now())
	return l
}

// run takes packets until the source ends.
func (l *lane) run() {
	// A mapped file that becomes shorter makes reading it fault; step turns
	// that into an error.
	debug.SetPanicOnFault(true)
	for l.step() {
	}
	l.worker.Flush(l.emit)
	if l.chain != nil {
		l.chain.Flush()
	}
	for _, in := range l.intakes {
		in.Flush()
	}
	l.publish()
}

// step takes one batch. It returns false at the end.
func (l *lane) step() (more bool) {
	defer func() {
		if fault := recover(); fault != nil {
			l.shrank(fault)
			more = true
		}
	}()
	l.given, l.done = 0, 0
	err := l.source.Read(&l.batch)
	l.worker.SetMask(l.pipeline.masks.Load())
	switch {
	case err == nil:
		l.given = l.batch.Len()
		for i := range l.batch.Packets {
			l.worker.Packet(&l.batch.Packets[i], l.emit)
			l.done++
		}
		if n := len(l.batch.Packets); n > 0 {
			l.passed(l.batch.Packets[n-1].Interface, l.batch.Packets[n-1].Time)
		}
		l.messages()
	case errors.Is(err, os.ErrDeadlineExceeded):
	case errors.Is(err, io.EOF):
		l.pipeline.laneEnded()
		return false
	default:
		l.pipeline.fail("lane", err)
		l.pipeline.laneEnded()
		l.discard()
		return false
	}
	if now := time.Now(); now.Sub(l.ticked) >= tickEvery {
		l.tick(now)
	}
	l.publish()
	return true
}

// messages takes what came without packets.
func (l *lane) messages() {
	for i := range l.batch.Messages {
		l.worker.Message(&l.batch.Messages[i], l.emit)
		l.done++
	}
	if n := len(l.batch.Messages); n > 0 {
		l.passed(l.batch.Messages[n-1].Interface, l.batch.Messages[n-1].When())
	}
}

// passed tells that a time was reached.
func (l *lane) passed(number uint32, time int64) {
	l.worker.PacketTime(number, time, l.emit)
	if l.chain != nil {
		l.chain.PacketTime(number, time)
	}
}

// publish shows the books of what the lane has done.
func (l *lane) publish() {
	l.worker.Publish()
	if l.chain != nil {
		l.chain.Publish()
	}
}

// tick looks after what waits, also where packets never stop coming. A file's
// packets bring the time that passes for reassembly and stages; what is live has the
// monotonic clock, which does not step where the time of day is set.
func (l *lane) tick(now time.Time) {
	l.ticked = now
	if l.pipeline.source.Live() {
		passed := int64(now.Sub(l.began))
		l.worker.Tick(passed, l.emit)
		if l.chain != nil {
			l.chain.Tick(passed)
		}
	}
	for _, in := range l.intakes {
		in.Tick(now)
	}
}

// shrank closes the books over a batch whose file became shorter while it was
// read. Any other panic goes on; that of a stage, which reads nothing of the file,
// with its name.
func (l *lane) shrank(fault any) {
	if l.chain != nil && l.chain.Working() != "" {
		panic(fmt.Sprintf("stage %s: %v", l.chain.Working(), fault))
	}
	file, ok := l.source.(capture.Shrinker)
	if !ok || !capture.IsFault(fault) {
		panic(fault)
	}
	l.worker.Abandon(account.FileShrank, l.given-l.done)
	l.publish()
	file.Shrunk()
}

// discard takes off what a lane that has failed is still given, until the source
// ends. What it has read before is delivered meanwhile.
func (l *lane) discard() {
	source, ok := l.source.(capture.Discarder)
	for err := error(nil); ok && (err == nil || errors.Is(err, os.ErrDeadlineExceeded)); {
		var n int
		n, err = source.Discard()
		l.worker.Abandon(account.LaneFailed, n)
		if now := time.Now(); now.Sub(l.ticked) >= tickEvery {
			l.tick(now)
		}
		l.publish()
	}
}
