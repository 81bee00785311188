package psql

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"dnsmonster-sensor/userspace/event"
)

// writer is one session, made anew when it breaks.
type writer struct {
	o       *Output
	session *session // nil: none
	rows    *rows
	doubt   doubt
}

// maxCopies is how many attempts it may take to find the rows that the table
// refuses. With more, it is the table and not the rows.
const maxCopies = 500

// Write copies a block's rows and its key in one transaction. A block whose key
// is there was written before: only the answer was lost.
func (w *writer) Write(ctx context.Context, b *event.Block) (int, error) {
	if err := w.ready(ctx); err != nil {
		return 0, passing{err}
	}
	refused, err := w.writeAs(ctx, b)
	if err != nil {
		if ofServer(ctx, err) {
			w.o.dest.addresses.Bad(w.session.at, err)
		}
		name := w.session.layout.name()
		w.forget()
		return 0, passing{fmt.Errorf("write to table %s: %w", name, w.o.explain(nil, err))}
	}
	w.o.clamped.Add(w.rows.clamped)
	w.clean(ctx, b.ID())
	return refused, nil
}

// maxLayouts is how often the table may change under one attempt.
const maxLayouts = 3

// writeAs writes the block for the table as it was read. Where the server does
// not like the data, or the guard fails, the table is read again before a row is
// held to be bad: somebody may have changed it.
func (w *writer) writeAs(ctx context.Context, b *event.Block) (refused int, err error) {
	for range maxLayouts {
		l := w.session.layout
		w.rows.encode(b, l, time.Now())
		refused, err = w.write(ctx, b.ID())
		if !ofLayout(err) {
			return refused, err
		}
		now, rerr := readLayout(ctx, w.session.conn, l.id)
		if rerr != nil {
			return 0, rerr
		}
		if now.print == l.print && now.takesAs(l) {
			if !badData(err) {
				return 0, err
			}
			if refused, err = w.sift(ctx, b.ID()); !errors.Is(err, errChanged) {
				return refused, err
			}
			continue
		}
		w.o.Log().Info("the table was changed, rows are written as it is now", "table", l.name())
		w.session.layout = now
	}
	return refused, err
}

// errChanged: the table is another one than the rows were made for.
var errChanged = errors.New("the table changes while it is written")

// ready makes sure that there is a session, at the best address that works.
func (w *writer) ready(ctx context.Context) error {
	if w.session != nil && w.session.conn.IsClosed() {
		w.forget()
	}
	if w.session == nil {
		s, err := w.o.connect(ctx)
		w.session = s
		return err
	}
	better, ok := w.o.dest.addresses.Better(w.session.at)
	if !ok {
		return nil
	}
	// The session that there is serves as well: the trial may cost a quarter of
	// the attempt's time.
	if s, err := w.o.connectTo(ctx, w.o.dest, better, 4); err == nil {
		w.forget()
		w.session = s
	}
	return nil
}

// ofServer tells errors that another server may not have. Where a connection
// breaks that is for the next one to find out.
func ofServer(ctx context.Context, err error) bool {
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		switch class(pg) {
		case "53", "58", "XX": // out of resources, system error, internal error
			return true
		}
		return pg.Code == "25006" // read-only
	}
	return errors.Is(ctx.Err(), context.DeadlineExceeded)
}

// forget gives the session up: what comes next finds out anew how the table
// looks. The memory of the rows is left to what may still be sending them.
func (w *writer) forget() {
	if w.session != nil {
		shut(w.session.conn)
		w.session, w.rows = nil, newRows(w.o)
	}
}

func (w *writer) write(ctx context.Context, id event.ID) (refused int, err error) {
	// One query string is one transaction. The key comes first: where an earlier
	// attempt still runs on the server, this one waits for its end.
	l := w.session.layout
	sql := w.o.limits() + w.insertKey(id, 0) + l.copy + "; " + l.guard
	_, err = w.session.conn.CopyFrom(ctx, w.between(0, len(w.rows.starts)-1), sql)
	if w.isThere(err) {
		return w.already(ctx, id)
	}
	return 0, err
}

