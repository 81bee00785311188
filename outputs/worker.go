package outputs

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v5"

	"dnsmonster-sensor/userspace/account"
	"dnsmonster-sensor/userspace/event"
)

// worker moves blocks from the queue to one writer.
type worker struct {
	r       *Runner
	writer  Writer
	failing bool

	mu         sync.Mutex // guards everything below: Stop may write off a worker that hangs
	shard      *account.Shard
	inHand     item
	held       int // events of inHand
	writtenOff bool
}

// result says what became of a block's events; the counts add up to all of them.
type result struct {
	delivered, refused, left uint64
	bytes                    uint64
	rest                     *event.Block // the events that are left; nil: none
	why                      error        // why events were refused; nil: the writer did not say
	ended                    error        // why the output cannot go on
}

// run ends when the queue is closed and empty, when ctx ends, or when the output cannot
// go on.
func (w *worker) run(ctx context.Context) {
	w.r.withoutWriter.Add(1)
	if err := w.open(ctx); err != nil {
		if ctx.Err() == nil {
			w.r.End(err)
		}
		return
	}
	w.r.withoutWriter.Add(-1)
	defer w.r.withoutWriter.Add(1)
	defer w.close()
	for {
		it, ok := w.r.next(ctx)
		if !ok {
			return
		}
		w.setInHand(it)
		res := w.deliver(ctx, it.block)
		if !w.recordResult(res) {
			return
		}
		if !it.shared && res.rest != it.block {
			w.r.free.put(it.block)
		}
		if res.ended != nil {
			w.r.End(res.ended)
			return
		}
	}
}

func (w *worker) open(ctx context.Context) error {
	delays := w.r.newBackOff()
	for {
		writer, err := openOnce(ctx, w.r.out, w.r.set.Timeout)
		if err == nil {
			w.writer = writer
			w.noteSuccess()
			return nil
		}
		if errors.Is(err, ErrPermanent) || errors.Is(err, ErrReaderGone) || errors.Is(err, ErrEnded) || ctx.Err() != nil {
			return err
		}
		w.noteFailure("open", err)
		if !sleep(ctx, retryDelay(delays, err)) {
			return ctx.Err()
		}
	}
}

func (w *worker) close() {
	if err := w.writer.Close(); err != nil {
		w.r.log.Error("output failed to close: the last records may not be stored", "error", err)
		w.r.stopMu.Lock()
		defer w.r.stopMu.Unlock()
		w.r.closeErrs = append(w.r.closeErrs, err)
	}
}

// deliver tries until every event of b is delivered or refused, the output ends, or ctx
// ends. It counts failed attempts as they happen; recordResult counts everything else.
func (w *worker) deliver(ctx context.Context, b *event.Block) result {
	left := b.Len() // events of b that were not refused
	var res result
	for delays := w.r.newBackOff(); ; {
		refused, err := writeOnce(ctx, w.writer, b, w.r.set.Timeout)
		refused = min(max(refused, 0), left)
		left -= refused
		res.refused += uint64(refused)
		var partial *Partial
		if errors.As(err, &partial) && partial.validFor(b, left) {
			if res.why == nil && refused > 0 {
				res.why = partial.Err
			}
			b = w.keepFailed(b, left, partial, &res)
			if left = b.Len(); left == 0 {
				err = nil
			}
		}
		switch {
		case err == nil:
			w.noteSuccess()
			res.delivered += uint64(left)
			res.bytes += uint64(b.Size())
			return res
		case errors.Is(err, ErrPermanent):
			w.noteSuccess()
			res.refused += uint64(left)
			res.why = err
			return res
		case errors.Is(err, ErrReaderGone), errors.Is(err, ErrEnded):
			res.left, res.rest, res.ended = uint64(left), b, err
			return res
		case ctx.Err() != nil:
			res.left, res.rest = uint64(left), b
			return res
		}
		w.noteFailure("write", err)
		if !sleep(ctx, retryDelay(delays, err)) {
			res.left, res.rest = uint64(left), b
			return res
		}
	}
}

// keepFailed applies p to b, of which left events were not refused: it counts the delivered
// ones, and returns a block of the failed ones.
func (w *worker) keepFailed(b *event.Block, left int, p *Partial, res *result) *event.Block {
	failed := subset(b, p.Failed, w.r.ids.Next(), b.Sealed())
	res.delivered += uint64(left - failed.Len())
	res.bytes += uint64(b.Size() - failed.Size())
	return failed
}

