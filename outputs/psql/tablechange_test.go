//go:build linux

package psql

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"dnsmonster-sensor/outputs"
	"dnsmonster-sensor/test/outputtest"
	"dnsmonster-sensor/userspace/event"
)

// deliverSoon tries a block up to three times, as the runner does.
func deliverSoon(t *testing.T, o *Output, w outputs.Writer, b *event.Block) {
	t.Helper()
	var err error
	for range 3 {
		var refused int
		if refused, err = w.Write(attempt(o), b); err == nil {
			if refused != 0 {
				t.Errorf("%d refused", refused)
			}
			return
		}
	}
	t.Errorf("not accepted: %v", err)
}

// The table is changed while the sensor runs: the next record, alone in its
// transaction, is written to the table as it is then.
func TestTableChangesWhileRunning(t *testing.T) {
	p := postgres(t)
	f := func(change, show, want string, clamped uint64) {
		t.Helper()
		o, table := freshTable(t, p, p.Addr)
		w := openWriter(t, o)
		deliverSoon(t, o, w, outputtest.Block(outputtest.Query(1)))
		p.Exec(t, strings.ReplaceAll(change, "$T", table))
		deliverSoon(t, o, w, outputtest.Block(outputtest.Query(2)))
		deliverSoon(t, o, w, outputtest.Block(large(t, 60000)))
		got := strings.Join(p.Strings(t, "SELECT concat_ws(' ', "+show+") FROM "+table+" ORDER BY packettime, class"), ",")
		if got != want || meter(o, "clamped") != clamped {
			t.Errorf("%s: rows %q, want %q; clamped %d, want %d", change, got, want, meter(o, "clamped"), clamped)
		}
	}
	f("ALTER TABLE $T ALTER COLUMN srcip TYPE text USING host(srcip)", "srcip", "192.0.2.1,192.0.2.1,192.0.2.1", 0)
	f("ALTER TABLE $T ALTER COLUMN dstip TYPE varchar(5) USING left(host(dstip), 5)", "dstip", "192.0,192.0,192.0", 2)
	f("ALTER TABLE $T ALTER COLUMN size TYPE smallint", "size", "37,37,32767", 1)
	f("ALTER TABLE $T ALTER COLUMN size TYPE bigint", "size", "37,37,60000", 0)
	f("ALTER TABLE $T ALTER COLUMN qr TYPE boolean USING qr::boolean", "qr", "f,f,t", 0)
	f("ALTER TABLE $T ALTER COLUMN packettime TYPE timestamp USING packettime AT TIME ZONE 'UTC'", "date_trunc('second', packettime)",
		"2026-01-02 03:04:05,2026-01-02 03:04:05,2026-01-02 03:04:05", 0)
	f("ALTER TABLE $T ALTER COLUMN question TYPE varchar(5) USING left(question, 5)", "question", "n0000,n0000,large", 2)
	f("ALTER TABLE $T ALTER COLUMN fullquery TYPE jsonb USING NULL", "fullquery IS NULL", "t,t,t", 0)
	f("ALTER TABLE $T DROP COLUMN size", "opcode", "0,0,15", 0)
	f("ALTER TABLE $T RENAME COLUMN size TO bytes", "coalesce(bytes, 0)", "37,0,0", 0)
	f("ALTER TABLE $T DROP COLUMN size; ALTER TABLE $T ADD COLUMN size integer", "coalesce(size, 0)", "0,37,60000", 0)
	f("ALTER TABLE $T RENAME TO $T_old; CREATE TABLE $T (class bigint, packettime timestamptz, size bigint)", "class, size", "1 37,65282 60000", 0)
	f("CREATE DOMAIN $T_size AS bigint CHECK (VALUE < 70000); ALTER TABLE $T ALTER COLUMN size TYPE $T_size", "size", "37,37,60000", 0)
}

