package outputs

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v5"

	"dnsmonster-sensor/userspace/account"
	"dnsmonster-sensor/userspace/event"
)

// worker moves blocks from the queue to one writer.
type worker struct {
	r      *Runner
	writer Writer

	mu         sync.Mutex // guards everything below: Stop may write off a worker that hangs
	shard      *account.Shard
	inHand     []*delivery // at most one of them is not postponed
	writtenOff bool
}

// delivery is a block in the hand of a worker, and what has become of its events so far.
type delivery struct {
	item
	result
	delays  *backoff.ExponentialBackOff // between attempts
	failing bool                        // the last attempt failed
	due     time.Time                   // of the next attempt; zero: the block is not postponed
}

// result says what became of a block's events; the counts add up to all of them.
type result struct {
	delivered, refused, left uint64
	bytes                    uint64
	rest                     *event.Block // has the events that are left, if any are
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
	defer w.giveBack()
	for {
		d, ok := w.next(ctx)
		if !ok {
			return
		}
		w.deliver(ctx, d)
		if !d.due.IsZero() {
			continue
		}
		if !w.record(d) {
			return
		}
		if !d.shared && (d.left == 0 || d.rest != d.block) {
			w.r.free.put(d.block)
		}
		if d.ended != nil {
			w.r.End(d.ended)
			return
		}
	}
}