// retryDelay is how long to wait before the next attempt.
func retryDelay(delays *backoff.ExponentialBackOff, err error) time.Duration {
	d := min(delays.NextBackOff(), delays.MaxInterval) // jitter must not go beyond it
	var retryAfter *RetryAfter
	if errors.As(err, &retryAfter) {
		d = max(d, min(retryAfter.Wait, MaxRetryAfter))
	}
	return d
}

// setInHand publishes a block as held by this worker.
func (w *worker) setInHand(it item) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.inHand = it
	w.setHeld(it.block.Len())
}

// recordResult counts what became of the block in hand and notes it in the spool. It returns
// false if Stop has already counted the block.
func (w *worker) recordResult(res result) bool {
	it, ok := w.count(res)
	if ok && res.left == 0 && w.r.spool != nil {
		w.r.spool.done(it) // outside the lock: a disk may hang, and Stop needs the lock
	}
	return ok
}

// count is recordResult without the spool. It returns what was in hand.
func (w *worker) count(res result) (it item, ok bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.writtenOff {
		return item{}, false
	}
	it = w.inHand
	switch {
	case res.left == 0:
	case w.r.spool != nil && res.ended == nil:
		// The spool stores all of rest. Events of it that were refused will be refused again,
		// and count then.
		res.refused -= uint64(res.rest.Len()) - res.left
		rest := it
		rest.block = res.rest
		w.r.spool.takeBack(rest)
	default:
		w.shard.Add(account.Abandoned, res.left)
	}
	w.shard.Add(account.Delivered, res.delivered)
	w.shard.Add(account.Refused, res.refused)
	w.shard.Add(account.OutBytes, res.bytes)
	if res.bytes > 0 {
		w.shard.Add(account.Blocks, 1)
		w.r.rows.add(res.delivered)
	}
	if res.refused > 0 {
		w.r.health.refusal(res.refused, res.why)
	}
	w.inHand = item{}
	w.setHeld(0)
	return it, true
}

// since is when the oldest event in hand was received; zero if there is none.
func (w *worker) since() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.held == 0 {
		return time.Time{}
	}
	return w.inHand.since
}

// writeOff takes the block from a worker that does not return in time. The worker's result,
// if it still comes, is not counted.
func (w *worker) writeOff() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.writtenOff {
		return
	}
	w.writtenOff = true
	switch {
	case w.held == 0:
		return
	case w.r.spool != nil:
		w.r.log.Warn("an attempt does not end: its batch goes to the spool", "waited", afterCancel)
		w.r.spool.takeBack(w.inHand)
	default:
		w.r.log.Warn("an attempt does not end: its batch counts as abandoned", "waited", afterCancel)
		w.shard.Add(account.Abandoned, uint64(w.held))
	}
	w.setHeld(0)
}

func (w *worker) setHeld(events int) {
	w.held = events
	w.shard.Set(account.DeliveryHeld, uint64(events))
	w.shard.Publish()
}

// noteFailure counts a failed attempt that will be repeated.
func (w *worker) noteFailure(doing string, err error) {
	w.r.health.failed(!w.failing, doing, err)
	w.failing = true
	w.mu.Lock()
	defer w.mu.Unlock()
	w.shard.Add(account.Retries, 1)
	w.shard.Publish()
}

// noteSuccess notes that the destination answers.
func (w *worker) noteSuccess() {
	if w.r.checkFailed.Load() && w.r.checkFailed.CompareAndSwap(true, false) {
		w.r.health.recovered()
	}
	if w.failing {
		w.failing = false
		w.r.health.recovered()
	}
}

func writeOnce(ctx context.Context, w Writer, b *event.Block, timeout time.Duration) (int, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	return w.Write(ctx, b)
}

func openOnce(ctx context.Context, o Output, timeout time.Duration) (Writer, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	return o.Open(ctx)
}

// newBackOff returns the pauses between attempts: doubling, with jitter, up to a cap.
func (r *Runner) newBackOff() *backoff.ExponentialBackOff {
	d := backoff.NewExponentialBackOff()
	d.InitialInterval = r.set.RetryFirst
	d.MaxInterval = r.set.RetryMax
	d.Multiplier = 2
	return d
}

// sleep returns false if ctx ended first.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
