package outputs

import (
	"context"
	"testing"
)

// TestBatchRows: each acknowledged batch counts, with its events.
func TestBatchRows(t *testing.T) {
	r := testRunner(t, &fake{}, quick(1, 100), false, nil)
	r.Start(context.Background())
	offer(r.Intake(), 201)
	r.Stop(context.Background())
	batches, rows, upTo := r.BatchRows()
	if batches != 3 || rows != 201 || upTo[1] != 1 || upTo[10] != 1 || upTo[100] != 3 || upTo[1e6] != 3 {
		t.Errorf("%d batches, %d events, %v", batches, rows, upTo)
	}
}
