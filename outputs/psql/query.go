package psql

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5/pgconn"
)

// errNotPostgres: a server answered, but not as PostgreSQL does.
var errNotPostgres = errors.New("the server does not answer as PostgreSQL does")

// queryRows runs a query whose rows have that many columns.
func queryRows(ctx context.Context, conn *pgconn.PgConn, columns int, sql string, args ...string) ([][][]byte, error) {
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
			return nil, fmt.Errorf("%w: a row of %d columns, want %d", errNotPostgres, len(row), columns)
		}
	}
	return r.Rows, nil
}

// queryRow runs a query whose answer is one row.
func queryRow(ctx context.Context, conn *pgconn.PgConn, columns int, sql string, args ...string) ([][]byte, error) {
	rows, err := queryRows(ctx, conn, columns, sql, args...)
	if err == nil && len(rows) != 1 {
		err = fmt.Errorf("%w: %d rows, want 1", errNotPostgres, len(rows))
	}
	if err != nil {
		return nil, err
	}
	return rows[0], nil
}
