//go:build linux

package psql

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"

	"dnsmonster-sensor/outputs"
	"dnsmonster-sensor/test/lab"
	"dnsmonster-sensor/test/outputtest"
)

// newRole creates a user without rights and returns an endpoint for it.
func newRole(t *testing.T, p *lab.Postgres, name string) (endpoint string) {
	t.Helper()
	p.Exec(t, fmt.Sprintf("DROP ROLE IF EXISTS %[1]s; CREATE ROLE %[1]s LOGIN PASSWORD 'Hush-Hush'", name))
	t.Cleanup(func() { p.Exec(t, "DROP OWNED BY "+name+"; DROP ROLE "+name) })
	return strings.Replace(p.URL(p.Addr, name), "@", ":Hush-Hush@", 1)
}

// wantAnswer runs a command and checks that its output, with its error, contains some
// texts and, with a leading !, does not contain others.
func wantAnswer(t *testing.T, run func(context.Context, *bytes.Buffer) error, fails bool, want ...string) string {
	t.Helper()
	var out bytes.Buffer
	err := run(context.Background(), &out)
	if err != nil {
		fmt.Fprintf(&out, "error: %v\n", err)
	}
	if (err != nil) != fails || err != nil && !errors.Is(err, outputs.ErrPermanent) {
		t.Errorf("error %v, want a permanent one: %t", err, fails)
	}
	for _, w := range want {
		if not, ok := strings.CutPrefix(w, "!"); ok && strings.Contains(out.String(), not) {
			t.Errorf("says %q:\n%s", not, out.String())
		} else if !ok && !strings.Contains(out.String(), w) {
			t.Errorf("lacks %q:\n%s", w, out.String())
		}
	}
	if strings.Contains(out.String(), "Hush") {
		t.Errorf("shows a password:\n%s", out.String())
	}
	return out.String()
}

// admin returns the commands for an endpoint and a table; user gets the rights of a
// sensor.
func admin(t *testing.T, endpoint, table, user string) *Admin {
	a := parsed(t, "--psqloutputtype", "1", "--psqlendpoint", endpoint, "--psqltable", table).Admin()
	a.User = user
	return a
}

func (a *Admin) runInit(ctx context.Context, w *bytes.Buffer) error  { return a.Init(ctx, w) }
func (a *Admin) runCheck(ctx context.Context, w *bytes.Buffer) error { return a.Check(ctx, w) }

// An administrator creates the tables, twice, and a user with no other rights fills
// them.
func TestInitForAnotherUser(t *testing.T) {
	p := postgres(t)
	sensor := newRole(t, p, "sensor_1")
	table := newTable()
	own := admin(t, sensor, table, "")
	wantAnswer(t, own.runCheck, true, "yes  PostgreSQL 15", "note no TLS", "no   table "+table+" does not exist", "postgres sql --psqluser=sensor_1")
	wantAnswer(t, own.runInit, true, "permission denied for schema public", "`dnsmonster-sensor postgres sql --psqluser=sensor_1` prints", "!GRANT")

	boss := admin(t, p.URL(p.Addr, "postgres"), table, "sensor_1")
	wantAnswer(t, boss.runCheck, false, "note table "+table+" does not exist: the sensor creates it", "note table "+table+"_blocks does not exist", "OK: records can be written")
	wantAnswer(t, boss.runInit, false, "created table "+table+"\n", "created table "+table+"_blocks\n", "granted sensor_1 the rights of a sensor")
	wantAnswer(t, boss.runInit, false, "table "+table+" exists", "!created")
	wantAnswer(t, own.runCheck, false, "yes  table "+table+": 17 of 17 columns", "yes  table "+table+"_blocks", "!note table", "OK")

	deliver(t, own.o, openWriter(t, own.o), outputtest.Queries(0, 10))
	wantNames(t, p, table, 0, 10)
	if got := p.Strings(t, "SELECT string_agg(indexdef, ' ') FROM pg_indexes WHERE tablename = '"+table+"'"); !strings.Contains(got[0], "USING brin (packettime)") {
		t.Errorf("indexes %q", got)
	}
}