// A column whose type cannot hold the values is not written to, even if the server
// would accept the bytes as something else. Records wait until the type is corrected.
func TestWrongTypeWhileRunning(t *testing.T) {
	p := postgres(t)
	f := func(column, kind, using, back string) {
		t.Helper()
		o, table := freshTable(t, p, p.Addr)
		w := openWriter(t, o)
		deliverSoon(t, o, w, outputtest.Block(outputtest.Query(1)))
		alter := "ALTER TABLE " + table + " ALTER COLUMN " + column + " TYPE "
		p.Exec(t, strings.ReplaceAll(alter+kind+using, "$T", table))
		b := outputtest.Block(outputtest.Query(2))
		for range 2 { // on the current session and on a new one
			n, err := w.Write(attempt(o), b)
			if n != 0 || err == nil || errors.Is(err, outputs.ErrPermanent) || !strings.Contains(err.Error(), "column "+column+" of table "+table+" has the type ") ||
				!strings.Contains(err.Error(), "ALTER TABLE "+table+" ALTER COLUMN "+column+" TYPE ") {
				t.Errorf("%s %s: %d refused, error %v", column, kind, n, err)
			}
		}
		if n := p.Int(t, "SELECT count(*) FROM "+table); n != 1 {
			t.Errorf("%s %s: %d rows, want only the first one", column, kind, n)
		}
		if err := o.Check(context.Background()); !errors.Is(err, outputs.ErrPermanent) { // and at a start
			t.Errorf("%s %s: Check: %v", column, kind, err)
		}
		p.Exec(t, alter+back)
		deliverSoon(t, o, w, b)
		wantNames(t, p, table, 1, 2)
		if got := p.Strings(t, "SELECT DISTINCT concat_ws(' ', protocol, size, host(srcip), server) FROM "+table); len(got) != 1 || got[0] != "udp 37 192.0.2.1 sensor1" {
			t.Errorf("%s %s: rows %q", column, kind, got)
		}
	}
	p.Exec(t, "CREATE TYPE transport AS ENUM ('udp', 'tcp')")
	t.Cleanup(func() { p.Exec(t, "DROP TYPE transport") })
	f("size", "real", "", "integer")
	f("size", "numeric", "", "integer")
	f("size", "text", "", "integer USING size::integer")
	f("size", "date", " USING '2000-01-01'::date + size", "integer USING size - '2000-01-01'::date")
	f("protocol", "transport", " USING protocol::transport", "text")
	f("srcip", "cidr", " USING srcip::cidr", "inet")
}

// A constraint that is added and removed again costs no record.
func TestConstraintRemovedAgain(t *testing.T) {
	p := postgres(t)
	f := func(add, remove string) {
		t.Helper()
		o, table := freshTable(t, p, p.Addr)
		o.doubtPeriod = time.Hour
		w := openWriter(t, o)
		deliverSoon(t, o, w, outputtest.Block(outputtest.Query(0)))
		p.Exec(t, strings.ReplaceAll(add, "$T", table))
		b := outputtest.Block(outputtest.Query(1))
		for range 3 {
			if n, err := w.Write(attempt(o), b); n != 0 || err == nil {
				t.Errorf("%s: %d refused, error %v", add, n, err)
			}
		}
		p.Exec(t, strings.ReplaceAll(remove, "$T", table))
		deliverSoon(t, o, w, b)
		wantNames(t, p, table, 0, 2)
	}
	f("ALTER TABLE $T ADD CONSTRAINT never CHECK (size > 1000) NOT VALID", "ALTER TABLE $T DROP CONSTRAINT never")
	f("ALTER TABLE $T ADD COLUMN site text; UPDATE $T SET site = ''; ALTER TABLE $T ALTER COLUMN site SET NOT NULL", "ALTER TABLE $T ALTER COLUMN site DROP NOT NULL")
	f("CREATE UNIQUE INDEX $T_one ON $T (size)", "DROP INDEX $T_one")
	f("ALTER TABLE $T RENAME TO $T_new; CREATE VIEW $T AS SELECT * FROM $T_new WHERE false", "DROP VIEW $T; ALTER TABLE $T_new RENAME TO $T")
	f("DROP TABLE $T_blocks", "CREATE TABLE $T_blocks (id uuid PRIMARY KEY, at timestamptz NOT NULL DEFAULT now(), refused integer NOT NULL DEFAULT 0)")
}

