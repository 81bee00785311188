package outputs

import "time"

// Oldest is for how long the oldest event has waited that is neither delivered nor
// lost, since it was received: in a lane's open block, in memory, on disk, or with a
// writer. 0: nothing waits. Of what an earlier run has left, the time of sealing
// counts. It is safe to call at any time.
func (r *Runner) OldestAge() time.Duration {
	// In the direction in which events go, so that none is passed by on its way.
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
		t = earlier(t, r.spool.oldest()) // what a worker gave back at the end
	}
	if t.IsZero() {
		return 0
	}
	return max(0, time.Since(t))
}
