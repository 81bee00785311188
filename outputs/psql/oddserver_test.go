//go:build linux

package psql

import (
	"context"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"dnsmonster-sensor/test/lab"
	"dnsmonster-sensor/test/outputtest"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"
)

// oddServer answers unlike any PostgreSQL.
type oddServer struct {
	version string                  // in its greeting; "": left out
	rows    [][]byte                // the answer to every query that has one; nil: no row
	fails   *pgproto3.ErrorResponse // or this
	greets  []byte                  // bytes to send instead of a greeting
}

// start serves until the test ends and returns the endpoint.
func (s *oddServer) start(t *testing.T) string {
	t.Helper()
	return "postgres://sensor:secret@" + lab.Serve(t, s.serve) + "/dns?sslmode=disable"
}

func (s *oddServer) serve(conn net.Conn) {
	b := pgproto3.NewBackend(conn, conn)
	if _, err := b.ReceiveStartupMessage(); err != nil {
		return
	}
	if s.greets != nil {
		conn.Write(s.greets)
		io.Copy(io.Discard, conn) // until the client closes
		return
	}
	b.Send(&pgproto3.AuthenticationOk{})
	if s.version != "" {
		b.Send(&pgproto3.ParameterStatus{Name: "server_version", Value: s.version})
	}
	b.Send(&pgproto3.ReadyForQuery{TxStatus: 'I'})
	for b.Flush() == nil {
		m, err := b.Receive()
		if err != nil {
			return
		}
		switch m.(type) {
		case *pgproto3.Query:
			s.answer(b)
			b.Send(&pgproto3.ReadyForQuery{TxStatus: 'I'})
		case *pgproto3.Execute:
			s.answer(b)
		case *pgproto3.Sync:
			b.Send(&pgproto3.ReadyForQuery{TxStatus: 'I'})
		}
	}
}

func (s *oddServer) answer(b *pgproto3.Backend) {
	switch {
	case s.fails != nil:
		b.Send(s.fails)
		return
	case s.rows != nil:
		b.Send(&pgproto3.DataRow{Values: s.rows})
	}
	b.Send(&pgproto3.CommandComplete{CommandTag: []byte("SELECT 1")})
}

// rowOf is a row of n fields.
func rowOf(n int, field string) [][]byte {
	row := make([][]byte, n)
	for i := range row {
		row[i] = []byte(field)
	}
	return row
}

// TestOddServers: whatever answers at the endpoint, the sensor survives and says what
// is wrong.
func TestOddServers(t *testing.T) {
	f := func(what string, s oddServer, want string) {
		t.Helper()
		o := parsed(t, "--psqloutputtype", "1", "--psqlbatchtimeout", "1s", "--psqlendpoint", s.start(t))
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := o.Check(ctx); err == nil || strings.Contains(err.Error(), "secret") || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: Check says %v, want %s", what, err, want)
		}
		var text strings.Builder
		if err := o.Admin().Check(ctx, &text); err == nil {
			t.Errorf("%s: the command finds nothing wrong:\n%s", what, text.String())
		}
	}
	const odd = "the server does not answer as PostgreSQL does"
	f("no version", oddServer{}, odd)
	f("a version without a number", oddServer{version: " . "}, odd)
	f("no rows", oddServer{version: "15.1"}, odd)
	for n := range 9 {
		f("rows of one shape", oddServer{version: "15.1", rows: rowOf(n, "t")}, "")
		f("rows of one shape", oddServer{version: "15.1", rows: rowOf(n, "r")}, odd)
		f("rows of nulls", oddServer{version: "15.1", rows: make([][]byte, n)}, odd)
	}
	f("an error without a code", oddServer{version: "15.1", fails: &pgproto3.ErrorResponse{Message: "no"}}, "no")
	f("an error with a short code", oddServer{version: "15.1", fails: &pgproto3.ErrorResponse{Code: "2", Message: "no"}}, "no")
	f("a web server", oddServer{greets: []byte("HTTP/1.1 400 Bad Request\r\n\r\n")}, "1048576") // its first bytes would be a message of a gigabyte
}

// TestOddErrors: the error of a server may lack its code.
func TestOddErrors(t *testing.T) {
	for _, code := range []string{"", "2", "22", "23505", "53"} {
		s := oddServer{fails: &pgproto3.ErrorResponse{Code: code, Message: "no"}}
		o := parsed(t, "--psqloutputtype", "1", "--psqlendpoint", s.start(t))
		d, err := o.destination()
		if err != nil {
			t.Fatal(err)
		}
		at := d.addresses.Next()
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		conn, err := pgconn.ConnectConfig(ctx, d.servers[at.Index].Config)
		if err != nil {
			t.Fatal(err)
		}
		id, _ := o.identifier()
		w := &writer{o: o, enc: newRowEncoder(o), session: &session{conn: conn, at: at, def: &tableDef{id: id, keys: keysTable(id)}}}
		if refused, err := w.Write(ctx, outputtest.Queries(0, 2)); err == nil || refused != 0 {
			t.Errorf("code %q: %d refused, error %v", code, refused, err)
		}
		w.Close()
	}
}
