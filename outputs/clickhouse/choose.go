package clickhouse

import (
	"context"
	"errors"
	"fmt"

	"dnsmonster-sensor/outputs"
	"dnsmonster-sensor/userspace/event"
)

// session returns a session for the block: one of its shard, or, while that is away and the
// block was never sent, of the next one.
func (w *writer) session(ctx context.Context, id event.ID) (*session, error) {
	p := w.progress
	if p.shard != nil {
		return w.sessionAt(ctx, p.shard)
	}
	t, err := w.o.currentTarget(ctx)
	if err != nil {
		return nil, err
	}
	if p.waited != nil {
		if p.resume(t); p.shard != nil {
			return w.sessionAt(ctx, p.shard)
		}
	}
	w.dropOthers(t)
	home := t.home(id)
	var errs []error
	for i := range t.shards {
		sh := t.shards[(home+i)%len(t.shards)]
		if last := i == len(t.shards)-1; !last && (w.waitsFor(sh) || !sh.addresses.Ready()) {
			continue // it does not take a batch, or all of its servers have failed a moment ago
		}
		part, cancel := outputs.ShareOfTime(ctx, len(t.shards)-i)
		s, err := w.sessionAt(part, sh)
		cancel()
		if err == nil {
			return s, nil
		}
		errs = append(errs, err)
	}
	return nil, joinAttempts(ctx, errs)
}

// waitsFor reports whether blocks wait for the shard: they find out whether it is back, and
// others would only have to wait, too.
func (w *writer) waitsFor(sh *shard) bool {
	for _, p := range w.begun {
		if p.waits && p.shard == sh {
			return true
		}
	}
	return false
}

// sessionAt returns the session of a shard, at the best address that works.
func (w *writer) sessionAt(ctx context.Context, sh *shard) (*session, error) {
	group := w.progress.group
	s := w.sessions[sh]
	if s != nil && (s.conn.Gone() || group != "" && s.group != group) {
		w.drop(sh)
		s = nil
	}
	if s == nil {
		s, err := w.open(ctx, sh)
		if err != nil {
			return nil, err
		}
		w.sessions[sh] = s
		return s, nil
	}
	better, ok := sh.addresses.Better(s.at)
	if !ok {
		return s, nil
	}
	// The current session still works: the trial may take a quarter of the attempt's time.
	part, cancel := outputs.ShareOfTime(ctx, 4)
	defer cancel()
	again, err := w.o.openAt(part, sh, better)
	sh.addresses.Report(part, better, err)
	switch {
	case err != nil:
		return s, nil
	case group != "" && again.group != group:
		again.conn.Close()
		return s, nil
	}
	w.drop(sh)
	w.sessions[sh] = again
	return again, nil
}

// open opens a session that may have the block. A block whose table was replaced has nothing
// left to wait for.
func (w *writer) open(ctx context.Context, sh *shard) (*session, error) {
	s, err := w.openWhere(ctx, sh)
	if !errors.Is(err, errTableGone) {
		return s, err
	}
	p := w.progress
	w.o.Log().Warn("the table was replaced by another one, which gets the batch that was being written: if it has the rows of the former table, it may have them twice", "batch", p.id)
	p.shard, p.group, p.waits = nil, "", false
	clear(p.unsure)
	clear(p.sifted)
	return w.openWhere(ctx, sh)
}

// openWhere opens a session of the block's group, if it has one. A block that waits for a
// shard tries only servers that may be back, and leaves time to others.
func (w *writer) openWhere(ctx context.Context, sh *shard) (*session, error) {
	p := w.progress
	if p.shard == nil || !w.o.hasOther(sh) {
		return w.o.open(ctx, sh, p.group, sh.addresses.TryEach)
	}
	part, cancel := outputs.ShareOfTime(ctx, 2)
	defer cancel()
	s, err := w.o.open(part, sh, p.group, sh.addresses.TryReady)
	if errors.Is(err, errNoneReady) && p.last != nil {
		return nil, p.last
	}
	return s, err
}

// reopen replaces a session whose connection has failed by one to the same server. The table
// is read again.
func (w *writer) reopen(ctx context.Context, s *session) (*session, error) {
	w.drop(s.shard)
	again, err := w.o.openAt(ctx, s.shard, s.at)
	if err != nil {
		return nil, err
	}
	if w.progress.group != "" && again.group != w.progress.group {
		again.conn.Close()
		return nil, fmt.Errorf("the table has been replaced: %w", errOtherTable)
	}
	w.sessions[s.shard] = again
	return again, nil
}

// dropOthers closes sessions of shards that the target no longer has.
func (w *writer) dropOthers(t *target) {
	for sh := range w.sessions {
		if !t.has(sh) {
			w.drop(sh)
		}
	}
}
