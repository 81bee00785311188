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
	begun    map[event.ID]*progress
	progress *progress // of the block that is being written
	doubt    doubt
}

func newWriter(o *Output) *writer {
	return &writer{o: o, sessions: make(map[*shard]*session), begun: make(map[event.ID]*progress), progress: newProgress(event.ID{})}
}

// progress is what the writer knows of a block that is not done. Parts of a block are known
// by the suffixes of their tokens.
type progress struct {
	id      event.ID
	shard   *shard                 // where rows of the block may be stored; nil: nowhere
	group   string                 // the session's there
	waits   bool                   // for that shard, where other blocks would not fare better
	done    map[string]bool        // parts that are stored or refused
	halved  map[string]bool        // parts that are written as two
	unsure  map[string]bool        // parts that an earlier attempt may have stored
	refuses map[string]bool        // of events of a part that were tried: whether the table refuses any of them
	sifted  map[string]*sifted     // parts whose rest may be stored
	noTrial bool                   // a trial was stored, or not permitted: others would be, too
	refused int                    // events that the table has refused since Write was called
	why     error                  // the reason
	waited  func(part string) bool // says what the block waited for in an earlier run; nil: not to be asked
	last    error                  // why the last attempt failed that the shard's servers have met
}

func newProgress(id event.ID) *progress {
	return &progress{id: id, done: make(map[string]bool), halved: make(map[string]bool), unsure: make(map[string]bool), refuses: make(map[string]bool), sifted: make(map[string]*sifted)}
}

// Write stores the block in the shard that its id names. While that is away, a block that
// was never sent goes to the next shard, and one that may be stored there is postponed.
func (w *writer) Write(ctx context.Context, b *event.Block) (refused int, err error) {
	p := w.begun[b.ID()]
	if p == nil {
		p = newProgress(b.ID())
		w.begun[p.id] = p
	}
	p.refused = 0
	w.progress = p
	s, err := w.session(ctx, p.id)
	if err == nil {
		if err = w.writeCurrent(ctx, s, b); err != nil {
			err = fmt.Errorf("write to table %s: %w", s.plan.Name(), w.o.explain(err))
		}
	}
	if err != nil {
		return p.refused, w.failure(err)
	}
	delete(w.begun, p.id)
	return outputs.Refused(p.refused, p.why)
}

// Resume notes that a block may have waited for a shard or a server in an earlier run.
func (w *writer) Resume(id event.ID, waited func(part string) bool) {
	if w.begun[id] == nil {
		w.begun[id] = newProgress(id)
		w.begun[id].waited = waited
	}
}

// resume finds where rows of the block may be stored, if it waited in an earlier run.
func (p *progress) resume(t *target) {
	for _, sh := range t.shards {
		if sh.name != "" && p.waited(partOf(sh, "")) {
			p.shard = sh
		}
		for _, host := range sh.hosts {
			if group := groupOfOne + host; sh.name == "" && p.waited(partOf(sh, group)) {
				p.shard, p.group = sh, group
			}
		}
	}
	p.waited = nil
}

// failure is the error of an attempt, for the runner. If the block can go to one place only,
// and others can go elsewhere, it is postponed.
func (w *writer) failure(err error) error {
	p := w.progress
	if p.shard == nil || !w.o.hasOther(p.shard) {
		return transient{err}
	}
	p.waits, p.last = !errors.Is(err, errOtherTable), err
	part := partOf(p.shard, p.group)
	return &outputs.Postpone{Part: part, Err: transient{fmt.Errorf("a batch may be stored in %s, and waits for it while others go on: %w", part, err)}}
}

// partOf names where rows of a block may be stored. A later run must find the same name.
func partOf(sh *shard, group string) string {
	if sh.name != "" {
		return "shard " + sh.name
	}
	return "the table " + group
}

// maxTableReads bounds how often the table may change during one attempt.
const maxTableReads = 3

// writeCurrent writes the block for the table as it is now. If the server does not want the
// data, the table is read again before anything is blamed: it may have changed.
func (w *writer) writeCurrent(ctx context.Context, s *session, b *event.Block) (err error) {
	w.o.warnOfExpiry(s.plan.Def, b)
	defer func() {
		if err != nil {
			w.blame(ctx, s, err)
		}
	}()
	for range maxTableReads {
		err = w.writeParts(ctx, s, b)
		if err == nil {
			return nil
		}
		w.drop(s.shard) // the connection is useless after any error
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

// encoder returns the encoder for a plan. Plans of servers whose tables are the same share
// one.
func (w *writer) encoder(p *table.Plan) *table.Encoder {
	if w.enc == nil || w.plan != p && !w.plan.Def.Same(p.Def) {
		w.enc = table.NewEncoder(p)
	}
	w.plan = p
	return w.enc
}

// blame makes the address of a session pause, if its server does not take what another one
// may take: it is busy, cannot write the table, or does not answer.
func (w *writer) blame(ctx context.Context, s *session, err error) {
	c := server.Classify(err)
	said := errors.As(err, new(*server.Error))
	if said && c != server.Rows && c != server.Parts || c == server.OtherReplica || errors.Is(ctx.Err(), context.DeadlineExceeded) {
		s.shard.addresses.Bad(s.at, err)
		w.drop(s.shard)
	}
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
