package psql

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"dnsmonster-sensor/userspace/event"
)

// maxCopies is how many attempts it may take to find the rows that the table
// refuses. With more, it is the table and not the rows.
const maxCopies = 500

// bisect writes what the table takes and leaves out what it refuses, in one
// transaction all the same. The key comes first here too: two attempts that took
// rows and key in different order could wait for each other.
func (w *writer) bisect(ctx context.Context, id event.ID) (refused int, err error) {
	s := &bisection{w: w}
	if err := s.exec(ctx, "BEGIN; "+w.o.timeLimitsSQL()+w.insertKeySQL(id, 0)); err != nil {
		if !w.isDuplicateKey(err) {
			return 0, err
		}
		if err := s.exec(ctx, "ROLLBACK"); err != nil {
			return 0, err
		}
		return w.storedAnswer(ctx, id)
	}
	all := len(w.enc.starts) - 1
	if err := s.copyRange(ctx, 0, all); err != nil {
		return 0, err
	}
	if err := s.exec(ctx, w.session.def.guardSQL); err != nil {
		if !isDataError(err) {
			return 0, err
		}
		return 0, cmp.Or(s.exec(ctx, "ROLLBACK"), errTableChanged)
	}
	if s.refused > 0 && w.doubt.blamesTable(s.lastErr, s.refused == all, w.o.doubtPeriod, time.Now()) {
		return 0, s.lastErr
	}
	if s.refused > 0 {
		sql := fmt.Sprintf("DELETE FROM %s WHERE id = '%s'; ", w.session.def.keys.Sanitize(), id) // needs no right to UPDATE
		if err := s.exec(ctx, sql+w.insertKeySQL(id, s.refused)); err != nil {
			return 0, err
		}
	}
	if err := s.exec(ctx, "COMMIT"); err != nil {
		return 0, err
	}
	if s.refused > 0 {
		w.o.Log().Warn("the table refuses rows", "table", w.session.def.name(), "events", s.refused, "error", s.lastErr)
	}
	return s.refused, nil
}

type bisection struct {
	w       *writer
	refused int
	copies  int
	lastErr error
}

func (s *bisection) exec(ctx context.Context, sql string) error {
	_, err := s.w.session.conn.Exec(ctx, sql).ReadAll()
	return err
}

// copyRange writes the events from first up to, not including, end; of those with bad
// rows among them each half.
func (s *bisection) copyRange(ctx context.Context, first, end int) error {
	if err := s.exec(ctx, "SAVEPOINT part"); err != nil {
		return err
	}
	_, err := s.w.session.conn.CopyFrom(ctx, s.w.copyData(first, end), s.w.session.def.copySQL)
	if err == nil {
		return s.exec(ctx, "RELEASE SAVEPOINT part")
	}
	if s.copies++; !isDataError(err) || s.copies > maxCopies {
		return err
	}
	s.lastErr = err
	if err := s.exec(ctx, "ROLLBACK TO SAVEPOINT part; RELEASE SAVEPOINT part"); err != nil {
		return err
	}
	if end-first == 1 {
		s.refused++
		return nil
	}
	middle := (first + end) / 2
	if err := s.copyRange(ctx, first, middle); err != nil {
		return err
	}
	return s.copyRange(ctx, middle, end)
}

// defaultDoubtPeriod is long enough for somebody who has just made a constraint, and sees
// what it does, to take it back.
const defaultDoubtPeriod = 30 * time.Second

// doubtExpiry is how long a reason may not have come up for the next block to be
// waited for again.
const doubtExpiry = 2 * time.Minute

// doubt decides whether it is the table that is wrong, or the rows. A table that
// takes nothing of a block is likely to have been changed by somebody: that block
// is tried again for a while. From then on rows that are refused for the same
// reason are not waited for, nor are those beside which others were taken.
type doubt struct {
	reason      string
	since, last time.Time
}

// blamesTable reports whether the table is to be blamed.
func (d *doubt) blamesTable(why error, all bool, limit time.Duration, now time.Time) bool {
	reason := why.Error()
	var pg *pgconn.PgError
	if errors.As(why, &pg) {
		reason = strings.Join([]string{pg.Code, pg.TableName, pg.ColumnName, pg.ConstraintName}, " ")
	}
	if reason != d.reason || now.Sub(d.last) > doubtExpiry {
		*d = doubt{reason: reason, since: now}
	}
	d.last = now
	if !all {
		d.since = now.Add(-limit)
	}
	return now.Sub(d.since) < limit
}
