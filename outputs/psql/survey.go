package psql

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// problem prevents rows from being written; fix is the statement or option that
// repairs it.
type problem struct {
	what, fix    string
	missingTable bool
}

func (p problem) String() string { return p.what + ": " + p.fix }

// survey says whether the table of records and its table of keys exist, and what is wrong
// with them.
type survey struct {
	def                   *tableDef
	hasTable, hasKeyTable bool // the tables of records and of keys exist
	user                  string
	problems              []problem
	schemaMissing         bool
	mayCreate             bool // missing tables
}

func (s *survey) addProblem(fix, what string, args ...any) {
	s.problems = append(s.problems, problem{what: fmt.Sprintf(what, args...), fix: fix})
}

func (s *survey) addMissing(id pgx.Identifier, fix string) {
	s.problems = append(s.problems, problem{what: "table " + unquoted(id) + " does not exist", fix: fix, missingTable: true})
}

// takeSurvey examines both tables.
func takeSurvey(ctx context.Context, conn *pgconn.PgConn, id pgx.Identifier) (*survey, error) {
	s := &survey{def: &tableDef{id: id, keys: keysTable(id)}, user: currentUser(ctx, conn)}
	if err := s.findTables(ctx, conn); err != nil {
		return nil, err
	}
	for _, check := range []struct {
		exists bool
		run    func(context.Context, *pgconn.PgConn) error
	}{{s.hasTable, s.readColumns}, {s.hasKeyTable, s.checkKeyTable}, {s.hasTable, s.checkRecordRights}, {s.hasKeyTable, s.checkKeyRights}} {
		if !check.exists {
			continue
		}
		if err := check.run(ctx, conn); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// findTables finds out which tables exist, and whether rows can be written to a relation of
// that kind.
func (s *survey) findTables(ctx context.Context, conn *pgconn.PgConn) error {
	schema := "current_schema()"
	if len(s.def.id) > 1 {
		schema = "'" + s.def.id[0] + "'"
	}
	row, err := queryRow(ctx, conn, 3, `SELECT (SELECT has_schema_privilege(oid, 'CREATE') FROM pg_namespace WHERE nspname = `+schema+`),
		(SELECT relkind FROM pg_class WHERE oid = to_regclass($1)), to_regclass($2) IS NOT NULL`, s.def.id.Sanitize(), s.def.keys.Sanitize())
	if err != nil {
		return err
	}
	create, kind := string(row[0]), string(row[1])
	s.schemaMissing, s.mayCreate = row[0] == nil, create == "t"
	s.hasTable, s.hasKeyTable = row[1] != nil, string(row[2]) == "t"
	switch {
	case s.schemaMissing && len(s.def.id) > 1:
		s.addProblem("CREATE SCHEMA "+s.def.id[0], "schema %s does not exist", s.def.id[0])
	case s.hasTable && !strings.Contains("rpf", kind): // ordinary, partitioned, foreign
		s.addProblem("set another one with --psqltable", "%s is not a table", s.def.name())
	}
	for _, t := range []struct {
		exists bool
		id     pgx.Identifier
	}{{s.hasTable, s.def.id}, {s.hasKeyTable, s.def.keys}} {
		switch {
		case t.exists || s.schemaMissing:
		case s.mayCreate:
			s.addMissing(t.id, "create it with `dnsmonster-sensor postgres init`")
		default:
			s.addMissing(t.id, adminAdvice(s.user))
		}
	}
	return nil
}

// readColumns reads which of our columns the table has, and whether others prevent writing.
func (s *survey) readColumns(ctx context.Context, conn *pgconn.PgConn) error {
	rows, err := queryRows(ctx, conn, 9, fmt.Sprintf(tableDefQuery, fingerprintSQL(s.def.id)), s.def.id.Sanitize())
	if err != nil {
		return err
	}
	found := make(map[string]column)
	for _, row := range rows {
		fingerprint, err := strconv.ParseInt(string(row[7]), 10, 64)
		if err != nil {
			return fmt.Errorf("%w: %q is not a number", errNotPostgres, row[7])
		}
		s.def.fingerprint = fingerprint
		if c, ok := s.parseColumn(row); ok {
			found[c.name] = c
		}
	}
	var names []string
	for i := range fields {
		c, ok := found[fields[i].Name]
		if !ok {
			s.def.missing = append(s.def.missing, fields[i].Name)
			continue
		}
		c.setField(&fields[i])
		if !c.fits() {
			s.addProblem(c.widenSQL(s.def),
				"column %s of table %s has the type %s, which cannot hold its values", c.name, s.def.name(), c.typeText)
		}
		s.def.columns = append(s.def.columns, c)
		names = append(names, pgx.Identifier{c.name}.Sanitize())
	}
	if len(s.def.missing) > 0 && s.def.missing[0] == fields[0].Name {
		s.addProblem(fmt.Sprintf("set another one with --psqltable, or: ALTER TABLE %s ADD COLUMN packettime timestamptz", s.def.name()),
			"table %s has no column packettime, so it is not a table of records", s.def.name())
	}
	s.def.guardSQL = guardSQL(s.def.id, s.def.fingerprint)
	s.def.copySQL = "COPY " + s.def.id.Sanitize() + " (" + strings.Join(names, ", ") + ") FROM STDIN BINARY"
	return nil
}

// parseColumn parses a row of tableDefQuery. ours is false for a column that we do not
// write.
func (s *survey) parseColumn(row [][]byte) (c column, ours bool) {
	c.name, c.typeText = string(row[0]), string(row[6])
	oid, _ := strconv.ParseUint(string(row[1]), 10, 32)
	mod, _ := strconv.Atoi(string(row[2]))
	notNull, filled, generated := string(row[3]) == "t", string(row[4]) == "t", string(row[5]) == "t"
	for _, f := range fields {
		ours = ours || f.Name == c.name
	}
	sql := pgx.Identifier{c.name}.Sanitize()
	switch {
	case ours && generated:
		s.addProblem(fmt.Sprintf("ALTER TABLE %s ALTER COLUMN %s DROP EXPRESSION", s.def.name(), c.name), "column %s of table %s is generated and cannot be written", c.name, s.def.name())
	case !ours && notNull && !filled && !generated:
		s.addProblem(fmt.Sprintf("ALTER TABLE %s ALTER COLUMN %s DROP NOT NULL", s.def.name(), sql), "column %s of table %s is NOT NULL and has no default", c.name, s.def.name())
	}
	c.notNull = notNull || string(row[8]) == "t"
	c.oid = uint32(oid)
	if mod >= 4 && (c.oid == oidVarchar || c.oid == oidChar) {
		c.limit = mod - 4
	}
	return c, ours
}

// checkKeyTable checks that the table of keys has its columns and permits no key twice.
func (s *survey) checkKeyTable(ctx context.Context, conn *pgconn.PgConn) error {
	row, err := queryRow(ctx, conn, 4, `SELECT count(*) FILTER (WHERE attname = 'id' AND atttypid = 'uuid'::regtype), count(*) FILTER (WHERE attname = 'at'), count(*) FILTER (WHERE attname = 'refused'),
		EXISTS (SELECT FROM pg_index i JOIN pg_attribute k ON k.attrelid = i.indrelid AND k.attnum = i.indkey[0]
			WHERE i.indrelid = to_regclass($1) AND i.indisunique AND i.indisvalid AND i.indimmediate AND i.indpred IS NULL AND i.indnkeyatts = 1 AND k.attname = 'id')
		FROM pg_attribute WHERE attrelid = to_regclass($1) AND attnum > 0 AND NOT attisdropped`, s.def.keys.Sanitize())
	if err != nil {
		return err
	}
	table := unquoted(s.def.keys)
	switch {
	case string(row[0]) != "1" || string(row[1]) != "1" || string(row[2]) != "1":
		s.addProblem("drop or rename it, and run `dnsmonster-sensor postgres init`", "table %s does not have the columns of a table of keys", table)
	case string(row[3]) != "t":
		s.addProblem("ALTER TABLE "+table+" ADD PRIMARY KEY (id)", "table %s allows duplicate keys", table)
	}
	return nil
}

func (s *survey) checkRecordRights(ctx context.Context, conn *pgconn.PgConn) error {
	return s.checkRights(ctx, conn, s.def.id, "INSERT")
}

func (s *survey) checkKeyRights(ctx context.Context, conn *pgconn.PgConn) error {
	return s.checkRights(ctx, conn, s.def.keys, "SELECT", "INSERT", "DELETE")
}

// checkRights adds a problem if this user lacks any of some rights on a table.
func (s *survey) checkRights(ctx context.Context, conn *pgconn.PgConn, id pgx.Identifier, rights ...string) error {
	var lacks []string
	for _, right := range rights {
		function := "has_any_column_privilege" // which a grant on the whole table includes
		if right == "DELETE" {
			function = "has_table_privilege"
		}
		row, err := queryRow(ctx, conn, 1, "SELECT "+function+"(to_regclass($1), $2)", id.Sanitize(), right)
		if err != nil {
			return err
		}
		if string(row[0]) != "t" {
			lacks = append(lacks, right)
		}
	}
	if len(lacks) > 0 {
		list := strings.Join(lacks, ", ")
		s.addProblem(fmt.Sprintf("as its owner: GRANT %s ON %s TO %s", list, unquoted(id), quoteRole(s.user)), "no right to %s on table %s", list, unquoted(id))
	}
	return nil
}
