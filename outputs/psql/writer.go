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

	"dnsmonster-sensor/outputs"
	"dnsmonster-sensor/userspace/event"
)

// writer has one session, which it replaces when it breaks.
type writer struct {
	o       *Output
	session *session // nil: none
	enc     *rowEncoder
	doubt   doubt
}

// Write copies a block's rows and its key in one transaction. A block whose key exists
// was written before: only the answer was lost.
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
	w.expireKeys(ctx, b.ID())
	return refused, nil
}

// maxTableReads bounds how often the table may change during one attempt.
const maxTableReads = 3

// writeCurrent writes the block for the table as it is now. If the server refuses the data,
// or the guard fails, it reads the definition again before it blames a row: the table may
// have changed.
func (w *writer) writeCurrent(ctx context.Context, b *event.Block) (refused int, err error) {
	for range maxTableReads {
		def := w.session.def
		w.enc.encode(b, def, time.Now())
		refused, err = w.copyBlock(ctx, b.ID())
		if !mayBeOutdated(err) {
			return refused, err
		}
		current, readErr := readTableDef(ctx, w.session.conn, def.id)
		if readErr != nil {
			return 0, readErr
		}
		if current.fingerprint == def.fingerprint && current.sameNotNull(def) {
			if !isDataError(err) {
				return 0, err
			}
			if refused, err = w.bisect(ctx, b.ID()); !errors.Is(err, errTableChanged) {
				return refused, err
			}
			continue
		}
		w.o.Log().Info("the table has changed, rows are written as it is now", "table", def.name())
		w.session.def = current
	}
	return refused, err
}

// errTableChanged: the rows were encoded for an earlier definition of the table.
var errTableChanged = errors.New("the table was changed while rows were written")

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
	// The current session still works: the trial may take a quarter of the attempt's
	// time.
	part, cancel := outputs.ShareOfTime(ctx, 4)
	defer cancel()
	if s, err := w.o.connectTo(part, w.o.dest, better); err == nil {
		w.dropSession()
		w.session = s
	}
	return nil
}

// isServerFault reports whether another server may not have this error. A broken connection
// does not count: the next attempt to connect shows whether the server is down.
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

// dropSession closes the session: the next one reads the definition of the table
// again. The memory of the rows is left to the library, which may still be sending
// them.
func (w *writer) dropSession() {
	if w.session != nil {
		closeQuickly(w.session.conn)
		w.session, w.enc = nil, newRowEncoder(w.o)
	}
}

func (w *writer) copyBlock(ctx context.Context, id event.ID) (refused int, err error) {
	// One query string is one transaction. The key comes first: this attempt waits for an
	// earlier one that still runs on the server.
	def := w.session.def
	sql := w.o.timeLimitsSQL() + w.insertKeySQL(id, 0) + def.copySQL + "; " + def.guardSQL
	_, err = w.session.conn.CopyFrom(ctx, w.copyData(0, len(w.enc.starts)-1), sql)
	if w.isDuplicateKey(err) {
		return w.storedAnswer(ctx, id)
	}
	return 0, err
}

// maxTimeLimit is far below the largest values: 24 days for the server's settings in
// milliseconds, nine hours for the kernel's in seconds.
const maxTimeLimit = 2 * time.Hour

// timeLimitsSQL are settings for one transaction. An attempt that the sensor has
// abandoned must not go on for long on the server, where it would hold the block's
// key: neither behind a lock, nor in a slow statement, nor with a dead client. They
// are not settings of the session, because a connection pool would hand those to
// others.
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

// copyData is the data of COPY for the events from first up to, not including, end.
func (w *writer) copyData(first, end int) io.Reader {
	rows := w.enc.buf[w.enc.starts[first]:w.enc.starts[end]]
	return io.MultiReader(bytes.NewReader(copyHeader), bytes.NewReader(rows), bytes.NewReader(copyTrailer))
}

// isDuplicateKey reports whether the block's key is in the table.
func (w *writer) isDuplicateKey(err error) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && pg.Code == "23505" && pg.TableName == w.session.def.keys[len(w.session.def.keys)-1]
}

// storedAnswer returns how many rows an earlier attempt refused.
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
		w.enc.clamped = 0 // counted with the first answer, or lost with it
	}
	return refused, err
}

// isDataError reports whether the values of a row are at fault: a data exception or a
// violated constraint.
func isDataError(err error) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && (errorClass(pg) == "22" || errorClass(pg) == "23")
}

// mayBeOutdated reports whether the table's definition has to be read again after an error.
func mayBeOutdated(err error) bool {
	var pg *pgconn.PgError
	return isDataError(err) || errors.As(err, &pg) && (errorClass(pg) == "42" || pg.Code == "08P01") // no such column; a value of another length
}

// errorClass is the first half of an error code, which may be missing.
func errorClass(err *pgconn.PgError) string { return err.Code[:min(2, len(err.Code))] }

// expireKeys records that a block has its answer, so that its key can be deleted
// later, and deletes old keys now and then. A failure is logged and does no harm:
// later sweeps delete the keys.
func (w *writer) expireKeys(ctx context.Context, id event.ID) {
	now := time.Now()
	w.o.answered.add(id, now)
	ids, sweep := w.o.answered.expired(now)
	if len(ids) == 0 && !sweep {
		return
	}
	if err := deleteKeys(ctx, w.session.conn, w.session.def, ids, sweep); err != nil {
		w.o.Log().Warn("deleting old keys of blocks failed", "table", unquoted(w.session.def.keys), "error", err)
		w.dropSession()
	}
}

// Close closes the connection.
func (w *writer) Close() error {
	w.dropSession()
	return nil
}
