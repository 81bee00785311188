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

// Admin does by hand what the output needs of its database.
type Admin struct {
	o         *Output
	Timescale bool   // the table of the rows becomes a hypertable
	User      string // that gets the rights of a sensor; "": nobody
}

// Admin is for the commands. The output's options say where the table is.
func (o *Output) Admin() *Admin { return &Admin{o: o} }

// adminTimeout is for connecting to one address, and for all that is done there.
const adminTimeout = 10 * time.Second

// Script writes the statements that make what a sensor needs. It connects to
// nothing.
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
	rows, keys := createSQL(id, a.Timescale)
	list := append(rows, keys...)
	if a.User != "" {
		list = append(list, grantSQL(id, a.User)...)
	}
	for _, s := range list {
		fmt.Fprintf(&text, "%s;\n", s)
	}
	_, err = w.Write(text.Bytes())
	return err
}

// Init makes what is missing, at the first address that takes rows, and says on
// w what it has done.
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
	for i, p := range d.servers {
		ctx, cancel := context.WithTimeout(ctx, adminTimeout)
		defer cancel()
		conn, err := a.o.dial(ctx, p, d.names[i])
		if err != nil {
			errs = append(errs, err)
			continue
		}
		defer closeQuickly(conn)
		return a.o.explain(p.Config, a.createAll(ctx, conn, id, w))
	}
	return errors.Join(errs...)
}

func (a *Admin) createAll(ctx context.Context, conn *pgconn.PgConn, id pgx.Identifier, w io.Writer) error {
	if a.Timescale {
		if err := needTimescale(ctx, conn); err != nil {
			return err
		}
	}
	s, err := inspect(ctx, conn, id)
	if err != nil {
		return err
	}
	if s.schemaMissing && len(id) > 1 {
		if _, err := conn.Exec(ctx, "CREATE SCHEMA "+id[0]).ReadAll(); err != nil {
			return fmt.Errorf("create schema %s: %w", id[0], err)
		}
		fmt.Fprintf(w, "made the schema %s\n", id[0])
	}
	if s.hasRows {
		fmt.Fprintf(w, "the table %s is there\n", unquoted(id))
	}
	if s.hasKeys {
		fmt.Fprintf(w, "the table %s is there\n", unquoted(keysTable(id)))
	}
	if err := createTables(ctx, conn, id, a.Timescale, func(table string) { fmt.Fprintf(w, "made the table %s\n", table) }); err != nil {
		return err
	}
	if a.Timescale && s.hasRows {
		if err := hypertable(ctx, conn, id); err != nil {
			return err
		}
		fmt.Fprintf(w, "the table %s is a hypertable\n", unquoted(id))
	}
	if a.User != "" {
		if _, err := conn.Exec(ctx, strings.Join(grantSQL(id, a.User), "; ")).ReadAll(); err != nil {
			return fmt.Errorf("grant rights: %w", err)
		}
		fmt.Fprintf(w, "gave %s the rights of a sensor\n", a.User)
	}
	if s, err = inspect(ctx, conn, id); err != nil || len(s.problems) == 0 {
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
		return outputs.Permanent(errors.New("this server has no TimescaleDB: install it there (docs.timescale.com), put it into shared_preload_libraries and restart the server, or leave --timescale out"))
	}
	if _, err := conn.Exec(ctx, "CREATE EXTENSION IF NOT EXISTS timescaledb").ReadAll(); err != nil {
		return outputs.Permanent(fmt.Errorf("switch TimescaleDB on: %w: as a superuser: CREATE EXTENSION timescaledb", err))
	}
	return nil
}

// hypertable turns a table into one that was there before.
func hypertable(ctx context.Context, conn *pgconn.PgConn, id pgx.Identifier) error {
	rows, _ := createSQL(id, true)
	_, err := conn.Exec(ctx, rows[1]).ReadAll()
	var pg *pgconn.PgError
	if errors.As(err, &pg) && strings.Contains(pg.Message, "not empty") {
		return outputs.Permanent(fmt.Errorf("make %s a hypertable: %w: it is locked while its rows are moved: SELECT create_hypertable('%s', 'packettime', migrate_data => true)", unquoted(id), err, unquoted(id)))
	}
	if err != nil {
		return fmt.Errorf("make %s a hypertable: %w", unquoted(id), err)
	}
	return nil
}

