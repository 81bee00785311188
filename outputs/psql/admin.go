package psql

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"dnsmonster-sensor/outputs"
	"dnsmonster-sensor/outputs/printable"
)

// Admin does the work of the commands: it creates and checks what the output needs in its
// database.
type Admin struct {
	o         *Output
	Timescale bool   // make the table of records a hypertable
	User      string // the role to grant the rights of a sensor to; "": none
}

// Admin returns an Admin for the database and the table in the output's options.
func (o *Output) Admin() *Admin { return &Admin{o: o} }

// adminTimeout bounds the work on one server, connecting included.
const adminTimeout = 10 * time.Second

// Script writes the SQL statements that create what a sensor needs. It does not
// connect.
func (a *Admin) Script(w io.Writer) error {
	id, err := a.o.identifier()
	if err != nil {
		return outputs.Permanent(err)
	}
	var text bytes.Buffer
	if a.Timescale {
		fmt.Fprintln(&text, "CREATE EXTENSION IF NOT EXISTS timescaledb;")
	}
	if len(id) > 1 {
		fmt.Fprintf(&text, "CREATE SCHEMA IF NOT EXISTS %s;\n", id[0])
	}
	records, keys := createSQL(id, a.Timescale)
	list := append(records, keys...)
	if a.User != "" {
		list = append(list, grantSQL(id, a.User)...)
	}
	for _, s := range list {
		fmt.Fprintf(&text, "%s;\n", s)
	}
	_, err = w.Write(text.Bytes())
	return err
}

// Init creates what is missing on the first server that accepts rows, and writes to w what
// it has done.
func (a *Admin) Init(ctx context.Context, w io.Writer) error {
	id, err := a.o.identifier()
	if err != nil {
		return outputs.Permanent(err)
	}
	d, err := a.o.destination()
	if err != nil {
		return outputs.Permanent(err)
	}
	var errs []error
	for i, srv := range d.servers {
		ctx, cancel := context.WithTimeout(ctx, adminTimeout)
		defer cancel()
		conn, err := a.o.dial(ctx, srv, d.names[i])
		if err != nil {
			errs = append(errs, err)
			continue
		}
		defer closeQuickly(conn)
		return a.o.explain(srv.Config, a.createAll(ctx, conn, id, w))
	}
	return errors.Join(errs...)
}

func (a *Admin) createAll(ctx context.Context, conn *pgconn.PgConn, id pgx.Identifier, w io.Writer) error {
	if a.Timescale {
		if err := needTimescale(ctx, conn); err != nil {
			return err
		}
	}
	s, err := takeSurvey(ctx, conn, id)
	if err != nil {
		return err
	}
	if s.schemaMissing && len(id) > 1 {
		if _, err := conn.Exec(ctx, "CREATE SCHEMA "+id[0]).ReadAll(); err != nil {
			return fmt.Errorf("create schema %s: %w", id[0], err)
		}
		fmt.Fprintf(w, "created schema %s\n", id[0])
	}
	if s.hasTable {
		fmt.Fprintf(w, "table %s exists\n", unquoted(id))
	}
	if s.hasKeyTable {
		fmt.Fprintf(w, "table %s exists\n", unquoted(keysTable(id)))
	}
	if err := createTables(ctx, conn, id, a.Timescale, func(table string) { fmt.Fprintf(w, "created table %s\n", table) }); err != nil {
		return err
	}
	if a.Timescale && s.hasTable {
		if err := hypertable(ctx, conn, id); err != nil {
			return err
		}
		fmt.Fprintf(w, "table %s is a hypertable\n", unquoted(id))
	}
	if a.User != "" {
		if _, err := conn.Exec(ctx, strings.Join(grantSQL(id, a.User), "; ")).ReadAll(); err != nil {
			return fmt.Errorf("grant rights: %w", err)
		}
		fmt.Fprintf(w, "granted %s the rights of a sensor\n", a.User)
	}
	if s, err = takeSurvey(ctx, conn, id); err != nil || len(s.problems) == 0 {
		return err
	}
	return outputs.Permanent(errors.New(s.problems[0].String()))
}

// needTimescale makes sure that the database has the extension.
func needTimescale(ctx context.Context, conn *pgconn.PgConn) error {
	row, err := queryRow(ctx, conn, 2, "SELECT EXISTS (SELECT FROM pg_extension WHERE extname = 'timescaledb'), EXISTS (SELECT FROM pg_available_extensions WHERE name = 'timescaledb')")
	switch {
	case err != nil:
		return err
	case string(row[0]) == "t":
		return nil
	case string(row[1]) != "t":
		return outputs.Permanent(errors.New("this server has no TimescaleDB: install it there (docs.timescale.com), add it to shared_preload_libraries and restart the server, or omit --timescale"))
	}
	if _, err := conn.Exec(ctx, "CREATE EXTENSION IF NOT EXISTS timescaledb").ReadAll(); err != nil {
		return outputs.Permanent(fmt.Errorf("enable TimescaleDB: %w: run as a superuser: CREATE EXTENSION timescaledb", err))
	}
	return nil
}

// hypertable makes an existing table a hypertable.
func hypertable(ctx context.Context, conn *pgconn.PgConn, id pgx.Identifier) error {
	records, _ := createSQL(id, true)
	_, err := conn.Exec(ctx, records[1]).ReadAll()
	var pg *pgconn.PgError
	if errors.As(err, &pg) && strings.Contains(pg.Message, "not empty") {
		return outputs.Permanent(fmt.Errorf("make %s a hypertable: %w: run this statement, which locks the table while it moves the rows: SELECT create_hypertable('%s', 'packettime', migrate_data => true)", unquoted(id), err, unquoted(id)))
	}
	if err != nil {
		return fmt.Errorf("make %s a hypertable: %w", unquoted(id), err)
	}
	return nil
}