// A constraint that stays costs the rows that it forbids, and only the first of them
// waits.
func TestConstraintStays(t *testing.T) {
	p := postgres(t)
	o, table := freshTable(t, p, p.Addr)
	o.doubtPeriod = 300 * time.Millisecond
	w := openWriter(t, o)
	deliverSoon(t, o, w, outputtest.Block(outputtest.Query(0)))
	p.Exec(t, "ALTER TABLE "+table+" ADD CONSTRAINT never CHECK (question NOT LIKE '%1.example.org.')")
	bad := outputtest.Block(outputtest.Query(1))
	began := time.Now()
	for n, err := w.Write(attempt(o), bad); ; n, err = w.Write(attempt(o), bad) {
		if err == nil && (n != 1 || time.Since(began) < o.doubtPeriod) {
			t.Errorf("%d refused after %s", n, time.Since(began))
		}
		if err == nil {
			break
		}
		if n != 0 || !strings.Contains(err.Error(), "never") {
			t.Fatalf("%d refused, error %v", n, err)
		}
	}
	for _, b := range []*event.Block{outputtest.Block(outputtest.Query(2)), outputtest.Block(outputtest.Query(11))} { // the next one does not wait
		if n, err := w.Write(attempt(o), b); err != nil || n > 1 {
			t.Errorf("%d refused, %v", n, err)
		}
	}
	if got := p.Strings(t, "SELECT question FROM "+table+" ORDER BY 1"); strings.Join(got, " ") != outputtest.QueryName(0)+" "+outputtest.QueryName(2) {
		t.Errorf("rows %v", got)
	}
}

func TestDoubt(t *testing.T) {
	at := time.Unix(0, 0)
	check := func(name string) error { return &pgconn.PgError{Code: "23514", ConstraintName: name} }
	var d doubt
	f := func(seconds int, name string, all, want bool) {
		t.Helper()
		if got := d.blamesTable(check(name), all, 30*time.Second, at.Add(time.Duration(seconds)*time.Second)); got != want {
			t.Errorf("%s at %d s: %v, want %v", name, seconds, got, want)
		}
	}
	f(0, "a", true, true)
	f(29, "a", true, true)
	f(30, "a", true, false)
	f(100, "a", true, false)
	f(110, "b", true, true) // another reason
	f(111, "b", false, false)
	f(112, "b", true, false) // others were accepted beside it
	f(300, "b", true, true)  // long ago
}

// The table is changed again and again while several writers fill it: each row exists
// once, with its values.
func TestTableChangesUnderLoad(t *testing.T) {
	p := postgres(t)
	o, table := freshTable(t, p, p.Addr)
	o.doubtPeriod = time.Minute
	if err := o.Check(context.Background()); err != nil {
		t.Fatal(err)
	}
	s := newScene(t, o, 2, 3)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for range 6 {
			for _, change := range []string{"size TYPE real", "size TYPE smallint", "srcip TYPE text USING host(srcip)", "size TYPE bigint", "srcip TYPE inet USING srcip::inet", "size TYPE integer"} {
				p.Exec(t, "ALTER TABLE "+table+" ALTER COLUMN "+change)
			}
		}
	}()
	for range 60 {
		s.offer(10)
		time.Sleep(2 * time.Millisecond) // the changes come in between
	}
	<-done
	s.end(0)
	wantNames(t, p, table, 0, s.n)
	if got := p.Strings(t, "SELECT DISTINCT concat_ws(' ', size, host(srcip), protocol) FROM "+table); len(got) != 1 || got[0] != "37 192.0.2.1 udp" {
		t.Errorf("rows %q", got)
	}
}
