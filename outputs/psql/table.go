package psql

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"dnsmonster-sensor/outputs"
)

// columns are the table's, in dnsmonster's order, with the types of tables that
// we make: wide enough for every value.
var columns = []struct{ name, sqlType string }{
	{"packettime", "timestamptz NOT NULL"}, {"indextime", "timestamptz NOT NULL"}, {"server", "text"}, {"ipversion", "integer"},
	{"srcip", "inet"}, {"dstip", "inet"}, {"protocol", "text"}, {"qr", "integer"}, {"opcode", "integer"}, {"class", "integer"},
	{"type", "integer"}, {"edns0present", "integer"}, {"dobit", "integer"}, {"fullquery", "text"}, {"responsecode", "integer"},
	{"question", "text"}, {"size", "integer"},
}

// keysSuffix is what the table of keys has behind the table's name.
const keysSuffix = "_blocks"

// keysOf is the table of keys that belongs to a table.
func keysOf(id pgx.Identifier) pgx.Identifier {
	keys := append(pgx.Identifier{}, id...)
	keys[len(keys)-1] += keysSuffix
	return keys
}

// Statements make the tables, where they are missing: that of the rows, its
// index by time, and that of the keys of the blocks that are in it. With
// timescale the table becomes a hypertable.
func Statements(id pgx.Identifier, timescale bool) []string {
	var list []string
	for _, c := range columns {
		list = append(list, "  "+c.name+" "+c.sqlType)
	}
	index := pgx.Identifier{id[len(id)-1] + "_packettime"}.Sanitize()
	statements := []string{
		"CREATE TABLE IF NOT EXISTS " + plain(id) + " (\n" + strings.Join(list, ",\n") + "\n)",
		"CREATE TABLE IF NOT EXISTS " + plain(keysOf(id)) + " (\n  id uuid PRIMARY KEY,\n  at timestamptz NOT NULL DEFAULT now(),\n  refused integer NOT NULL DEFAULT 0\n)",
	}
	if timescale {
		return append(statements, "SELECT create_hypertable('"+plain(id)+"', 'packettime', if_not_exists => true)")
	}
	return append(statements, "CREATE INDEX IF NOT EXISTS "+strings.ReplaceAll(index, `"`, "")+" ON "+plain(id)+" USING brin (packettime)")
}

// plain is an identifier as people write it; the parts have been checked.
func plain(id pgx.Identifier) string { return strings.Join(id, ".") }

// Table is the identifier that psqltable says.
func (o *Output) Table() (pgx.Identifier, error) { return o.identifier() }

// create makes what is missing.
func create(ctx context.Context, conn *pgconn.PgConn, id pgx.Identifier, log *slog.Logger) error {
	for i, table := range []pgx.Identifier{id, keysOf(id)} {
		there, err := exists(ctx, conn, table)
		if err != nil {
			return err
		}
		if there {
			continue
		}
		statements := Statements(id, false)
		if i == 0 {
			statements = append(statements[:1:1], statements[2:]...)
		} else {
			statements = statements[1:2]
		}
		for _, s := range statements {
			if _, err := conn.Exec(ctx, s).ReadAll(); err != nil && !raced(err) {
				return &createError{table: plain(table), user: currentUser(ctx, conn), err: err}
			}
		}
		log.Info("made a table", "table", plain(table))
	}
	return nil
}

// raced tells that somebody else made the table at the same moment.
func raced(err error) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && (pg.Code == "42P07" || pg.Code == "23505" || pg.Code == "42710")
}

func exists(ctx context.Context, conn *pgconn.PgConn, id pgx.Identifier) (bool, error) {
	r := conn.ExecParams(ctx, "SELECT to_regclass($1) IS NOT NULL", [][]byte{[]byte(id.Sanitize())}, nil, nil, nil).Read()
	if r.Err != nil {
		return false, r.Err
	}
	return len(r.Rows) == 1 && string(r.Rows[0][0]) == "t", nil
}

func currentUser(ctx context.Context, conn *pgconn.PgConn) string {
	r := conn.ExecParams(ctx, "SELECT current_user", nil, nil, nil, nil).Read()
	if r.Err != nil || len(r.Rows) != 1 {
		return "this user"
	}
	return string(r.Rows[0][0])
}

// createError says what is missing and who could make it.
type createError struct {
	table, user string
	err         error
}

func (e *createError) Error() string {
	return fmt.Sprintf("create table %s: %v: have its owner run `dnsmonster-sensor postgres init`, or what `dnsmonster-sensor postgres sql --psqluser=%s` prints", e.table, e.err, e.user)
}
func (e *createError) Unwrap() error { return e.err }

// layout is a table as it is.
type layout struct {
	id, keys pgx.Identifier
	columns  []column // those that are written
	missing  []string
	copy     string // the statement
}

type column struct {
	name  string
	kind  int // position in columns
	oid   uint32
	limit int // characters, of types that have a limit; else 0
	null  bool
}

func (l *layout) name() string { return plain(l.id) }

