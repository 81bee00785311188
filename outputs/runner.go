package outputs

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"dnsmonster-sensor/userspace/account"
	"dnsmonster-sensor/userspace/event"
)

// afterCancel is how long Stop waits for writers whose context has ended.
const afterCancel = time.Second

// Runner does for one output what all outputs need: batches, queue, writers,
// retries, timeouts and ledgers. Lanes give it events through intakes.
//
//	lane: Intake.Offer -> open block -> joiner -> Queue -> worker -> Writer
//
// where a block that is a batch passes the joiner by, and, where there is a spool, by way of disk between Queue and worker.
type Runner struct {
	out      Output
	set      Settings
	live     bool
	ids      *event.IDs
	counters *account.Counters
	log      *slog.Logger
	health   health
	filter   atomic.Pointer[Filter]

	queue       *queue
	join        *joiner
	maxOpenTime time.Duration // how long a lane keeps an open block
	spool       *spoolQueue   // nil: no spool
	free        freeBlocks
	rows        batchRows

	lanesMu sync.Mutex
	intakes []*Intake // guarded by lanes

	ctx           context.Context // ends what waits and what is under way
	cancel        context.CancelFunc
	workers       []*worker
	running       sync.WaitGroup
	withoutWriter atomic.Int32 // workers that have no writer: they hold nothing

	ended   chan struct{}
	endOnce sync.Once
	endErr  error // written before gone is closed

	stopMu    sync.Mutex
	shard     *account.Shard // what Stop and giveUp throw away; guarded by stop
	closeErrs []error        // of writers that did not close cleanly; guarded by stop
	started   bool           // by Start
	finished  bool           // the spool is closed; guarded by stop
	stuck     atomic.Bool    // it could not be closed in time
}

// NewRunner makes a runner that does nothing before Start but take events. live
// says what a full queue means: behind a live source its events are dropped and
// counted, behind any other the lanes wait. counters comes from
// account.NewDeliveryCounters and is this runner's alone. A spool is opened here, and
// closed by Stop.
func NewRunner(out Output, set Settings, live bool, ids *event.IDs, counters *account.Counters, log *slog.Logger) (*Runner, error) {
	if err := set.Validate(); err != nil {
		return nil, fmt.Errorf("set up output %s: %w", out.Name(), err)
	}
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	log = log.With("output", out.Name())
	r := &Runner{
		out: out, set: set.withDefaults(live), live: live, ids: ids, counters: counters, log: log,
		health: health{log: log},
		ended:  make(chan struct{}),
		shard:  counters.Shard(),
	}
	r.maxOpenTime = r.set.BatchDelay - joinMargin(r.set.BatchDelay)
	r.free = newFreeBlocks(r.set, live)
	r.filter.Store(&Filter{set.Type, set.Skip, set.Allow})
	if set.Spool.Dir == "" {
		r.queue = newQueue(r.set.QueueBytes, counters.Shard())
		r.queue.maxEvents = r.set.QueueEvents
	} else {
		r.queue = newQueue(r.set.spoolQueueBytes(), counters.Shard())
		r.queue.maxEvents = (r.set.QueueEvents + 1) / 2
		r.queue.chargePopped = true
		var err error
		if r.spool, err = openSpoolQueue(r); err != nil {
			return nil, fmt.Errorf("--spooldir %s: output %s: %w", set.Spool.Dir, out.Name(), err)
		}
	}
	if text := set.batchWarning(r.set, out.Name()); text != "" {
		log.Warn("batches will be smaller than they are set to be: " + text)
	}
	r.join = newJoiner(r)
	r.ctx, r.cancel = context.WithCancel(context.Background())
	for range set.Workers {
		r.workers = append(r.workers, &worker{r: r, shard: counters.Shard()})
	}
	return r, nil
}

// Discard gives back what NewRunner took, of a runner that is not started. After
// Stop it does nothing.
func (r *Runner) Discard() {
	r.stopMu.Lock()
	defer r.stopMu.Unlock()
	if r.spool != nil && !r.finished {
		r.finished = true
		r.spool.discard()
	}
}

// Start starts the writers, once. The end of ctx ends everything at once: lanes
// that wait go on, attempts under way are cancelled, and what is left counts as
// abandoned. For an orderly end call Stop while ctx still lasts.
func (r *Runner) Start(ctx context.Context) {
	context.AfterFunc(ctx, r.cancel)
	r.started = true
	r.running.Go(func() { r.join.run(r.ctx) })
	if r.spool != nil {
		r.running.Go(func() { r.spool.move(r.ctx) })
		r.running.Go(func() { r.spool.sync(r.ctx) })
	}
	for _, w := range r.workers {
		r.running.Go(func() { w.run(r.ctx) })
	}
}

// Gone is closed when the output cannot go on: its reader has left, or opening
// it failed for good. From then on all it is offered counts as abandoned, and
// nobody waits for it.
func (r *Runner) Ended() <-chan struct{} { return r.ended }

// Err is why Gone was closed, nil before.
func (r *Runner) Err() error {
	select {
	case <-r.ended:
		return r.endErr
	default:
		return nil
	}
}

// Stop lets the writers finish what is queued until ctx ends, stores the rest in
// the spool or abandons it, and closes them. Call it when every intake has been
// flushed. It returns soon after the end of ctx, even when a writer does not.
func (r *Runner) Stop(ctx context.Context) {
	r.queue.Close()
	done := make(chan struct{})
	go func() {
		r.running.Wait()
		close(done)
	}()
	r.await(ctx, done)
	r.cancel()
	select {
	case <-done:
	case <-time.After(afterCancel):
		for _, w := range r.workers {
			w.writeOff()
		}
	}
	r.finish()
}