// Check says on w what there is at each address, what keeps rows from being
// written, and what mends that. The error is permanent where something has to be
// mended; another one means that some address could not be asked.
func (a *Admin) Check(ctx context.Context, w io.Writer) error {
	id, err := a.o.identifier()
	if err != nil {
		return outputs.Permanent(err)
	}
	d, err := a.o.destination()
	if err != nil {
		return outputs.Permanent(err)
	}
	wrong, silent := 0, 0
	for i, p := range d.servers {
		err := a.checkServer(ctx, p, d.names[i], id, w)
		switch {
		case errors.Is(err, outputs.ErrPermanent):
			wrong++
		case err != nil:
			silent++
		}
		if err != nil {
			fmt.Fprintf(w, "  no   %s\n", printable.OneLineError(err))
		}
	}
	switch {
	case wrong > 0:
		return outputs.Permanent(errors.New("records cannot be written as it is: see what is marked no"))
	case silent > 0:
		return fmt.Errorf("%d of %d addresses could not be asked", silent, len(d.servers))
	}
	fmt.Fprintln(w, "OK: records can be written")
	return nil
}

// checkServer prints all but the last problem, which is its error.
func (a *Admin) checkServer(ctx context.Context, srv *server, name string, id pgx.Identifier, w io.Writer) error {
	ctx, cancel := context.WithTimeout(ctx, adminTimeout)
	defer cancel()
	fmt.Fprintf(w, "%s: database %s\n", name, srv.Database)
	conn, err := a.o.dial(ctx, srv, name)
	if err != nil {
		return err
	}
	defer closeQuickly(conn)
	fmt.Fprintf(w, "  yes  PostgreSQL %s takes rows\n", printable.OneLine(conn.ParameterStatus("server_version")))
	fmt.Fprintf(w, "  %s\n", encryption(srv.Config, conn))
	s, err := inspect(ctx, conn, id)
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

// encryption says what protects the connection.
func encryption(c *pgconn.Config, conn *pgconn.PgConn) string {
	t, ok := conn.Conn().(*tls.Conn)
	if !ok {
		return "note no TLS: records go over the network in the clear; sslmode=verify-full in --psqlendpoint asks for it"
	}
	state := t.ConnectionState()
	if used := c.TLSConfig; used == nil || used.InsecureSkipVerify && used.VerifyPeerCertificate == nil && used.VerifyConnection == nil {
		return fmt.Sprintf("note %s, but the server's certificate is not checked: sslmode=verify-full does", tls.VersionName(state.Version))
	}
	return fmt.Sprintf("yes  %s, the server's certificate is checked", tls.VersionName(state.Version))
}

// dropMissingTables takes tables that are not there off the problems: the sensor makes them
// when it starts.
func (s *survey) dropMissingTables() {
	var rest []problem
	for _, p := range s.problems {
		if !strings.HasSuffix(p.what, " is not there") {
			rest = append(rest, p)
		}
	}
	s.problems = rest
}

// report says what is there.
func (s *survey) report(ctx context.Context, conn *pgconn.PgConn, w io.Writer) error {
	l := s.def
	for _, t := range []struct {
		there bool
		id    pgx.Identifier
		has   string
	}{
		{s.hasRows, l.id, fmt.Sprintf("%d of %d columns", len(l.columns), len(fields))},
		{s.hasKeys, l.keys, "keys of the blocks that came last"},
	} {
		if !t.there {
			if s.mayCreate {
				fmt.Fprintf(w, "  note table %s is not there: the sensor makes it when it starts\n", unquoted(t.id))
			}
			continue
		}
		row, err := queryRow(ctx, conn, 1, "SELECT greatest(reltuples, 0)::int8 FROM pg_class WHERE oid = to_regclass($1)", t.id.Sanitize())
		if err != nil {
			return err
		}
		fmt.Fprintf(w, "  yes  table %s: %s, about %s rows\n", unquoted(t.id), t.has, row[0])
	}
	if !s.hasRows {
		return nil
	}
	for _, f := range fields[1:] { // the first one is a problem
		if slices.Contains(l.missing, f.Name) {
			fmt.Fprintf(w, "  note no column %[1]s, so it is left out: ALTER TABLE %[2]s ADD COLUMN %[1]s %[3]s\n", f.Name, l.name(), f.typeName())
		}
	}
	for i := range l.columns {
		c := &l.columns[i]
		if what := c.lossNote(); what != "" {
			fmt.Fprintf(w, "  note column %s is %s: %s and counted as clamped: %s\n", c.name, c.typeText, what, c.widenSQL(l))
		}
	}
	return nil
}
