package psql

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"dnsmonster-sensor/outputs"
	"dnsmonster-sensor/outputs/columns"
)

// field is a column of the tables that we create.
type field struct {
	columns.Named
	sqlType string
	short   *columns.Column // a shorter form, for columns too short for the text; nil: none
}

// fields are our columns in dnsmonster's order, with the types of tables that we
// create: wide enough for every value.
var fields = []field{
	{columns.PacketTime.As("packettime"), "timestamptz NOT NULL", nil},
	{columns.IndexTime.As("indextime"), "timestamptz NOT NULL", nil},
	{columns.Server.As("server"), "text", nil},
	{columns.IPVersion.As("ipversion"), "integer", nil},
	{columns.SrcIP.As("srcip"), "inet", nil},
	{columns.DstIP.As("dstip"), "inet", nil},
	{columns.Protocol.As("protocol"), "text", columns.ProtocolShort.Column()},
	{columns.Response.As("qr"), "integer", nil},
	{columns.Opcode.As("opcode"), "integer", nil},
	{columns.QClass.As("class"), "integer", nil},
	{columns.QType.As("type"), "integer", nil},
	{columns.EDNS.As("edns0present"), "integer", nil},
	{columns.DO.As("dobit"), "integer", nil},
	{columns.FullRecord.As("fullquery"), "text", nil},
	{columns.Rcode.As("responsecode"), "integer", nil},
	{columns.QName.As("question"), "text", nil},
	{columns.Length.As("size"), "integer", nil},
}

// typeName is the type without constraints.
func (f *field) typeName() string {
	word, _, _ := strings.Cut(f.sqlType, " ")
	return word
}

// Columns returns the columns of our tables.
func (o *Output) Columns() (list []columns.Named) {
	for _, f := range fields {
		list = append(list, f.Named)
	}
	return list
}

// keysSuffix is appended to the name of a table to name its table of keys.
const keysSuffix = "_blocks"

// keysTable is the table of keys that belongs to a table.
func keysTable(id pgx.Identifier) pgx.Identifier {
	keys := append(pgx.Identifier{}, id...)
	keys[len(keys)-1] += keysSuffix
	return keys
}

// createSQL returns the statements that create the tables unless they exist: the table of
// records with its index by time, and the table of the keys of blocks. With timescale the
// table of records becomes a hypertable, which creates its own index.
func createSQL(id pgx.Identifier, timescale bool) (records, keys []string) {
	var list []string
	for _, f := range fields {
		list = append(list, "  "+f.Name+" "+f.sqlType)
	}
	records = []string{"CREATE TABLE IF NOT EXISTS " + unquoted(id) + " (\n" + strings.Join(list, ",\n") + "\n)"}
	if timescale {
		records = append(records, "SELECT create_hypertable('"+unquoted(id)+"', 'packettime', if_not_exists => true)")
	} else {
		records = append(records, "CREATE INDEX IF NOT EXISTS "+id[len(id)-1]+"_packettime ON "+unquoted(id)+" USING brin (packettime)")
	}
	keys = []string{"CREATE TABLE IF NOT EXISTS " + unquoted(keysTable(id)) + " (\n  id uuid PRIMARY KEY,\n  at timestamptz NOT NULL DEFAULT now(),\n  refused integer NOT NULL DEFAULT 0\n)"}
	return records, keys
}

// unquoted is the name of a table without quotes; its parts have been checked.
func unquoted(id pgx.Identifier) string { return strings.Join(id, ".") }

// createTables creates missing tables and calls created for each.
func createTables(ctx context.Context, conn *pgconn.PgConn, id pgx.Identifier, timescale bool, created func(table string)) error {
	records, keys := createSQL(id, timescale)
	for _, t := range []struct {
		id         pgx.Identifier
		statements []string
	}{{id, records}, {keysTable(id), keys}} {
		exists, err := tableExists(ctx, conn, t.id)
		if err != nil {
			return err
		}
		if exists {
			continue
		}
		all := strings.Join(t.statements, "; ") // one query string is one transaction
		if _, err := conn.Exec(ctx, all).ReadAll(); err != nil && !isCreateRace(err) {
			return createError(ctx, conn, t.id, err)
		}
		created(unquoted(t.id))
	}
	return nil
}

// isCreateRace reports whether another session created the table at the same moment.
func isCreateRace(err error) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && (pg.Code == "42P07" || pg.Code == "23505" || pg.Code == "42710")
}

func tableExists(ctx context.Context, conn *pgconn.PgConn, id pgx.Identifier) (bool, error) {
	row, err := queryRow(ctx, conn, 1, "SELECT to_regclass($1) IS NOT NULL", id.Sanitize())
	return err == nil && string(row[0]) == "t", err
}

func currentUser(ctx context.Context, conn *pgconn.PgConn) string {
	row, err := queryRow(ctx, conn, 1, "SELECT current_user")
	if err != nil {
		return "this user"
	}
	return string(row[0])
}

// quoteRole quotes a role if a statement needs that.
func quoteRole(role string) string {
	if isName(role) && role == strings.ToLower(role) {
		return role
	}
	return pgx.Identifier{role}.Sanitize()
}

// grantSQL returns the statements that grant the rights of a sensor whose tables
// exist.
func grantSQL(id pgx.Identifier, role string) (list []string) {
	if len(id) > 1 {
		list = append(list, "GRANT USAGE ON SCHEMA "+id[0]+" TO "+quoteRole(role))
	}
	return append(list, "GRANT INSERT ON "+unquoted(id)+" TO "+quoteRole(role), "GRANT SELECT, INSERT, DELETE ON "+unquoted(keysTable(id))+" TO "+quoteRole(role))
}

// createError adds to an error who can create the table if this user may not.
func createError(ctx context.Context, conn *pgconn.PgConn, id pgx.Identifier, err error) error {
	err = fmt.Errorf("create table %s: %w", unquoted(id), err)
	var pg *pgconn.PgError
	if errors.As(err, &pg) && pg.Code == "42501" {
		return outputs.Permanent(fmt.Errorf("%w: %s", err, adminAdvice(currentUser(ctx, conn))))
	}
	return err
}

// adminAdvice says how the tables are created for a user who may not create them.
func adminAdvice(user string) string {
	return "let an administrator run the statements that `dnsmonster-sensor postgres sql --psqluser=" + user + "` prints"
}
