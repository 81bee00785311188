package clickhouse

import (
	"context"
	"errors"
	"fmt"
	"time"

	"dnsmonster-sensor/outputs"
	"dnsmonster-sensor/outputs/clickhouse/server"
	"dnsmonster-sensor/outputs/clickhouse/table"
	"dnsmonster-sensor/userspace/event"
)

// writer has at most one session for each shard.
type writer struct {
	o        *Output
	sessions map[*shard]*session
	enc      *table.Encoder // nil: none yet
	plan     *table.Plan    // of enc
	progress progress
	doubt    doubt
}

func newWriter(o *Output) *writer { return &writer{o: o, sessions: make(map[*shard]*session)} }

// progress is what the writer knows of the block that it was given last. Parts of a block
// are known by the suffixes of their tokens.
type progress struct {
	id      event.ID
	shard   *shard          // where rows of the block may be stored; nil: nowhere
	group   string          // the session's there
	done    map[string]bool // parts that are stored or refused
	halved  map[string]bool // parts that are written as two
	refused int             // events that the table has refused since Write was called
	why     error           // the reason
}

// Write stores the block in the shard that its id names. While that is away, a block that
// was never sent goes to the next shard.
func (w *writer) Write(ctx context.Context, b *event.Block) (refused int, err error) {
	if id := b.ID(); w.progress.id != id {
		w.progress = progress{id: id, done: make(map[string]bool), halved: make(map[string]bool)}
	}
	w.progress.refused = 0
	s, err := w.session(ctx, b.ID())
	if err != nil {
		return 0, transient{err}
	}
	if err := w.writeCurrent(ctx, s, b); err != nil {
		return w.progress.refused, transient{fmt.Errorf("write to table %s: %w", s.plan.Name(), w.o.explain(err))}
	}
	return outputs.Refused(w.progress.refused, w.progress.why)
}

// maxTableReads bounds how often the table may change during one attempt.
const maxTableReads = 3

// writeCurrent writes the block for the table as it is now. If the server does not want the
// data, the table is read again before anything is blamed: it may have changed.
func (w *writer) writeCurrent(ctx context.Context, s *session, b *event.Block) (err error) {
	w.o.warnOfExpiry(s.plan.Def, b)
	for range maxTableReads {
		err = w.writeParts(ctx, s, b)
		if err == nil {
			return nil
		}
		w.failed(ctx, s, err)
		if c := server.Classify(err); c != server.Changed && c != server.Setup && c != server.Rows {
			return err
		}
		before := s.plan
		again, readErr := w.reopen(ctx, s)
		if readErr != nil {
			return errors.Join(err, readErr)
		}
		if s = again; s.plan.Def.Same(before.Def) {
			return err
		}
		w.o.Log().Info("the table has changed, rows are written as it is now", "table", s.plan.Name())
	}
	return err
}

// writeParts writes each part of the block that is not stored yet.
func (w *writer) writeParts(ctx context.Context, s *session, b *event.Block) error {
	enc := w.encoder(s.plan)
	// The time in IndexTime is that of the block, so that a repeated block has the same
	// bytes: servers without tokens recognise it by them.
	now := b.Sealed()
	parts := enc.Encode(b, now)
	if len(parts) > 1 && !w.progress.halved[""] {
		w.progress.halved[""] = true
		w.o.splits.Add(1)
	}
	for len(parts) > 0 {
		p := parts[0]
		if w.progress.done[p.Suffix] {
			parts = parts[1:]
			continue
		}
		if !w.progress.halved[p.Suffix] {
			err := w.insert(ctx, s, &p)
			if err == nil {
				parts = parts[1:]
				continue
			}
			if err = w.judge(b, &p, err); err != nil {
				return err
			}
			if s, err = w.reopen(ctx, s); err != nil {
				return err
			}
		}
		halves, ok := enc.Halve(b, now, &p)
		if !ok { // a single event, which judge has counted
			w.progress.done[p.Suffix] = true
			parts = parts[1:]
			continue
		}
		parts = append(halves[:], parts[1:]...)
	}
	return nil
}

// insert writes one part.
func (w *writer) insert(ctx context.Context, s *session, p *table.Part) error {
	token := w.progress.id.String() + p.Suffix
	err := s.conn.Insert(ctx, s.plan.InsertSQL(), p.Columns, []server.Setting{
		{Name: "insert_deduplication_token", Value: token},
		{Name: "insert_deduplicate", Value: "1"},
		{Name: "deduplicate_blocks_in_dependent_materialized_views", Value: "1"},
		{Name: "async_insert", Value: "0"},
	})
	if err == nil || server.MayBeStored(err) {
		w.progress.shard, w.progress.group = s.shard, s.group
	}
	if err == nil {
		w.progress.done[p.Suffix] = true
		w.o.clamped.Add(p.Clamped)
	}
	return err
}

// judge decides what to do with a part that the server does not want: nil means to write it
// in halves, until single events are left that are refused.
func (w *writer) judge(b *event.Block, p *table.Part, err error) error {
	switch server.Classify(err) {
	case server.Parts:
		if events(b, p) == 1 {
			return err
		}
		if !w.progress.halved[""] {
			w.o.splits.Add(1)
		}
	case server.Rows:
		if w.doubt.blamesTable(err, w.o.doubtPeriod, time.Now()) {
			return err
		}
		if events(b, p) == 1 {
			w.progress.refused++
			w.progress.why = err
		}
	default:
		return err
	}
	w.progress.halved[p.Suffix] = true
	return nil
}

// events is how many events a part has.
func events(b *event.Block, p *table.Part) int {
	if p.Events == nil {
		return b.Len()
	}
	return len(p.Events)
}

// encoder returns the encoder for a plan. Plans of servers whose tables are the same share
// one.
func (w *writer) encoder(p *table.Plan) *table.Encoder {
	if w.enc == nil || w.plan != p && !w.plan.Def.Same(p.Def) {
		w.enc = table.NewEncoder(p)
	}
	w.plan = p
	return w.enc
}

// failed notes that a session has failed. The connection is useless after any error.
func (w *writer) failed(ctx context.Context, s *session, err error) {
	if server.Classify(err) == server.OtherReplica || errors.Is(ctx.Err(), context.DeadlineExceeded) {
		s.shard.addresses.Bad(s.at, err)
	}
	w.drop(s.shard)
}

func (w *writer) drop(sh *shard) {
	if s := w.sessions[sh]; s != nil {
		s.conn.Close()
		delete(w.sessions, sh)
	}
}

// Close closes the connections.
func (w *writer) Close() error {
	for sh := range w.sessions {
		w.drop(sh)
	}
	return nil
}

// defaultDoubtPeriod gives somebody who has just added a constraint time to notice its effect and
// to remove it.
const defaultDoubtPeriod = 30 * time.Second

// doubtExpiry is how long a reason must be absent before a block waits for it again.
const doubtExpiry = 2 * time.Minute

// doubt decides whether the table is at fault or the rows: a table that begins to refuse
// rows has probably been changed. Its blocks are repeated for a while. After that, rows
// that are refused for the same reason are left out at once.
type doubt struct {
	code        int
	since, last time.Time
}

func (d *doubt) blamesTable(why error, limit time.Duration, now time.Time) bool {
	code := 0
	var e *server.Error
	if errors.As(why, &e) {
		code = e.Code
	}
	if code != d.code || now.Sub(d.last) > doubtExpiry {
		*d = doubt{code: code, since: now}
	}
	d.last = now
	return now.Sub(d.since) < limit
}