// longestLimit is far below where the server's settings of milliseconds end, at
// 24 days, and the kernel's of seconds, at nine hours.
const longestLimit = 2 * time.Hour

// limits are settings for one transaction. An attempt that was given up must not
// go on for long on the server, where it would hold the block's key: neither
// behind a lock, nor in a slow statement, nor with a client that is gone.
// They are no settings of the session, since a pool would hand that to others.
func (o *Output) limits() string {
	ms := max(min(o.Timeout, longestLimit).Milliseconds(), 1)
	seconds := max(ms/1000, 1)
	return fmt.Sprintf("SET LOCAL statement_timeout = %d; SET LOCAL lock_timeout = %d; SET LOCAL idle_in_transaction_session_timeout = %d; "+
		"SET LOCAL tcp_keepalives_idle = %d; SET LOCAL tcp_keepalives_interval = %d; SET LOCAL tcp_keepalives_count = 3; SET LOCAL tcp_user_timeout = %d; ",
		ms, max(ms*3/4, 1), 2*ms, seconds, seconds, 4*ms)
}

func (w *writer) insertKey(id event.ID, refused int) string {
	return fmt.Sprintf("INSERT INTO %s (id, refused) VALUES ('%s', %d); ", w.session.layout.keys.Sanitize(), id, refused)
}

// between are the rows of events from first up to, not including, end.
func (w *writer) between(first, end int) io.Reader {
	rows := w.rows.buf[w.rows.starts[first]:w.rows.starts[end]]
	return io.MultiReader(bytes.NewReader(copyHeader), bytes.NewReader(rows), bytes.NewReader(copyTrailer))
}

// isThere tells that the block's key is in the table.
func (w *writer) isThere(err error) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && pg.Code == "23505" && pg.TableName == w.session.layout.keys[len(w.session.layout.keys)-1]
}

// already returns what an earlier attempt found.
func (w *writer) already(ctx context.Context, id event.ID) (refused int, err error) {
	rows, err := ask(ctx, w.session.conn, 1, "SELECT refused FROM "+w.session.layout.keys.Sanitize()+" WHERE id = $1::uuid", id.String())
	if err != nil {
		return 0, err
	}
	if len(rows) != 1 {
		return 0, errors.New("the key of a block has vanished")
	}
	refused, err = strconv.Atoi(string(rows[0][0]))
	if err == nil {
		w.o.again.Add(1)
		w.rows.clamped = 0 // counted, or lost, with the first answer
	}
	return refused, err
}

// badData tells errors that are about a row's values: data exceptions and
// violated constraints.
func badData(err error) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && (class(pg) == "22" || class(pg) == "23")
}

// ofLayout tells errors that may mean that the table is not as it was read.
func ofLayout(err error) bool {
	var pg *pgconn.PgError
	return badData(err) || errors.As(err, &pg) && (class(pg) == "42" || pg.Code == "08P01") // no such column; a value of another length
}

// class is the first half of an error's code. The code may be missing.
func class(err *pgconn.PgError) string { return err.Code[:min(2, len(err.Code))] }

