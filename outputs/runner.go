package outputs

import (
	"cmp"
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

// afterCancel is how long Stop waits for writers after their context has ended.
const afterCancel = time.Second

// Runner does for one output what all outputs need: batches, queue, writers,
// retries, timeouts and ledgers. Lanes give it events through intakes.
//
//	lane: Intake.Offer -> open block -> joiner -> queue -> worker -> Writer
//
// A block that is already a batch bypasses the joiner. With a spool, blocks
// pass through spoolQueue between queue and worker.
type Runner struct {
	out      Output
	set      Settings
	live     bool
	ids      *event.IDs
	counters *account.Counters
	log      *slog.Logger
	health   health

	checkFailed atomic.Bool // and nothing has succeeded since

	filter atomic.Pointer[Filter]

	queue       *queue
	join        *joiner
	maxOpenTime time.Duration // how long a lane keeps an open block
	spool       *spoolQueue   // nil: no spool
	free        *freeBlocks
	rows        batchRows

	lanesMu sync.Mutex
	intakes []*Intake // guarded by lanesMu

	ctx           context.Context // its end wakes everything that waits and cancels attempts
	cancel        context.CancelFunc
	workers       []*worker
	running       sync.WaitGroup
	withoutWriter atomic.Int32 // workers without a writer: they hold no block

	ended   chan struct{}
	endOnce sync.Once
	endErr  error // written before ended is closed

	stopMu    sync.Mutex
	shard     *account.Shard // counts what Stop and End abandon; guarded by stopMu
	closeErrs []error        // of writers that failed to close; guarded by stopMu
	started   bool           // Start was called, before Stop
	finished  bool           // the spool is closed; guarded by stopMu
	stuck     atomic.Bool    // the spool could not be closed in time
}

// NewRunner makes a runner that takes events at once and does everything else from Start
// on. live says what a full queue means: with a live source its events are dropped and
// counted, with any other the lanes wait. counters comes from
// account.NewDeliveryCounters and belongs to this runner. NewRunner opens the spool, Stop
// closes it.
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
		r.queue.maxEvents = cmp.Or(r.set.QueueEvents, r.set.fileEvents)
	} else {
		r.queue = newQueue(r.set.spoolQueueBytes(), counters.Shard())
		r.queue.maxEvents = r.set.spoolQueueEvents()
		r.queue.chargePopped = true
		var err error
		if r.spool, err = openSpoolQueue(r); err != nil {
			return nil, fmt.Errorf("--spooldir %s: output %s: %w", set.Spool.Dir, out.Name(), err)
		}
	}
	if text := set.batchWarning(r.set, out.Name()); text != "" {
		log.Warn("batches will be smaller than configured: " + text)
	}
	r.join = newJoiner(r)
	r.ctx, r.cancel = context.WithCancel(context.Background())
	for range set.Workers {
		r.workers = append(r.workers, &worker{r: r, shard: counters.Shard()})
	}
	return r, nil
}

// Discard releases what NewRunner took, for a runner that was not started. After Stop it
// does nothing.
func (r *Runner) Discard() {
	r.stopMu.Lock()
	defer r.stopMu.Unlock()
	if r.spool != nil && !r.finished {
		r.finished = true
		r.spool.discard()
	}
}

// Start starts the writers; call it once. The end of ctx ends everything at once: waiting
// lanes go on, attempts are cancelled, and what is left counts as abandoned. For an
// orderly end call Stop before ctx ends.
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

// CheckFailed notes that the output's check at the start has failed. The output then fails
// until its first success, so that the log tells of one outage and not of two.
func (r *Runner) CheckFailed(err error) {
	if inner := errors.Unwrap(err); inner != nil && err.Error() == r.Name()+": "+inner.Error() {
		err = inner // the line names the output, as for later attempts
	}
	if r.checkFailed.CompareAndSwap(false, true) {
		r.health.failed(true, "check", err)
	}
}

// Ended is closed when the output cannot go on: its reader has left, or opening it failed
// for good. From then on everything offered counts as abandoned, and nobody waits for
// the output.
func (r *Runner) Ended() <-chan struct{} { return r.ended }

// Err is why the output has ended; nil while it goes on.
func (r *Runner) Err() error {
	select {
	case <-r.ended:
		return r.endErr
	default:
		return nil
	}
}

