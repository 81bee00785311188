package clickhouse

import (
	"context"
	"errors"
	"fmt"

	"dnsmonster-sensor/outputs"
	"dnsmonster-sensor/outputs/clickhouse/server"
	"dnsmonster-sensor/outputs/clickhouse/table"
	"dnsmonster-sensor/userspace/event"
)

// writer has at most one session for each shard.
type writer struct {
	o        *Output
	sessions map[string]*session // by the shard's name
	enc      *table.Encoder      // nil: none yet
	plan     *table.Plan         // of enc
	progress progress
}

func newWriter(o *Output) *writer { return &writer{o: o, sessions: make(map[string]*session)} }

// progress is what the writer knows of the block that it was given last.
type progress struct {
	id      event.ID
	group   string          // where rows of the block may be stored; "": nowhere
	done    map[string]bool // tokens of the parts that are stored
	refused int             // events of the block that the table refused, not yet returned
}

// Write stores the block in the shard that its id names. While that is away, a block that
// was never sent goes to the next shard.
func (w *writer) Write(ctx context.Context, b *event.Block) (int, error) {
	if id := b.ID(); w.progress.id != id {
		w.progress = progress{id: id, done: make(map[string]bool)}
	}
	t, err := w.o.currentTarget(ctx)
	if err != nil {
		return 0, transient{err}
	}
	s, err := w.session(ctx, t, t.home(b.ID()))
	if err != nil {
		return 0, transient{err}
	}
	err = w.writeCurrent(ctx, s, b)
	refused := w.progress.refused
	w.progress.refused = 0
	if err != nil {
		w.failed(ctx, s, err)
		return refused, transient{fmt.Errorf("write to table %s at %s: %w", s.plan.Name(), s.at.Name, w.o.explain(err))}
	}
	if refused > 0 {
		return outputs.Refused(refused, w.refusal)
	}
	return 0, nil
}
