package psql

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"dnsmonster-sensor/outputs"
	"dnsmonster-sensor/outputs/columns"
)

// layout is a table as it is.
type layout struct {
	id, keys pgx.Identifier
	columns  []column // those that are written
	missing  []string
	copy     string // the statement
	guard    string // a statement that fails where the table is not this one any more
	print    int64  // tells this table from any other, as guard does
}

type column struct {
	*field
	from  *columns.Column // of the field
	name  string
	oid   uint32
	limit int    // characters, of types that have a limit; else 0
	typed string // the type as the server writes it

	notNull bool // a constraint of the column or of its domain
}

func (c *column) fill(f *field) { c.field, c.from = f, f.ID.Column() }

func (l *layout) name() string { return plain(l.id) }

// takesAs tells whether null may stand in the same columns as in a layout with the same
// print, which does not tell that. A row with a null where none may be fails by itself.
func (l *layout) takesAs(old *layout) bool {
	return slices.EqualFunc(l.columns, old.columns, func(a, b column) bool { return a.notNull == b.notNull })
}

// problem keeps rows from being written.
type problem struct{ what, mend string }

func (p problem) String() string { return p.what + ": " + p.mend }

// survey is what there is of a table and of that of its keys, and what is wrong
// with them.
type survey struct {
	layout        *layout
	rows, keys    bool // they are there
	user          string
	problems      []problem
	schemaMissing bool
	mayMake       bool // what is not there
}

func (s *survey) wrong(mend, what string, args ...any) {
	s.problems = append(s.problems, problem{fmt.Sprintf(what, args...), mend})
}

// readLayout reads which columns the table has, and what they take. What it finds
// wrong is for somebody to mend.
func readLayout(ctx context.Context, conn *pgconn.PgConn, id pgx.Identifier) (*layout, error) {
	s, err := look(ctx, conn, id)
	switch {
	case err != nil:
		return nil, err
	case len(s.problems) == 1:
		return nil, outputs.Permanent(errors.New(s.problems[0].String()))
	case len(s.problems) > 1:
		return nil, outputs.Permanent(fmt.Errorf("%s (and %d more: `dnsmonster-sensor postgres check` shows all)", s.problems[0], len(s.problems)-1))
	}
	return s.layout, nil
}