func (w *worker) open(ctx context.Context) error {
	delays, failing := w.r.newBackOff(), false
	for {
		writer, err := openOnce(ctx, w.r.out, w.r.set.Timeout)
		if err == nil {
			w.writer = writer
			w.noteSuccess(&failing)
			return nil
		}
		if errors.Is(err, ErrPermanent) || errors.Is(err, ErrReaderGone) || errors.Is(err, ErrEnded) || ctx.Err() != nil {
			return err
		}
		w.noteFailure(&failing, "open", err)
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

// deliver tries until every event of d is delivered or refused, d is postponed, the output
// ends, or ctx ends. It counts failed attempts as they happen; record counts everything
// else.
func (w *worker) deliver(ctx context.Context, d *delivery) {
	for {
		refused, err := writeOnce(ctx, w.writer, d.rest, w.r.set.Timeout)
		d.refuse(uint64(min(max(refused, 0), int(d.left))))
		var postpone *Postpone
		if err != nil {
			postpone, err = w.examine(d, refused > 0, err)
		}
		switch {
		case err == nil:
			w.succeeded(d)
			d.delivered += d.left
			d.bytes += uint64(d.rest.Size())
			d.left = 0
			return
		case errors.Is(err, ErrPermanent):
			w.succeeded(d)
			d.refuse(d.left)
			d.why = err
			return
		case errors.Is(err, ErrReaderGone), errors.Is(err, ErrEnded):
			d.ended = err
			return
		case ctx.Err() != nil:
			return
		}
		w.noteFailure(&d.failing, "write", err)
		delay := retryDelay(d.delays, err)
		if postpone != nil {
			w.postpone(d, delay)
			return
		}
		if !sleep(ctx, delay) {
			return
		}
	}
}

// examine applies what an error says about single events or a part of the destination. It
// returns no error if nothing is left to be sent.
func (w *worker) examine(d *delivery, refused bool, err error) (*Postpone, error) {
	var partial *Partial
	if errors.As(err, &partial) && partial.validFor(d.rest, int(d.left)) {
		if d.why == nil && refused {
			d.why = partial.Err
		}
		d.keepFailed(partial, w.r.ids.Next())
		if d.left == 0 {
			return nil, nil
		}
	}
	var postpone *Postpone
	if errors.As(err, &postpone) {
		w.setPart(d, postpone.Part)
	}
	return postpone, err
}

// refuse moves n of the events that are left to those that are refused.
func (r *result) refuse(n uint64) {
	r.left -= n
	r.refused += n
}

// keepFailed counts the events that p does not name as delivered, and makes a block of the
// others.
func (r *result) keepFailed(p *Partial, id event.ID) {
	failed := subset(r.rest, p.Failed, id, r.rest.Sealed())
	r.delivered += r.left - uint64(failed.Len())
	r.bytes += uint64(r.rest.Size() - failed.Size())
	r.rest, r.left = failed, uint64(failed.Len())
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

// hold publishes a block as held by this worker, and tells the writer if an earlier run has
// left it.
func (w *worker) hold(it item) *delivery {
	if resumer, ok := w.writer.(Resumer); ok && it.seg != nil {
		resumer.Resume(it.block.ID(), func(part string) bool { return it.seg.Noted(it.id, part) })
	}
	d := &delivery{item: it, result: result{left: uint64(it.block.Len()), rest: it.block}, delays: w.r.newBackOff()}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.inHand = append(w.inHand, d)
	w.publish()
	return d
}

// record counts what became of a block, and notes it in the spool. It returns false if Stop
// has already counted the block.
func (w *worker) record(d *delivery) bool {
	ok := w.count(d)
	if ok && d.left == 0 && w.r.spool != nil {
		w.r.spool.done(d.item) // outside the lock: a disk may hang, and Stop needs the lock
	}
	return ok
}

// count is record without the spool.
func (w *worker) count(d *delivery) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.writtenOff {
		return false
	}
	refused := d.refused
	switch {
	case d.left == 0:
	case w.r.spool != nil && d.ended == nil:
		// The spool stores all of rest. Events of it that were refused will be refused again,
		// and count then.
		refused -= uint64(d.rest.Len()) - d.left
		rest := d.item
		rest.block = d.rest
		w.r.spool.takeBack(rest)
	default:
		w.shard.Add(account.Abandoned, d.left)
	}
	w.shard.Add(account.Delivered, d.delivered)
	w.shard.Add(account.Refused, refused)
	w.shard.Add(account.OutBytes, d.bytes)
	if d.bytes > 0 {
		w.shard.Add(account.Blocks, 1)
		w.r.rows.add(d.delivered)
	}
	if refused > 0 {
		w.r.health.refusal(refused, d.why)
	}
	w.inHand = slices.DeleteFunc(w.inHand, func(other *delivery) bool { return other == d })
	w.publish()
	return true
}

// giveBack returns what is still in hand when the worker ends: to the spool, or as
// abandoned.
func (w *worker) giveBack() {
	w.mu.Lock()
	left := slices.Clone(w.inHand)
	w.mu.Unlock()
	for _, d := range left {
		w.record(d)
	}
}

// since is when the oldest event in hand was received; zero if there is none.
func (w *worker) since() (t time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, d := range w.inHand {
		t = earlier(t, d.since)
	}
	return t
}

// writeOff takes everything from a worker that does not return in time. The worker's
// results, if they still come, are not counted.
func (w *worker) writeOff() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.writtenOff {
		return
	}
	w.writtenOff = true
	switch {
	case len(w.inHand) == 0:
		return
	case w.r.spool != nil:
		w.r.log.Warn("an attempt does not end: its batch goes to the spool", "waited", afterCancel)
		for _, d := range w.inHand {
			w.r.spool.takeBack(d.item)
		}
	default:
		w.r.log.Warn("an attempt does not end: its batch counts as abandoned", "waited", afterCancel)
		w.shard.Add(account.Abandoned, w.held())
	}
	w.inHand = nil
	w.publish()
}

// held is how many events are in hand. Like publish, it is called with mu held.
func (w *worker) held() (events uint64) {
	for _, d := range w.inHand {
		events += uint64(d.block.Len())
	}
	return events
}

func (w *worker) publish() {
	w.shard.Set(account.DeliveryHeld, w.held())
	w.shard.Publish()
}

// noteFailure counts a failed attempt that will be repeated. failing says whether the one
// before it failed.
func (w *worker) noteFailure(failing *bool, doing string, err error) {
	w.r.health.failed(!*failing, doing, err)
	*failing = true
	w.mu.Lock()
	defer w.mu.Unlock()
	w.shard.Add(account.Retries, 1)
	w.shard.Publish()
}

// noteSuccess notes that the destination answers.
func (w *worker) noteSuccess(failing *bool) {
	if w.r.checkFailed.Load() && w.r.checkFailed.CompareAndSwap(true, false) {
		w.r.health.recovered()
	}
	if *failing {
		*failing = false
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
