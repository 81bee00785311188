package outputs

import "time"

// OldestAge is the time since the receipt of the oldest event that is neither delivered
// nor lost: in a lane's open block, in memory, on disk, or with a writer. It is 0 if
// there is none. Events of an earlier run count from when their block was sealed. It is
// safe to call at any time.
func (r *Runner) OldestAge() time.Duration {
	// Look in the order in which events move, so that none is missed while it moves.
	var t time.Time
	r.lanesMu.Lock()
	for _, in := range r.intakes {
		if first := in.sinceStamp.Load(); first != 0 {
			t = earlier(t, r.queue.unbatched.base.Add(time.Duration(first)))
		}
	}
	r.lanesMu.Unlock()
	t = earlier(t, r.queue.oldest())
	if r.spool != nil {
		t = earlier(t, r.spool.oldest())
	}
	for _, w := range r.workers {
		t = earlier(t, w.since())
	}
	if r.spool != nil {
		t = earlier(t, r.spool.oldest()) // what a worker returned at the end
	}
	if t.IsZero() {
		return 0
	}
	return max(0, time.Since(t))
}
