package outputs

import "sync"

// RowBounds are the upper bounds of BatchRows' buckets; one more bucket is for larger
// batches. An event counts as a row here, whatever number of questions it has.
var RowBounds = [...]float64{1, 10, 100, 1000, 10_000, 100_000, 1_000_000}

// batchRows counts acknowledged batches by their number of events.
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

// BatchRows returns how many batches the destination has acknowledged, in total and up to
// each of RowBounds, and how many events were in them.
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