// Stop lets the writers send what is queued until ctx ends, stores the rest in the spool
// or abandons it, and closes the writers. Call it when every intake has been flushed.
// It returns soon after the end of ctx, even if a writer does not.
func (r *Runner) Stop(ctx context.Context) {
	r.queue.close()
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

// idlePoll is how often Stop checks whether there is still something to wait for.
const idlePoll = 10 * time.Millisecond

// await returns when the writers have ended, when ctx ends, or when nothing is left but
// attempts to open a writer that would have nothing to write.
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

// nothingLeft reports whether no worker has a writer and the closed queue has nothing
// for them.
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

// finish stores or abandons what is left.
func (r *Runner) finish() {
	r.health.logUnlogged()
	r.stopMu.Lock()
	defer r.stopMu.Unlock()
	if r.started {
		<-r.join.ended // it never waits for others
	}
	r.join.round(true) // what lanes brought since, or before a start that never came
	if r.spool == nil {
		r.abandon(r.queue.drain())
		return
	}
	if r.finished {
		return
	}
	r.finished = true
	done := make(chan uint64, 1)
	go func() { done <- r.closeSpool() }()
	select {
	case abandoned := <-done:
		r.abandon(abandoned)
	case <-time.After(r.spool.closeTimeout):
		r.stuck.Store(true)
		r.log.Error("the spool's disk does not answer: what is in memory is lost", "waited", r.spool.closeTimeout)
	}
}

// closeSpool stores what is left, unless nobody will ever read it, and returns how many
// events are abandoned.
func (r *Runner) closeSpool() (abandoned uint64) {
	<-r.spool.ended
	if errors.Is(r.Err(), ErrReaderGone) {
		return r.queue.drain() + r.spool.abandon()
	}
	return r.spool.finish(r.queue.popAll())
}

func (r *Runner) abandon(events uint64) {
	r.shard.Add(account.Abandoned, events)
	r.shard.Publish()
}

// Ledger reads the counters. offered is how many events the lanes say they offered.
func (r *Runner) Ledger(offered func() uint64) account.Ledger {
	l := account.DeliveryLedger(r.out.Name(), r.counters, offered)
	if m, ok := r.out.(Meterer); ok {
		l.Meters = append(l.Meters, m.Meters()...)
	}
	return l
}

// Name is the output's name.
func (r *Runner) Name() string { return r.out.Name() }

// Stuck is how many events were neither delivered nor stored for certain when Stop
// returned, because the spool's disk did not answer. They count as held.
func (r *Runner) Stuck() uint64 {
	if !r.stuck.Load() {
		return 0
	}
	return r.counters.Sum(account.DeliveryHeld)
}

// CloseErr joins the errors of writers that failed to close; nil if there are none. Call
// it after Stop.
func (r *Runner) CloseErr() error {
	r.stopMu.Lock()
	defer r.stopMu.Unlock()
	return errors.Join(r.closeErrs...)
}

// LastError is why the last attempt failed; nil if no worker is failing.
func (r *Runner) LastError() error { return r.health.lastError() }

// SpoolEvents is how many events wait in the spool; 0 if its disk does not answer.
func (r *Runner) SpoolEvents() uint64 {
	if r.spool == nil || r.stuck.Load() {
		return 0
	}
	return r.spool.spool.Stats().Pending
}

// SpoolBytes is the spool's size and its limit; 0 and 0 without one.
func (r *Runner) SpoolBytes() (size, limit int64) {
	if r.spool == nil || r.stuck.Load() {
		return 0, 0
	}
	return r.spool.spool.Stats().Bytes, r.set.Spool.Bytes
}

// next gives a worker the oldest block.
func (r *Runner) next(ctx context.Context) (item, bool) {
	if r.spool != nil {
		return r.spool.next(ctx)
	}
	return r.queue.pop(ctx)
}

// busy reports whether blocks wait for a writer.
func (r *Runner) busy() bool {
	return r.queue.nonEmpty.Load() || r.spool != nil && (r.spool.front.nonEmpty.Load() || r.spool.spool.HasPending())
}

// put hands a lane's block over.
func (r *Runner) put(b laneBlock, generation *uint64) putResult {
	if r.live {
		return r.queue.offer(b, generation, b.last)
	}
	result := r.queue.wait(r.ctx, func() putResult { return r.queue.offer(b, generation, false) })
	if result == putStopped && r.spool != nil {
		// Sending has ended, but Stop has not been called yet: it will store what the
		// lanes still hold, which is little.
		return r.queue.offer(b, generation, true)
	}
	return result
}

// End ends the output: everything offered from now on counts as abandoned. It logs
// that at once, since other outputs may go on for long. A reader that has left is no
// fault; what that means is the program's decision.
func (r *Runner) End(err error) {
	r.endOnce.Do(func() {
		r.endErr = err
		if !errors.Is(err, ErrReaderGone) {
			r.log.Error("output has failed for good: its undelivered records and all further ones are abandoned",
				"records", r.counters.Sum(account.DeliveryHeld)+r.counters.Sum(account.Abandoned), "error", err)
		}
		close(r.ended)
	})
	r.queue.close()
	r.cancel() // the other workers would meet the same error
	if r.spool != nil {
		return // Stop decides
	}
	r.stopMu.Lock()
	defer r.stopMu.Unlock()
	r.abandon(r.queue.drain())
}
