package outputs

import (
	"context"
	"slices"
	"time"

	"dnsmonster-sensor/userspace/event"
)

// A worker goes on with other blocks while some wait for a part of the destination. These
// limits bound how much it holds meanwhile. At a limit it takes nothing new: it waits until
// one of the parts takes its block.
const (
	maxPostponed = 8
	// postponedShare is the part of the queue's memory that two or more blocks may take.
	postponedShare = 2
)

// next returns what to send now: a postponed block that is due, or else a new one. It
// returns false when ctx has ended, and when nothing is left.
func (w *worker) next(ctx context.Context) (*delivery, bool) {
	for over := false; ctx.Err() == nil; {
		d, full := w.firstPostponed()
		switch {
		case d == nil:
			it, ok := w.r.next(ctx)
			if !ok {
				return nil, false
			}
			return w.hold(it), true
		case !time.Now().Before(d.due):
			w.resume(d)
			return d, true
		case over || full:
			sleep(ctx, time.Until(d.due))
			continue
		}
		part, cancel := context.WithDeadline(ctx, d.due)
		it, ok := w.r.next(part)
		over = !ok && part.Err() == nil
		cancel()
		if ok {
			return w.hold(it), true
		}
	}
	return nil, false
}

// firstPostponed returns the postponed block that is due first, if there is one, and whether
// there may not be more of them.
func (w *worker) firstPostponed() (first *delivery, full bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	bytes := 0
	for _, d := range w.inHand {
		if bytes += d.block.Cap(); first == nil || d.due.Before(first.due) {
			first = d
		}
	}
	n := len(w.inHand)
	return first, n >= maxPostponed || n > 1 && bytes >= int(w.r.set.QueueBytes/postponedShare)
}

// setPart notes, also on disk, that only one part of the destination may have the block.
func (w *worker) setPart(d *delivery, part string) {
	if d.part == part {
		return
	}
	w.mu.Lock()
	d.part = part
	it := d.item
	w.mu.Unlock()
	if w.r.spool != nil {
		w.r.spool.note(it)
	}
}

// postpone lets the block wait for its part of the destination. All that wait for the same
// part are due together: one block finds out whether it is back, the next time another one.
func (w *worker) postpone(d *delivery, delay time.Duration) {
	own := d.ownMemory()
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.writtenOff {
		return
	}
	if own != nil {
		d.block, d.rest, d.shared = own, own, false
	}
	w.inHand = append(slices.DeleteFunc(w.inHand, func(other *delivery) bool { return other == d }), d)
	due := time.Now().Add(delay)
	for _, other := range w.inHand {
		if other.part == d.part && other.due.After(due) {
			due = other.due
		}
	}
	w.setDue(d.part, due)
}

// setDue sets when the blocks that wait for a part are due. It is called with mu held.
func (w *worker) setDue(part string, due time.Time) {
	for _, d := range w.inHand {
		if d.part == part {
			d.due = due
		}
	}
}

// resume ends the wait of a postponed block.
func (w *worker) resume(d *delivery) {
	w.mu.Lock()
	defer w.mu.Unlock()
	d.due = time.Time{}
}

// succeeded notes that the destination has answered. Whatever else waits for the same part
// of it is due now.
func (w *worker) succeeded(d *delivery) {
	w.noteSuccess(&d.failing)
	if d.part == "" {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.setDue(d.part, time.Now())
	d.due = time.Time{}
}

// ownMemory returns a copy of a block that shares its memory with all that was read from the
// disk together: it may stay for long. It is nil for other blocks.
func (d *delivery) ownMemory() *event.Block {
	if !d.shared || d.rest != d.block {
		return nil
	}
	own, err := event.OpenBlock(slices.Clone(d.block.Bytes()))
	if err != nil {
		return nil
	}
	return own
}