// emptyEvery is how often Stop looks whether there is anything left to wait for.
const idlePoll = 10 * time.Millisecond

// await returns when the writers have ended, when ctx ends, and when nothing is
// left but attempts to open a writer, which would have nothing to write.
func (r *Runner) await(ctx context.Context, done <-chan struct{}) {
	tick := time.NewTicker(idlePoll)
	defer tick.Stop()
	for {
		select {
		case <-done:
			return
		case <-ctx.Done():
			return
		case <-tick.C:
			if r.nothingLeft() {
				return
			}
		}
	}
}

// nothingLeft tells whether a queue that is closed has nothing any more for
// workers of which none has a writer.
func (r *Runner) nothingLeft() bool {
	if int(r.withoutWriter.Load()) < len(r.workers) {
		return false
	}
	if r.spool != nil {
		select {
		case <-r.spool.ended:
		default:
			return false
		}
	}
	return !r.busy() && !r.queue.unbatched.nonEmpty()
}

// finish deals with what is left.
func (r *Runner) finish() {
	r.health.logUnlogged()
	r.stopMu.Lock()
	defer r.stopMu.Unlock()
	if r.started {
		<-r.join.ended // it never waits for others
	}
	r.join.round(true) // what lanes brought since, or before a start that never came
	if r.spool == nil {
		r.abandon(r.queue.Drain())
		return
	}
	if r.finished {
		return
	}
	r.finished = true
	done := make(chan uint64, 1)
	go func() {
		<-r.spool.ended
		if errors.Is(r.Err(), ErrReaderGone) {
			done <- r.queue.Drain() + r.spool.abandon()
			return
		}
		var rest []item
		for {
			it, _ := r.queue.tryPop()
			if it.block == nil {
				break
			}
			rest = append(rest, it)
		}
		done <- r.spool.finish(rest)
	}()
	select {
	case abandoned := <-done:
		r.abandon(abandoned)
	case <-time.After(r.spool.closeTimeout):
		r.stuck.Store(true)
		r.log.Error("the spool's disk does not answer: what is in memory is lost", "waited", r.spool.closeTimeout)
	}
}

func (r *Runner) abandon(events uint64) {
	r.shard.Add(account.Abandoned, events)
	r.shard.Publish()
}

// Ledger reads the counters. offered is what the lanes say they offered.
func (r *Runner) Ledger(offered func() uint64) account.Ledger {
	l := account.DeliveryLedger(r.out.Name(), r.counters, offered)
	if m, ok := r.out.(Meterer); ok {
		l.Meters = append(l.Meters, m.Meters()...)
	}
	return l
}

// Name is the output's.
func (r *Runner) Name() string { return r.out.Name() }

// Stuck is how many events were neither delivered nor surely stored when Stop
// returned, because the spool's disk did not answer. They count as held.
func (r *Runner) Stuck() uint64 {
	if !r.stuck.Load() {
		return 0
	}
	return r.counters.Sum(account.DeliveryHeld)
}

// CloseErr is why writers did not close cleanly, nil where they did. It is for the
// time behind Stop.
func (r *Runner) CloseErr() error {
	r.stopMu.Lock()
	defer r.stopMu.Unlock()
	return errors.Join(r.closeErrs...)
}

// Trouble is why the last attempts failed, nil where they did not.
func (r *Runner) LastError() error { return r.health.lastError() }

// Waiting is how many events the spool holds; 0 where its disk does not answer.
func (r *Runner) SpoolEvents() uint64 {
	if r.spool == nil || r.stuck.Load() {
		return 0
	}
	return r.spool.spool.Stats().Pending
}

// SpoolBytes is how large the spool is, and may become; 0 and 0 without one.
func (r *Runner) SpoolBytes() (size, limit int64) {
	if r.spool == nil || r.stuck.Load() {
		return 0, 0
	}
	return r.spool.spool.Stats().Bytes, r.set.Spool.Bytes
}

// next gives a worker its next block, oldest first.
func (r *Runner) next(ctx context.Context) (item, bool) {
	if r.spool != nil {
		return r.spool.next(ctx)
	}
	return r.queue.pop(ctx)
}

// busy tells whether blocks wait for a writer.
func (r *Runner) busy() bool {
	return r.queue.nonEmpty.Load() || r.spool != nil && (r.spool.front.nonEmpty.Load() || r.spool.spool.HasPending())
}

// put hands a lane's block over.
func (r *Runner) put(p laneBlock, round *uint64) putResult {
	if r.live {
		return r.queue.offer(p, round, p.last)
	}
	result := r.queue.wait(r.ctx, func() putResult { return r.queue.offer(p, round, false) })
	if result == putStopped && r.spool != nil {
		// Sending has ended, Stop has not come: it will take what the lanes still
		// have in hand, which is little, to the spool.
		return r.queue.offer(p, round, true)
	}
	return result
}

// GiveUp ends the output: what it is offered counts as abandoned from now on.
func (r *Runner) End(why error) { r.giveUp(why) }

// giveUp says so at once, since other outputs may go on for long. A reader that
// has left is no fault, and the program's to judge.
func (r *Runner) giveUp(err error) {
	r.endOnce.Do(func() {
		r.endErr = err
		if !errors.Is(err, ErrReaderGone) {
			r.log.Error("output gives up: what it has not delivered and what is still to come for it is abandoned",
				"records", r.counters.Sum(account.DeliveryHeld)+r.counters.Sum(account.Abandoned), "error", err)
		}
		close(r.ended)
	})
	r.queue.Close()
	r.cancel() // what this worker met, the others will meet
	if r.spool != nil {
		return // Stop decides
	}
	r.stopMu.Lock()
	defer r.stopMu.Unlock()
	r.abandon(r.queue.Drain())
}