// Check writes to w what it finds at each address, what prevents rows from being written,
// and how to repair it. Its error is permanent if something has to be repaired; any other
// error means that some address could not be checked.
func (a *Admin) Check(ctx context.Context, w io.Writer) error {
	id, err := a.o.identifier()
	if err != nil {
		return outputs.Permanent(err)
	}
	d, err := a.o.destination()
	if err != nil {
		return outputs.Permanent(err)
	}
	broken, unreachable := 0, 0
	for i, srv := range d.servers {
		err := a.checkServer(ctx, srv, d.names[i], id, w)
		switch {
		case errors.Is(err, outputs.ErrPermanent):
			broken++
		case err != nil:
			unreachable++
		}
		if err != nil {
			fmt.Fprintf(w, "  no   %s\n", printable.OneLineError(err))
		}
	}
	switch {
	case broken > 0:
		return outputs.Permanent(errors.New("records cannot be written: see the lines marked no"))
	case unreachable > 0:
		return fmt.Errorf("%d of %d addresses could not be checked", unreachable, len(d.servers))
	}
	fmt.Fprintln(w, "OK: records can be written")
	return nil
}

// checkServer checks one address. It prints all problems but the last, which it returns.
func (a *Admin) checkServer(ctx context.Context, srv *server, name string, id pgx.Identifier, w io.Writer) error {
	ctx, cancel := context.WithTimeout(ctx, adminTimeout)
	defer cancel()
	fmt.Fprintf(w, "%s: database %s\n", name, srv.Database)
	conn, err := a.o.dial(ctx, srv, name)
	if err != nil {
		return err
	}
	defer closeQuickly(conn)
	fmt.Fprintf(w, "  yes  PostgreSQL %s accepts rows\n", printable.OneLine(conn.ParameterStatus("server_version")))
	fmt.Fprintf(w, "  %s\n", encryption(srv.Config, conn))
	s, err := takeSurvey(ctx, conn, id)
	if err != nil {
		return a.o.explain(srv.Config, err)
	}
	if s.mayCreate {
		s.dropMissingTables()
	}
	if err := s.report(ctx, conn, w); err != nil {
		return err
	}
	if n := len(s.problems); n > 0 {
		for _, problem := range s.problems[:n-1] {
			fmt.Fprintf(w, "  no   %s\n", printable.OneLine(problem.String()))
		}
		return outputs.Permanent(errors.New(s.problems[n-1].String()))
	}
	return nil
}

// encryption says how the connection is protected.
func encryption(c *pgconn.Config, conn *pgconn.PgConn) string {
	t, ok := conn.Conn().(*tls.Conn)
	if !ok {
		return "note no TLS: records are sent unencrypted; sslmode=verify-full in --psqlendpoint requires TLS"
	}
	state := t.ConnectionState()
	if used := c.TLSConfig; used == nil || used.InsecureSkipVerify && used.VerifyPeerCertificate == nil && used.VerifyConnection == nil {
		return fmt.Sprintf("note %s, but the server's certificate is not checked: sslmode=verify-full checks it", tls.VersionName(state.Version))
	}
	return fmt.Sprintf("yes  %s, the server's certificate is checked", tls.VersionName(state.Version))
}

// dropMissingTables removes the problem of missing tables: the sensor creates them at
// its start.
func (s *survey) dropMissingTables() {
	var rest []problem
	for _, p := range s.problems {
		if !p.missingTable {
			rest = append(rest, p)
		}
	}
	s.problems = rest
}

// report prints what exists.
func (s *survey) report(ctx context.Context, conn *pgconn.PgConn, w io.Writer) error {
	def := s.def
	for _, t := range []struct {
		exists bool
		id     pgx.Identifier
		has    string
	}{
		{s.hasTable, def.id, fmt.Sprintf("%d of %d columns", len(def.columns), len(fields))},
		{s.hasKeyTable, def.keys, "keys of recent blocks"},
	} {
		if !t.exists {
			if s.mayCreate {
				fmt.Fprintf(w, "  note table %s does not exist: the sensor creates it at its start\n", unquoted(t.id))
			}
			continue
		}
		row, err := queryRow(ctx, conn, 1, "SELECT greatest(reltuples, 0)::int8 FROM pg_class WHERE oid = to_regclass($1)", t.id.Sanitize())
		if err != nil {
			return err
		}
		fmt.Fprintf(w, "  yes  table %s: %s, about %s rows\n", unquoted(t.id), t.has, row[0])
	}
	if !s.hasTable {
		return nil
	}
	for _, f := range fields[1:] { // a table without the first is no table of records: a problem
		if slices.Contains(def.missing, f.Name) {
			fmt.Fprintf(w, "  note no column %[1]s, so it is left out: ALTER TABLE %[2]s ADD COLUMN %[1]s %[3]s\n", f.Name, def.name(), f.typeName())
		}
	}
	for i := range def.columns {
		c := &def.columns[i]
		if note := c.lossNote(); note != "" {
			fmt.Fprintf(w, "  note column %s is %s: %s and counted as clamped: %s\n", c.name, c.typeText, note, c.widenSQL(def))
		}
	}
	return nil
}
