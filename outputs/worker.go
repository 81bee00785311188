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

// worker takes blocks from the queue to one writer.
type worker struct {
	r       *Runner
	writer  Writer
	failing bool

	mu         sync.Mutex // page and writtenOff: the stop may write off a worker that hangs
	page       *account.Page
	inFlight   int
	writtenOff bool
}

// result is what became of a block's events; together they are all of them.
type result struct {
	delivered, refused, abandoned uint64
	bytes                         uint64
	why                           error // of what was refused, where the writer said
	gone                          error // the output cannot go on
}

// run ends when the queue is closed and empty, when ctx ends, or when the
// output cannot go on.
func (w *worker) run(ctx context.Context) {
	if err := w.open(ctx); err != nil {
		if ctx.Err() == nil {
			w.r.giveUp(err)
		}
		return
	}
	defer w.close()
	for {
		b, ok := w.r.queue.Pop(ctx)
		if !ok {
			return
		}
		w.take(b)
		res := w.deliver(ctx, b)
		if !w.settle(res) {
			return
		}
		w.r.free.put(b)
		if res.gone != nil {
			w.r.giveUp(res.gone)
			return
		}
	}
}

func (w *worker) open(ctx context.Context) error {
	delays := w.r.delays()
	for {
		writer, err := openOnce(ctx, w.r.out, w.r.set.Timeout)
		if err == nil {
			w.writer = writer
			w.good()
			return nil
		}
		if errors.Is(err, ErrPermanent) || errors.Is(err, ErrGone) || ctx.Err() != nil {
			return err
		}
		w.bad("open", err)
		if !sleep(ctx, delays.NextBackOff()) {
			return ctx.Err()
		}
	}
}

func (w *worker) close() {
	if err := w.writer.Close(); err != nil {
		w.r.log.Warn("output does not close cleanly", "error", err)
	}
}

// deliver tries until all of b is delivered or refused, or there is no more
// trying. It leaves the counting to settle, but for the attempts, which are
// shown while they go on.
func (w *worker) deliver(ctx context.Context, b *event.Block) result {
	left := b.Len()
	var res result
	for delays := w.r.delays(); ; {
		refused, err := writeOnce(ctx, w.writer, b, w.r.set.Timeout)
		refused = min(max(refused, 0), left)
		left -= refused
		res.refused += uint64(refused)
		switch {
		case err == nil:
			w.good()
			res.delivered, res.bytes = uint64(left), uint64(b.Size())
			return res
		case errors.Is(err, ErrPermanent):
			w.good()
			res.refused += uint64(left)
			res.why = err
			return res
		case errors.Is(err, ErrGone):
			res.abandoned, res.gone = uint64(left), err
			return res
		case ctx.Err() != nil:
			res.abandoned = uint64(left)
			return res
		}
		w.bad("write", err)
		if !sleep(ctx, delays.NextBackOff()) {
			res.abandoned = uint64(left)
			return res
		}
	}
}

// take shows b as held by this worker.
func (w *worker) take(b *event.Block) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.hold(b.Len())
}

// settle counts what became of the block in hand. It returns false where the
// stop has counted it already.
func (w *worker) settle(res result) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.writtenOff {
		return false
	}
	w.page.Add(account.Delivered, res.delivered)
	w.page.Add(account.Refused, res.refused)
	w.page.Add(account.Abandoned, res.abandoned)
	w.page.Add(account.OutBytes, res.bytes)
	if res.bytes > 0 {
		w.page.Add(account.Blocks, 1)
	}
	if res.refused > 0 {
		w.r.health.refusal(res.refused, res.why)
	}
	w.hold(0)
	return true
}

// writeOff counts the block in hand as abandoned, for a worker that does not
// come back in time.
func (w *worker) writeOff() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.writtenOff {
		w.writtenOff = true
		w.page.Add(account.Abandoned, uint64(w.inFlight))
		w.hold(0)
	}
}

func (w *worker) hold(events int) {
	w.inFlight = events
	w.page.Set(account.DeliveryHeld, uint64(events))
	w.page.Publish()
}

// bad notes a failed attempt that will be repeated.
func (w *worker) bad(doing string, err error) {
	w.r.health.failed(!w.failing, doing, err)
	w.failing = true
	w.mu.Lock()
	defer w.mu.Unlock()
	w.page.Add(account.Retries, 1)
	w.page.Publish()
}

// good notes that the destination answers.
func (w *worker) good() {
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

// delays are the pauses between attempts: doubling, with jitter, up to a cap.
func (r *Runner) delays() *backoff.ExponentialBackOff {
	d := backoff.NewExponentialBackOff()
	d.InitialInterval = r.set.RetryFirst
	d.MaxInterval = r.set.RetryMax
	d.Multiplier = 2
	return d
}

// sleep returns false when ctx ended first.
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
