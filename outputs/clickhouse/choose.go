package clickhouse

import (
	"context"
	"errors"

	"dnsmonster-sensor/outputs"
	"dnsmonster-sensor/userspace/event"
)

// session returns a session for the block: one of its shard, or, while that is away and the
// block was never sent, of the next one.
func (w *writer) session(ctx context.Context, id event.ID) (*session, error) {
	if sh := w.progress.shard; sh != nil {
		return w.sessionAt(ctx, sh)
	}
	t, err := w.o.currentTarget(ctx)
	if err != nil {
		return nil, err
	}
	w.dropOthers(t)
	home := t.home(id)
	var errs []error
	for i := range t.shards {
		sh := t.shards[(home+i)%len(t.shards)]
		if last := i == len(t.shards)-1; !last && !sh.addresses.Ready() {
			continue // all of its servers have failed a moment ago
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

// sessionAt returns the session of a shard, at the best address that works.
func (w *writer) sessionAt(ctx context.Context, sh *shard) (*session, error) {
	group := w.progress.group
	s := w.sessions[sh]
	if s != nil && (s.conn.Gone() || group != "" && s.group != group) {
		w.drop(sh)
		s = nil
	}
	if s == nil {
		s, err := w.o.open(ctx, sh, group)
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
		return nil, errors.New("the table has been replaced: a batch may be stored in the old one, and waits until that is back")
	}
	w.sessions[s.shard] = again
	return again, nil
}

// dropOthers closes sessions of shards that the target has no more.
func (w *writer) dropOthers(t *target) {
	for sh := range w.sessions {
		if !t.has(sh) {
			w.drop(sh)
		}
	}
}
