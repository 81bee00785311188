package psql

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"dnsmonster-sensor/userspace/event"
)

// writer is one connection, made anew when it breaks.
type writer struct {
	o      *Output
	conn   *pgconn.PgConn
	layout *layout
	rows   *rows
}

const (
	// keepKeys is how long a block is recognised: longer than a spool is likely
	// to wait.
	keepKeys   = 7 * 24 * time.Hour
	cleanEvery = 10 * time.Minute
	// maxCopies is how many attempts it may take to find the rows that the table
	// refuses. With more, it is the table and not the rows.
	maxCopies = 500
)

// Write copies a block's rows and its key in one transaction. A block whose key
// is there was written before: only the answer was lost.
func (w *writer) Write(ctx context.Context, b *event.Block) (int, error) {
	if w.conn == nil || w.conn.IsClosed() {
		conn, l, err := w.o.connect(ctx)
		if err != nil {
			return 0, passing{err}
		}
		w.conn, w.layout = conn, l
	}
	w.rows.encode(b, w.layout, time.Now())
	refused, err := w.write(ctx, b.ID())
	if err != nil {
		w.forget()
		return 0, passing{fmt.Errorf("write to table %s: %w", w.layout.name(), w.o.explain(nil, err))}
	}
	w.o.clamped.Add(w.rows.clamped)
	w.clean(ctx)
	return refused, nil
}

// forget gives the connection up: what comes next finds out anew how the table
// looks.
func (w *writer) forget() {
	if w.conn != nil {
		shut(w.conn)
		w.conn = nil
	}
}

func (w *writer) write(ctx context.Context, id event.ID) (refused int, err error) {
	// One query string is one transaction. The key comes first: where an earlier
	// attempt still runs on the server, this one waits for its end.
	sql := "INSERT INTO " + w.layout.keys.Sanitize() + " (id) VALUES ('" + id.String() + "'); " + w.layout.copy
	_, err = w.conn.CopyFrom(ctx, w.between(0, len(w.rows.starts)-1), sql)
	switch {
	case w.isThere(err):
		return w.already(ctx, id)
	case badData(err):
		return w.sift(ctx, id)
	}
	return 0, err
}

// between are the rows of events from first up to, not including, end.
func (w *writer) between(first, end int) io.Reader {
	rows := w.rows.buf[w.rows.starts[first]:w.rows.starts[end]]
	return io.MultiReader(bytes.NewReader(copyHeader), bytes.NewReader(rows), bytes.NewReader(copyTrailer))
}

// isThere tells that the block's key is in the table.
func (w *writer) isThere(err error) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && pg.Code == "23505" && pg.TableName == w.layout.keys[len(w.layout.keys)-1]
}

// already returns what an earlier attempt found.
func (w *writer) already(ctx context.Context, id event.ID) (refused int, err error) {
	r := w.conn.ExecParams(ctx, "SELECT refused FROM "+w.layout.keys.Sanitize()+" WHERE id = $1", [][]byte{[]byte(id.String())}, nil, nil, nil).Read()
	if r.Err != nil {
		return 0, r.Err
	}
	if len(r.Rows) != 1 {
		return 0, errors.New("the key of a block has vanished")
	}
	refused, err = strconv.Atoi(string(r.Rows[0][0]))
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
	return errors.As(err, &pg) && (pg.Code[:2] == "22" || pg.Code[:2] == "23")
}

// sift writes what the table takes and leaves out what it refuses, in one
// transaction all the same.
func (w *writer) sift(ctx context.Context, id event.ID) (refused int, err error) {
	s := &sieve{w: w}
	if err := s.exec(ctx, "BEGIN"); err != nil {
		return 0, err
	}
	if err := s.part(ctx, 0, len(w.rows.starts)-1); err != nil {
		return 0, err
	}
	key := fmt.Sprintf("INSERT INTO %s (id, refused) VALUES ('%s', %d)", w.layout.keys.Sanitize(), id, s.refused)
	if err := s.exec(ctx, key); err != nil {
		if w.isThere(err) {
			if err := s.exec(ctx, "ROLLBACK"); err != nil {
				return 0, err
			}
			return w.already(ctx, id)
		}
		return 0, err
	}
	if s.refused > 0 {
		w.o.log().Warn("the table refuses rows", "table", w.layout.name(), "events", s.refused, "error", s.why)
	}
	return s.refused, s.exec(ctx, "COMMIT")
}

type sieve struct {
	w       *writer
	refused int
	copies  int
	why     error
}

func (s *sieve) exec(ctx context.Context, sql string) error {
	_, err := s.w.conn.Exec(ctx, sql).ReadAll()
	return err
}

// part writes the events from first up to, not including, end; of those with bad
// rows among them each half.
func (s *sieve) part(ctx context.Context, first, end int) error {
	if err := s.exec(ctx, "SAVEPOINT part"); err != nil {
		return err
	}
	_, err := s.w.conn.CopyFrom(ctx, s.w.between(first, end), s.w.layout.copy)
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

// clean deletes keys that nobody will ask for any more, now and then, by one of
// the output's writers. That it fails harms nobody soon: it is said and tried
// again.
func (w *writer) clean(ctx context.Context) {
	now := time.Now().Unix()
	last := w.o.cleaned.Load()
	if last == 0 {
		w.o.cleaned.CompareAndSwap(0, now) // not while a spool of long ago is sent
		return
	}
	if now-last < int64(cleanEvery/time.Second) || !w.o.cleaned.CompareAndSwap(last, now) {
		return
	}
	if err := w.deleteKeys(ctx); err != nil {
		w.o.log().Warn("delete old keys of blocks", "table", plain(w.layout.keys), "error", err)
		w.forget()
	}
}

func (w *writer) deleteKeys(ctx context.Context) error {
	keys := w.layout.keys.Sanitize()
	sql := fmt.Sprintf("DELETE FROM %s WHERE id IN (SELECT id FROM %s WHERE at < now() - interval '%d hours' LIMIT 100000)", keys, keys, int(keepKeys.Hours()))
	_, err := w.conn.Exec(ctx, sql).ReadAll()
	return err
}

// Close gives the connection back.
func (w *writer) Close() error {
	w.forget()
	return nil
}