// look finds out all about the tables.
func look(ctx context.Context, conn *pgconn.PgConn, id pgx.Identifier) (*survey, error) {
	s := &survey{layout: &layout{id: id, keys: keysOf(id)}, user: currentUser(ctx, conn)}
	if err := s.tables(ctx, conn); err != nil {
		return nil, err
	}
	for _, part := range []struct {
		there bool
		look  func(context.Context, *pgconn.PgConn) error
	}{{s.rows, s.columns}, {s.keys, s.keyColumns}, {s.rows, s.rightsOnRows}, {s.keys, s.rightsOnKeys}} {
		if !part.there {
			continue
		}
		if err := part.look(ctx, conn); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// ask runs a query with that many columns.
func ask(ctx context.Context, conn *pgconn.PgConn, columns int, sql string, args ...string) ([][][]byte, error) {
	values := make([][]byte, len(args))
	types := make([]uint32, len(args))
	for i, a := range args {
		values[i], types[i] = []byte(a), oidText
	}
	r := conn.ExecParams(ctx, sql, values, types, nil, nil).Read()
	if r.Err != nil {
		return nil, r.Err
	}
	for _, row := range r.Rows {
		if len(row) != columns {
			return nil, fmt.Errorf("%w: a row of %d columns, want %d", errNoPostgres, len(row), columns)
		}
	}
	return r.Rows, nil
}

// askOne runs a query that has one row.
func askOne(ctx context.Context, conn *pgconn.PgConn, columns int, sql string, args ...string) ([][]byte, error) {
	rows, err := ask(ctx, conn, columns, sql, args...)
	if err == nil && len(rows) != 1 {
		err = fmt.Errorf("%w: %d rows, want 1", errNoPostgres, len(rows))
	}
	if err != nil {
		return nil, err
	}
	return rows[0], nil
}

// errNoPostgres: whatever answers there, its answers are not PostgreSQL's.
var errNoPostgres = errors.New("the server does not answer as PostgreSQL does")

// tables finds out which are there, and what kind of relation they are.
func (s *survey) tables(ctx context.Context, conn *pgconn.PgConn) error {
	schema := "current_schema()"
	if len(s.layout.id) > 1 {
		schema = "'" + s.layout.id[0] + "'"
	}
	row, err := askOne(ctx, conn, 3, `SELECT (SELECT has_schema_privilege(oid, 'CREATE') FROM pg_namespace WHERE nspname = `+schema+`),
		(SELECT relkind FROM pg_class WHERE oid = to_regclass($1)), to_regclass($2) IS NOT NULL`, s.layout.id.Sanitize(), s.layout.keys.Sanitize())
	if err != nil {
		return err
	}
	create, kind := string(row[0]), string(row[1])
	s.schemaMissing, s.mayMake = row[0] == nil, create == "t"
	s.rows, s.keys = row[1] != nil, string(row[2]) == "t"
	switch {
	case s.schemaMissing && len(s.layout.id) > 1:
		s.wrong("CREATE SCHEMA "+s.layout.id[0], "schema %s is not there", s.layout.id[0])
	case s.rows && !strings.Contains("rpf", kind):
		s.wrong("name another one with --psqltable", "%s is no table", s.layout.name())
	}
	for _, t := range []struct {
		there bool
		id    pgx.Identifier
	}{{s.rows, s.layout.id}, {s.keys, s.layout.keys}} {
		switch {
		case t.there || s.schemaMissing:
		case s.mayMake:
			s.wrong("make it with `dnsmonster-sensor postgres init`", "table %s is not there", plain(t.id))
		default:
			s.wrong(fmt.Sprintf("let somebody who may make it run what `dnsmonster-sensor postgres sql --psqluser=%s` prints", s.user), "table %s is not there", plain(t.id))
		}
	}
	return nil
}

// layoutQuery asks for the columns and, of the same moment, for what tells the
// table from others.
const layoutQuery = `
SELECT a.attname, COALESCE(NULLIF(t.typbasetype, 0), a.atttypid)::int8, CASE WHEN t.typbasetype <> 0 THEN t.typtypmod ELSE a.atttypmod END,
       a.attnotnull, a.atthasdef OR a.attidentity <> '', a.attgenerated <> '', format_type(a.atttypid, a.atttypmod), %s, t.typnotnull
FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_type t ON t.oid = a.atttypid
WHERE a.attrelid = to_regclass($1) AND a.attnum > 0 AND NOT a.attisdropped`

// printOf asks for a number that tells a table, and its columns with their types,
// from all others. It takes the server a tenth of a millisecond.
func printOf(id pgx.Identifier) string {
	return `(SELECT hashtextextended(concat_ws(',', min(p.attrelid), string_agg(concat_ws(' ', p.attname, p.atttypid, p.atttypmod), ',' ORDER BY p.attnum)), 0)
FROM pg_catalog.pg_attribute p WHERE p.attrelid = to_regclass('` + id.Sanitize() + `') AND p.attnum > 0 AND NOT p.attisdropped)`
}

// guardOf is a statement that fails where that number is another one. Rows go to
// the server in the binary form of the types that the columns had when they were
// read: some other types take the same bytes for another value, without an error.
// The guard comes behind the rows, in their transaction, whose lock keeps the
// table as it is from then on; a division by zero takes everything back.
func guardOf(id pgx.Identifier, print int64) string {
	return "SELECT 1 / COALESCE((" + printOf(id) + " = " + strconv.FormatInt(print, 10) + ")::int, 0)"
}

// columns reads which of ours the table has, and which it has besides.
func (s *survey) columns(ctx context.Context, conn *pgconn.PgConn) error {
	rows, err := ask(ctx, conn, 9, fmt.Sprintf(layoutQuery, printOf(s.layout.id)), s.layout.id.Sanitize())
	if err != nil {
		return err
	}
	found := make(map[string]column)
	for _, row := range rows {
		print, err := strconv.ParseInt(string(row[7]), 10, 64)
		if err != nil {
			return fmt.Errorf("%w: %q is no number", errNoPostgres, row[7])
		}
		s.layout.print = print
		if c, ok := s.column(row); ok {
			found[c.name] = c
		}
	}
	var names []string
	for i := range fields {
		c, ok := found[fields[i].Name]
		if !ok {
			s.layout.missing = append(s.layout.missing, fields[i].Name)
			continue
		}
		c.fill(&fields[i])
		if !c.fits() {
			s.wrong(c.widen(s.layout),
				"column %s of table %s has the type %s, which its values cannot be written to", c.name, s.layout.name(), c.typed)
		}
		s.layout.columns = append(s.layout.columns, c)
		names = append(names, pgx.Identifier{c.name}.Sanitize())
	}
	if len(s.layout.missing) > 0 && s.layout.missing[0] == fields[0].Name {
		s.wrong(fmt.Sprintf("name another one with --psqltable, or: ALTER TABLE %s ADD COLUMN packettime timestamptz", s.layout.name()),
			"table %s has no column packettime, so it is no table of records", s.layout.name())
	}
	s.layout.guard = guardOf(s.layout.id, s.layout.print)
	s.layout.copy = "COPY " + s.layout.id.Sanitize() + " (" + strings.Join(names, ", ") + ") FROM STDIN BINARY"
	return nil
}

// column returns false for a column that is none of ours.
func (s *survey) column(row [][]byte) (c column, ours bool) {
	c.name, c.typed = string(row[0]), string(row[6])
	oid, _ := strconv.ParseUint(string(row[1]), 10, 32)
	mod, _ := strconv.Atoi(string(row[2]))
	notNull, filled, generated := string(row[3]) == "t", string(row[4]) == "t", string(row[5]) == "t"
	for _, f := range fields {
		ours = ours || f.Name == c.name
	}
	sql := pgx.Identifier{c.name}.Sanitize()
	switch {
	case ours && generated:
		s.wrong(fmt.Sprintf("ALTER TABLE %s ALTER COLUMN %s DROP EXPRESSION", s.layout.name(), c.name), "column %s of table %s is generated and cannot be written", c.name, s.layout.name())
	case !ours && notNull && !filled && !generated:
		s.wrong(fmt.Sprintf("ALTER TABLE %s ALTER COLUMN %s DROP NOT NULL", s.layout.name(), sql), "column %s of table %s must not be null, and nothing fills it", c.name, s.layout.name())
	}
	c.notNull = notNull || string(row[8]) == "t"
	c.oid = uint32(oid)
	if mod >= 4 && (c.oid == oidVarchar || c.oid == oidChar) {
		c.limit = mod - 4
	}
	return c, ours
}

// keyColumns makes sure that a key cannot be in the table twice.
func (s *survey) keyColumns(ctx context.Context, conn *pgconn.PgConn) error {
	row, err := askOne(ctx, conn, 4, `SELECT count(*) FILTER (WHERE attname = 'id' AND atttypid = 'uuid'::regtype), count(*) FILTER (WHERE attname = 'at'), count(*) FILTER (WHERE attname = 'refused'),
		EXISTS (SELECT FROM pg_index i JOIN pg_attribute k ON k.attrelid = i.indrelid AND k.attnum = i.indkey[0]
			WHERE i.indrelid = to_regclass($1) AND i.indisunique AND i.indisvalid AND i.indimmediate AND i.indpred IS NULL AND i.indnkeyatts = 1 AND k.attname = 'id')
		FROM pg_attribute WHERE attrelid = to_regclass($1) AND attnum > 0 AND NOT attisdropped`, s.layout.keys.Sanitize())
	if err != nil {
		return err
	}
	table := plain(s.layout.keys)
	switch {
	case string(row[0]) != "1" || string(row[1]) != "1" || string(row[2]) != "1":
		s.wrong("drop or rename it, and `dnsmonster-sensor postgres init`", "table %s has other columns than the keys of blocks", table)
	case string(row[3]) != "t":
		s.wrong("ALTER TABLE "+table+" ADD PRIMARY KEY (id)", "table %s lets a key in twice", table)
	}
	return nil
}

func (s *survey) rightsOnRows(ctx context.Context, conn *pgconn.PgConn) error {
	return s.rights(ctx, conn, s.layout.id, "INSERT")
}

func (s *survey) rightsOnKeys(ctx context.Context, conn *pgconn.PgConn) error {
	return s.rights(ctx, conn, s.layout.keys, "SELECT", "INSERT", "DELETE")
}

// rights asks whether this user has some on a table.
func (s *survey) rights(ctx context.Context, conn *pgconn.PgConn, id pgx.Identifier, rights ...string) error {
	var lacks []string
	for _, right := range rights {
		function := "has_any_column_privilege" // also where the whole table is granted
		if right == "DELETE" {
			function = "has_table_privilege"
		}
		row, err := askOne(ctx, conn, 1, "SELECT "+function+"(to_regclass($1), $2)", id.Sanitize(), right)
		if err != nil {
			return err
		}
		if string(row[0]) != "t" {
			lacks = append(lacks, right)
		}
	}
	if len(lacks) > 0 {
		list := strings.Join(lacks, ", ")
		s.wrong(fmt.Sprintf("as its owner: GRANT %s ON %s TO %s", list, plain(id), quoted(s.user)), "no right to %s on table %s", list, plain(id))
	}
	return nil
}
