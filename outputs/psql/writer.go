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

// writer is one session, made anew when it breaks.
type writer struct {
	o       *Output
	session *session // nil: none
	enc     *rowEncoder
	doubt   doubt
}

// Write copies a block's rows and its key in one transaction. A block whose key
// is there was written before: only the answer was lost.
func (w *writer) Write(ctx context.Context, b *event.Block) (int, error) {
	if err := w.ensureSession(ctx); err != nil {
		return 0, transient{err}
	}
	refused, err := w.writeCurrent(ctx, b)
	if err != nil {
		if isServerFault(ctx, err) {
			w.o.dest.addresses.Bad(w.session.at, err)
		}
		name := w.session.def.name()
		w.dropSession()
		return 0, transient{fmt.Errorf("write to table %s: %w", name, w.o.explain(nil, err))}
	}
	w.o.clamped.Add(w.enc.clamped)
	w.deleteOldKeys(ctx, b.ID())
	return refused, nil
}

// maxTableReads is how often the table may change under one attempt.
const maxTableReads = 3

// writeCurrent writes the block for the table as it was read. Where the server does
// not like the data, or the guard fails, the table is read again before a row is
// held to be bad: somebody may have changed it.
func (w *writer) writeCurrent(ctx context.Context, b *event.Block) (refused int, err error) {
	for range maxTableReads {
		l := w.session.def
		w.enc.encode(b, l, time.Now())
		refused, err = w.copyBlock(ctx, b.ID())
		if !mayBeOutdated(err) {
			return refused, err
		}
		now, rerr := readTableDef(ctx, w.session.conn, l.id)
		if rerr != nil {
			return 0, rerr
		}
		if now.fingerprint == l.fingerprint && now.sameNotNull(l) {
			if !isDataError(err) {
				return 0, err
			}
			if refused, err = w.bisect(ctx, b.ID()); !errors.Is(err, errTableChanged) {
				return refused, err
			}
			continue
		}
		w.o.Log().Info("the table was changed, rows are written as it is now", "table", l.name())
		w.session.def = now
	}
	return refused, err
}

// errTableChanged: the table is another one than the rows were made for.
var errTableChanged = errors.New("the table changes while it is written")

// ensureSession makes sure that there is a session, at the best address that works.
func (w *writer) ensureSession(ctx context.Context) error {
	if w.session != nil && w.session.conn.IsClosed() {
		w.dropSession()
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
		w.dropSession()
		w.session = s
	}
	return nil
}

// isServerFault tells errors that another server may not have. Where a connection
// breaks that is for the next one to find out.
func isServerFault(ctx context.Context, err error) bool {
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		switch errorClass(pg) {
		case "53", "58", "XX": // out of resources, system error, internal error
			return true
		}
		return pg.Code == "25006" // read-only
	}
	return errors.Is(ctx.Err(), context.DeadlineExceeded)
}

// dropSession gives the session up: what comes next finds out anew how the table
// looks. The memory of the rows is left to what may still be sending them.
func (w *writer) dropSession() {
	if w.session != nil {
		closeQuickly(w.session.conn)
		w.session, w.enc = nil, newRowEncoder(w.o)
	}
}

func (w *writer) copyBlock(ctx context.Context, id event.ID) (refused int, err error) {
	// One query string is one transaction. The key comes first: where an earlier
	// attempt still runs on the server, this one waits for its end.
	l := w.session.def
	sql := w.o.timeLimitsSQL() + w.insertKeySQL(id, 0) + l.copySQL + "; " + l.guardSQL
	_, err = w.session.conn.CopyFrom(ctx, w.copyData(0, len(w.enc.starts)-1), sql)
	if w.isDuplicateKey(err) {
		return w.storedAnswer(ctx, id)
	}
	return 0, err
}

// maxTimeLimit is far below where the server's settings of milliseconds end, at
// 24 days, and the kernel's of seconds, at nine hours.
const maxTimeLimit = 2 * time.Hour