// TestScriptWriteError: a script that cannot be written is an error: half of it would
// look complete.
func TestScriptWriteError(t *testing.T) {
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer full.Close()
	if err := admin(t, "", "log", "").Script(full); !errors.Is(err, syscall.ENOSPC) || errors.Is(err, outputs.ErrPermanent) {
		t.Errorf("error %v, want that of the full disk", err)
	}
}

// The statements of Script do the same as Init, in a schema too.
func TestScript(t *testing.T) {
	p := postgres(t)
	newRole(t, p, "scribe")
	p.Exec(t, "CREATE SCHEMA byhand; CREATE SCHEMA byinit")
	t.Cleanup(func() { p.Exec(t, "DROP SCHEMA byhand, byinit CASCADE") })
	var script bytes.Buffer
	if err := admin(t, "", "byhand.log", "scribe").Script(&script); err != nil {
		t.Fatal(err)
	}
	p.Exec(t, script.String())
	p.Exec(t, script.String()) // again
	p.Exec(t, "DROP SCHEMA byinit")
	wantAnswer(t, admin(t, p.URL(p.Addr, "postgres"), "ByInit.Log", "scribe").runInit, false, "created schema byinit", "created table byinit.log")
	describe := func(schema string) string {
		return strings.Join(p.Strings(t, strings.ReplaceAll(`
			SELECT table_name || column_name || data_type || is_nullable || COALESCE(column_default, '') FROM information_schema.columns WHERE table_schema = '$S'
			UNION SELECT replace(indexdef, '$S', '') FROM pg_indexes WHERE schemaname = '$S'
			UNION SELECT grantee || table_name || privilege_type FROM information_schema.table_privileges WHERE table_schema = '$S'
			UNION SELECT has_schema_privilege('scribe', '$S', 'USAGE')::text ORDER BY 1`, "$S", schema)), "\n")
	}
	if hand, init := describe("byhand"), describe("byinit"); hand != init || !strings.Contains(hand, "scribelogINSERT") {
		t.Errorf("by hand:\n%s\nby init:\n%s", hand, init)
	}
}

// Every problem comes with its repair; afterwards none is left.
func TestCheckNamesEveryProblem(t *testing.T) {
	p := postgres(t)
	endpoint := newRole(t, p, "clerk")
	table := newTable()
	p.Exec(t, strings.ReplaceAll(`CREATE TABLE $T (packettime timestamp, indextime date, server text, srcip bytea, type smallint, class boolean,
		question varchar(100), mandatory integer NOT NULL); CREATE TABLE $T_blocks (id uuid, at timestamptz DEFAULT now(), refused integer);
		REVOKE CREATE ON SCHEMA public FROM PUBLIC`, "$T", table))
	a := admin(t, endpoint, table, "")
	out := wantAnswer(t, a.runCheck, true,
		"column indextime of table "+table+" has the type date",
		"column srcip of table "+table+" has the type bytea",
		"column mandatory of table "+table+" is NOT NULL and has no default",
		"allows duplicate keys", "no right to INSERT on table "+table+":", "no right to SELECT, INSERT, DELETE on table "+table+"_blocks",
		"note no column dstip, so it is left out: ALTER TABLE "+table+" ADD COLUMN dstip inet",
		"note column type is smallint: values above 32767 are written as 32767", "note column class is boolean",
		"note column question is character varying(100): longer texts are truncated to 100 characters",
		"error: records cannot be written")
	if err := a.o.Check(context.Background()); !errors.Is(err, outputs.ErrPermanent) || !strings.Contains(err.Error(), "(and 5 more: `dnsmonster-sensor postgres check` shows all)") {
		t.Errorf("at the start: %v", err)
	}
	for line := range strings.Lines(out) {
		_, statement, _ := strings.Cut(line, ": ")
		for _, verb := range []string{"ALTER", "GRANT"} {
			if i := strings.Index(statement, verb); i >= 0 {
				p.Exec(t, statement[i:])
			}
		}
	}
	wantAnswer(t, a.runCheck, false, "17 of 17 columns", "!no  ", "!note c", "!note no column", "OK")
	deliver(t, a.o, openWriter(t, a.o), outputtest.Queries(0, 10))
	wantNames(t, p, table, 0, 10)
}