// sift writes what the table takes and leaves out what it refuses, in one
// transaction all the same. The key comes first here too: two attempts that took
// rows and key in different order could wait for each other.
func (w *writer) sift(ctx context.Context, id event.ID) (refused int, err error) {
	s := &sieve{w: w}
	if err := s.exec(ctx, "BEGIN; "+w.o.limits()+w.insertKey(id, 0)); err != nil {
		if !w.isThere(err) {
			return 0, err
		}
		if err := s.exec(ctx, "ROLLBACK"); err != nil {
			return 0, err
		}
		return w.already(ctx, id)
	}
	all := len(w.rows.starts) - 1
	if err := s.part(ctx, 0, all); err != nil {
		return 0, err
	}
	if err := s.exec(ctx, w.session.layout.guard); err != nil {
		if !badData(err) {
			return 0, err
		}
		return 0, cmp.Or(s.exec(ctx, "ROLLBACK"), errChanged)
	}
	if s.refused > 0 && w.doubt.table(s.why, s.refused == all, w.o.doubt, time.Now()) {
		return 0, s.why
	}
	if s.refused > 0 {
		sql := fmt.Sprintf("DELETE FROM %s WHERE id = '%s'; ", w.session.layout.keys.Sanitize(), id) // needs no right to UPDATE
		if err := s.exec(ctx, sql+w.insertKey(id, s.refused)); err != nil {
			return 0, err
		}
	}
	if err := s.exec(ctx, "COMMIT"); err != nil {
		return 0, err
	}
	if s.refused > 0 {
		w.o.Log().Warn("the table refuses rows", "table", w.session.layout.name(), "events", s.refused, "error", s.why)
	}
	return s.refused, nil
}

// doubtTime is long enough for somebody who has just made a constraint, and sees
// what it does, to take it back.
const doubtTime = 30 * time.Second

// forgetDoubt is how long a reason may not have come up for the next block to be
// waited for again.
const forgetDoubt = 2 * time.Minute

// doubt decides whether it is the table that is wrong, or the rows. A table that
// takes nothing of a block is likely to have been changed by somebody: that block
// is tried again for a while. From then on rows that are refused for the same
// reason are not waited for, nor are those beside which others were taken.
type doubt struct {
	reason      string
	since, last time.Time
}

// table reports whether the table is to be blamed.
func (d *doubt) table(why error, all bool, long time.Duration, now time.Time) bool {
	reason := why.Error()
	var pg *pgconn.PgError
	if errors.As(why, &pg) {
		reason = strings.Join([]string{pg.Code, pg.TableName, pg.ColumnName, pg.ConstraintName}, " ")
	}
	if reason != d.reason || now.Sub(d.last) > forgetDoubt {
		*d = doubt{reason: reason, since: now}
	}
	d.last = now
	if !all {
		d.since = now.Add(-long)
	}
	return now.Sub(d.since) < long
}

type sieve struct {
	w       *writer
	refused int
	copies  int
	why     error
}

func (s *sieve) exec(ctx context.Context, sql string) error {
	_, err := s.w.session.conn.Exec(ctx, sql).ReadAll()
	return err
}

// part writes the events from first up to, not including, end; of those with bad
// rows among them each half.
func (s *sieve) part(ctx context.Context, first, end int) error {
	if err := s.exec(ctx, "SAVEPOINT part"); err != nil {
		return err
	}
	_, err := s.w.session.conn.CopyFrom(ctx, s.w.between(first, end), s.w.session.layout.copy)
	if err == nil {
		return s.exec(ctx, "RELEASE SAVEPOINT part")
	}
	if s.copies++; !badData(err) || s.copies > maxCopies {
		return err
	}
	s.why = err
	if err := s.exec(ctx, "ROLLBACK TO SAVEPOINT part; RELEASE SAVEPOINT part"); err != nil {
		return err
	}
	if end-first == 1 {
		s.refused++
		return nil
	}
	middle := (first + end) / 2
	if err := s.part(ctx, first, middle); err != nil {
		return err
	}
	return s.part(ctx, middle, end)
}

// clean notes a block's answer, and deletes old keys now and then. That this
// fails harms nobody soon: it is said, and the next sweeps make up for it.
func (w *writer) clean(ctx context.Context, id event.ID) {
	now := time.Now()
	w.o.keys.add(id, now)
	ids, sweep := w.o.keys.old(now)
	if len(ids) == 0 && !sweep {
		return
	}
	if err := deleteKeys(ctx, w.session.conn, w.session.layout, ids, sweep); err != nil {
		w.o.Log().Warn("delete old keys of blocks", "table", plain(w.session.layout.keys), "error", err)
		w.forget()
	}
}

// Close gives the connection back.
func (w *writer) Close() error {
	w.forget()
	return nil
}
