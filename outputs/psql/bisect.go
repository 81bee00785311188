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

// maxCopies bounds the attempts to find the rows that the table refuses. Beyond it,
// the table is at fault and not the rows.
const maxCopies = 500

// bisect writes the rows that the table accepts and leaves out those that it refuses, in one
// transaction. The key comes first, as in copyBlock: attempts that locked rows and key in a
// different order could deadlock.
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
		sql := fmt.Sprintf("DELETE FROM %s WHERE id = '%s'; ", w.session.def.keys.Sanitize(), id) // UPDATE would need another right
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

// bisection is the state of one bisect.
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

// copyRange writes the events from first up to, not including, end. If the table refuses
// that, it writes each half.
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

// defaultDoubtPeriod gives somebody who has just added a constraint time to notice its
// effect and remove it.
const defaultDoubtPeriod = 30 * time.Second

// doubtExpiry is how long a reason must be absent before a block waits for it again.
const doubtExpiry = 2 * time.Minute

// doubt decides whether the table is at fault or the rows. A table that refuses all
// rows of a block has probably been changed: that block is retried for a while. After
// that, rows refused for the same reason are dropped at once, and so are refused rows
// of a block of which others were accepted.
type doubt struct {
	reason      string
	since, last time.Time
}

// blamesTable reports whether the table is at fault. all: no row of the block was
// accepted.
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
