package outputs

import (
	"sync"
	"time"
)

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

// RowBounds are the upper bounds of what BatchRows counts by; there is one count
// more, for what is larger.
var RowBounds = [...]float64{1, 10, 100, 1000, 10_000, 100_000, 1_000_000}

// batchRows counts written batches by the number of their events.
type batchRows struct {
	mu     sync.Mutex
	rows   uint64
	counts [len(RowBounds) + 1]uint64
}

func (r *batchRows) add(rows uint64) {
	i := 0
	for i < len(RowBounds) && float64(rows) > RowBounds[i] {
		i++
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.rows += rows
	r.counts[i]++
}

// BatchRows is how many batches the destination has acknowledged, all and up to
// each of the RowBounds, and how many events were in them.
func (r *Runner) BatchRows() (batches, rows uint64, upTo map[float64]uint64) {
	r.rows.mu.Lock()
	defer r.rows.mu.Unlock()
	upTo = make(map[float64]uint64)
	for i, n := range r.rows.counts {
		batches += n
		if i < len(RowBounds) {
			upTo[RowBounds[i]] = batches
		}
	}
	return batches, r.rows.rows, upTo
}
