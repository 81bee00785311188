package psql

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"dnsmonster-sensor/outputs"
)

// tableDef is the definition of the table as read from the server.
type tableDef struct {
	id, keys    pgx.Identifier
	columns     []column // those that we write
	missing     []string // our columns that the table lacks
	copySQL     string   // COPY with these columns
	guardSQL    string   // fails if the definition has changed
	fingerprint int64    // of the definition, as in guardSQL
}

func (d *tableDef) name() string { return unquoted(d.id) }

// sameNotNull reports whether the same columns are NOT NULL in two definitions with the same
// fingerprint. The fingerprint need not cover that: a null in such a column is refused.
func (d *tableDef) sameNotNull(old *tableDef) bool {
	return slices.EqualFunc(d.columns, old.columns, func(a, b column) bool { return a.notNull == b.notNull })
}

// readTableDef reads which of our columns the table has and what they can hold. A
// problem with the table is a permanent error.
func readTableDef(ctx context.Context, conn *pgconn.PgConn, id pgx.Identifier) (*tableDef, error) {
	s, err := takeSurvey(ctx, conn, id)
	switch {
	case err != nil:
		return nil, err
	case len(s.problems) == 1:
		return nil, outputs.Permanent(errors.New(s.problems[0].String()))
	case len(s.problems) > 1:
		return nil, outputs.Permanent(fmt.Errorf("%s (and %d more: `dnsmonster-sensor postgres check` shows all)", s.problems[0], len(s.problems)-1))
	}
	return s.def, nil
}

// tableDefQuery reads the columns and, in the same snapshot, the fingerprint.
const tableDefQuery = `
SELECT a.attname, COALESCE(NULLIF(t.typbasetype, 0), a.atttypid)::int8, CASE WHEN t.typbasetype <> 0 THEN t.typtypmod ELSE a.atttypmod END,
       a.attnotnull, a.atthasdef OR a.attidentity <> '', a.attgenerated <> '', format_type(a.atttypid, a.atttypmod), %s, t.typnotnull
FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_type t ON t.oid = a.atttypid
WHERE a.attrelid = to_regclass($1) AND a.attnum > 0 AND NOT a.attisdropped`

// fingerprintSQL computes a number that identifies a table with its columns and their
// types. It takes the server a tenth of a millisecond.
func fingerprintSQL(id pgx.Identifier) string {
	return `(SELECT hashtextextended(concat_ws(',', min(p.attrelid), string_agg(concat_ws(' ', p.attname, p.atttypid, p.atttypmod), ',' ORDER BY p.attnum)), 0)
FROM pg_catalog.pg_attribute p WHERE p.attrelid = to_regclass('` + id.Sanitize() + `') AND p.attnum > 0 AND NOT p.attisdropped)`
}

// guardSQL is a statement that fails if the table no longer has the fingerprint. Rows are
// sent in the binary form of the types that the columns had when the definition was read,
// and some other types accept the same bytes as another value. The guard follows the rows in
// their transaction, whose lock prevents later changes; its division by zero rolls
// everything back.
func guardSQL(id pgx.Identifier, fingerprint int64) string {
	return "SELECT 1 / COALESCE((" + fingerprintSQL(id) + " = " + strconv.FormatInt(fingerprint, 10) + ")::int, 0)"
}