const layoutQuery = `
SELECT a.attname, COALESCE(NULLIF(t.typbasetype, 0), a.atttypid)::int8, CASE WHEN t.typbasetype <> 0 THEN t.typtypmod ELSE a.atttypmod END,
       a.attnotnull, a.atthasdef OR a.attidentity <> '', a.attgenerated <> '', format_type(a.atttypid, a.atttypmod)
FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_type t ON t.oid = a.atttypid
WHERE a.attrelid = to_regclass($1) AND a.attnum > 0 AND NOT a.attisdropped`

// readLayout reads which columns the table has, and what they take. The errors
// that it finds are for somebody to mend.
func readLayout(ctx context.Context, conn *pgconn.PgConn, id pgx.Identifier) (*layout, error) {
	r := conn.ExecParams(ctx, layoutQuery, [][]byte{[]byte(id.Sanitize())}, nil, nil, nil).Read()
	if r.Err != nil {
		return nil, r.Err
	}
	if len(r.Rows) == 0 {
		return nil, outputs.Permanent(fmt.Errorf("table %s is not there: make it with `dnsmonster-sensor postgres init`", plain(id)))
	}
	l := &layout{id: id, keys: keysOf(id)}
	found := make(map[string]column)
	for _, row := range r.Rows {
		c, err := readColumn(plain(id), row)
		if err != nil {
			return nil, err
		}
		if c != nil {
			found[c.name] = *c
		}
	}
	var names []string
	for i, want := range columns {
		c, ok := found[want.name]
		if !ok {
			l.missing = append(l.missing, want.name)
			continue
		}
		c.kind = i
		if err := c.fits(plain(id)); err != nil {
			return nil, err
		}
		l.columns = append(l.columns, c)
		names = append(names, pgx.Identifier{c.name}.Sanitize())
	}
	if len(l.missing) > 0 && l.missing[0] == columns[0].name {
		return nil, outputs.Permanent(fmt.Errorf("table %s has no column packettime, so it is no table of records: name another one with --psqltable, or: ALTER TABLE %s ADD COLUMN packettime timestamptz", plain(id), plain(id)))
	}
	l.copy = "COPY " + id.Sanitize() + " (" + strings.Join(names, ", ") + ") FROM STDIN BINARY"
	return l, checkRights(ctx, conn, l)
}

// readColumn returns nil for a column that is none of ours.
func readColumn(table string, row [][]byte) (*column, error) {
	name := string(row[0])
	oid, err1 := strconv.ParseUint(string(row[1]), 10, 32)
	mod, err2 := strconv.Atoi(string(row[2]))
	if err := errors.Join(err1, err2); err != nil {
		return nil, fmt.Errorf("read column %s: %w", name, err)
	}
	notNull, filled, generated := string(row[3]) == "t", string(row[4]) == "t", string(row[5]) == "t"
	ours := false
	for _, c := range columns {
		ours = ours || c.name == name
	}
	switch {
	case ours && generated:
		return nil, outputs.Permanent(fmt.Errorf("column %s of table %s is generated and cannot be written", name, table))
	case !ours && notNull && !filled && !generated:
		return nil, outputs.Permanent(fmt.Errorf("column %s of table %s must not be null, and nothing fills it: ALTER TABLE %s ALTER COLUMN %s DROP NOT NULL", name, table, table, pgx.Identifier{name}.Sanitize()))
	case !ours:
		return nil, nil
	}
	c := &column{name: name, oid: uint32(oid), null: !notNull}
	if mod >= 4 && (c.oid == oidVarchar || c.oid == oidChar) {
		c.limit = mod - 4
	}
	return c, nil
}

// checkRights asks whether rows and keys can be written.
func checkRights(ctx context.Context, conn *pgconn.PgConn, l *layout) error {
	for _, t := range []struct {
		id     pgx.Identifier
		rights []string
	}{
		{l.id, []string{"INSERT"}},
		{l.keys, []string{"SELECT", "INSERT", "DELETE"}},
	} {
		there, err := exists(ctx, conn, t.id)
		if err != nil {
			return err
		}
		if !there {
			return outputs.Permanent(fmt.Errorf("table %s is not there: make it with `dnsmonster-sensor postgres init`", plain(t.id)))
		}
		for _, right := range t.rights {
			ask := "has_any_column_privilege" // also where the whole table is granted
			if right == "DELETE" {
				ask = "has_table_privilege"
			}
			r := conn.ExecParams(ctx, "SELECT "+ask+"(to_regclass($1), $2)", [][]byte{[]byte(t.id.Sanitize()), []byte(right)}, []uint32{oidText, oidText}, nil, nil).Read()
			if r.Err != nil {
				return r.Err
			}
			if len(r.Rows) != 1 || string(r.Rows[0][0]) != "t" {
				return outputs.Permanent(fmt.Errorf("no right to %s on table %s: as its owner: GRANT %s ON %s TO %s",
					right, plain(t.id), strings.Join(t.rights, ", "), plain(t.id), currentUser(ctx, conn)))
			}
		}
	}
	return nil
}