// timeLimitsSQL are settings for one transaction. An attempt that was given up must not
// go on for long on the server, where it would hold the block's key: neither
// behind a lock, nor in a slow statement, nor with a client that is gone.
// They are no settings of the session, since a pool would hand that to others.
func (o *Output) timeLimitsSQL() string {
	ms := max(min(o.Timeout, maxTimeLimit).Milliseconds(), 1)
	seconds := max(ms/1000, 1)
	return fmt.Sprintf("SET LOCAL statement_timeout = %d; SET LOCAL lock_timeout = %d; SET LOCAL idle_in_transaction_session_timeout = %d; "+
		"SET LOCAL tcp_keepalives_idle = %d; SET LOCAL tcp_keepalives_interval = %d; SET LOCAL tcp_keepalives_count = 3; SET LOCAL tcp_user_timeout = %d; ",
		ms, max(ms*3/4, 1), 2*ms, seconds, seconds, 4*ms)
}

func (w *writer) insertKeySQL(id event.ID, refused int) string {
	return fmt.Sprintf("INSERT INTO %s (id, refused) VALUES ('%s', %d); ", w.session.def.keys.Sanitize(), id, refused)
}

// copyData are the rows of events from first up to, not including, end.
func (w *writer) copyData(first, end int) io.Reader {
	rows := w.enc.buf[w.enc.starts[first]:w.enc.starts[end]]
	return io.MultiReader(bytes.NewReader(copyHeader), bytes.NewReader(rows), bytes.NewReader(copyTrailer))
}

// isDuplicateKey tells that the block's key is in the table.
func (w *writer) isDuplicateKey(err error) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && pg.Code == "23505" && pg.TableName == w.session.def.keys[len(w.session.def.keys)-1]
}

// storedAnswer returns what an earlier attempt found.
func (w *writer) storedAnswer(ctx context.Context, id event.ID) (refused int, err error) {
	rows, err := queryRows(ctx, w.session.conn, 1, "SELECT refused FROM "+w.session.def.keys.Sanitize()+" WHERE id = $1::uuid", id.String())
	if err != nil {
		return 0, err
	}
	if len(rows) != 1 {
		return 0, errors.New("the key of a block has vanished")
	}
	refused, err = strconv.Atoi(string(rows[0][0]))
	if err == nil {
		w.o.alreadyThere.Add(1)
		w.enc.clamped = 0 // counted, or lost, with the first answer
	}
	return refused, err
}

// isDataError tells errors that are about a row's values: data exceptions and
// violated constraints.
func isDataError(err error) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && (errorClass(pg) == "22" || errorClass(pg) == "23")
}

// mayBeOutdated tells errors that may mean that the table is not as it was read.
func mayBeOutdated(err error) bool {
	var pg *pgconn.PgError
	return isDataError(err) || errors.As(err, &pg) && (errorClass(pg) == "42" || pg.Code == "08P01") // no such column; a value of another length
}

// errorClass is the first half of an error's code. The code may be missing.
func errorClass(err *pgconn.PgError) string { return err.Code[:min(2, len(err.Code))] }

// deleteOldKeys notes a block's answer, and deletes old keys now and then. That this
// fails harms nobody soon: it is said, and the next sweeps make up for it.
func (w *writer) deleteOldKeys(ctx context.Context, id event.ID) {
	now := time.Now()
	w.o.answered.add(id, now)
	ids, sweep := w.o.answered.expired(now)
	if len(ids) == 0 && !sweep {
		return
	}
	if err := deleteKeys(ctx, w.session.conn, w.session.def, ids, sweep); err != nil {
		w.o.Log().Warn("delete old keys of blocks", "table", unquoted(w.session.def.keys), "error", err)
		w.dropSession()
	}
}

// Close gives the connection back.
func (w *writer) Close() error {
	w.dropSession()
	return nil
}