func TestCheckOtherProblems(t *testing.T) {
	p := postgres(t)
	f := func(sql, table string, want ...string) {
		t.Helper()
		p.Exec(t, sql)
		wantAnswer(t, admin(t, p.URL(p.Addr, "postgres"), table, "").runCheck, true, want...)
	}
	f("CREATE VIEW seen AS SELECT now() AS packettime", "seen", "seen is not a table: set another one with --psqltable")
	f("CREATE TABLE shop (id integer)", "shop", "has no column packettime, so it is not a table of records")
	f("CREATE TABLE mine (packettime timestamptz); CREATE TABLE mine_blocks (x integer)", "mine", "mine_blocks does not have the columns of a table of keys")
	f("SELECT 1", "nowhere.log", "schema nowhere does not exist: CREATE SCHEMA nowhere")
	f("CREATE TABLE counted (packettime timestamptz, size integer GENERATED ALWAYS AS (1) STORED)", "counted", "column size of table counted is generated", "DROP EXPRESSION")
}

// An unreachable server is not a permanent error.
func TestCheckUnreachableServer(t *testing.T) {
	proxy := lab.StartProxy(t, "127.0.0.1:1")
	proxy.Down()
	var out bytes.Buffer
	err := admin(t, postgres(t).URL(proxy.Addr, "postgres"), "x", "").Check(context.Background(), &out)
	if err == nil || errors.Is(err, outputs.ErrPermanent) || !strings.Contains(out.String(), "connection refused") {
		t.Errorf("%v\n%s", err, out.String())
	}
}

// TestTimescale replaces the extension by a function: it shows what is asked of the
// extension, and what is said without it.
func TestTimescale(t *testing.T) {
	p := postgres(t)
	table := newTable()
	a := admin(t, p.URL(p.Addr, "postgres"), table, "")
	a.Timescale = true
	wantAnswer(t, a.runInit, true, "this server has no TimescaleDB", "omit --timescale")
	p.Exec(t, `SET allow_system_table_mods = on; INSERT INTO pg_extension (oid, extname, extowner, extnamespace, extrelocatable, extversion) VALUES (99999, 'timescaledb', 10, 2200, false, '2.17');
		CREATE TABLE asked (args text);
		CREATE FUNCTION create_hypertable(regclass, name, if_not_exists boolean) RETURNS void LANGUAGE plpgsql AS $$ BEGIN
			IF EXISTS (SELECT FROM asked WHERE args = 'rows') THEN RAISE EXCEPTION 'table "%" is not empty', $1; END IF;
			INSERT INTO asked VALUES ($1 || ',' || $2 || ',' || $3); END $$`)
	t.Cleanup(func() {
		p.Exec(t, "SET allow_system_table_mods = on; DELETE FROM pg_extension WHERE extname = 'timescaledb'; DROP TABLE asked; DROP FUNCTION create_hypertable")
	})
	wantAnswer(t, a.runInit, false, "created table "+table)
	wantAnswer(t, a.runInit, false, "table "+table+" is a hypertable")
	if got := strings.Join(p.Strings(t, "SELECT args FROM asked"), " "); got != table+",packettime,true "+table+",packettime,true" {
		t.Errorf("asked for %q", got)
	}
	if got := p.Int(t, "SELECT count(*) FROM pg_indexes WHERE tablename = '"+table+"'"); got != 0 {
		t.Errorf("%d indexes: the extension makes its own", got)
	}
	p.Exec(t, "INSERT INTO asked VALUES ('rows')")
	wantAnswer(t, a.runInit, true, "is not empty", "migrate_data => true")
}
