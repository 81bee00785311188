//go:build linux

package clickhouse

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/urfave/cli/v2"

	"dnsmonster-sensor/outputs"
	"dnsmonster-sensor/outputs/clickhouse/schema"
	"dnsmonster-sensor/outputs/clickhouse/server"
	"dnsmonster-sensor/test/lab"
)

// oneCommand: the library's help option is one variable for all programs.
var oneCommand sync.Mutex

// command runs a command of the output, and returns what it prints.
func command(t *testing.T, args ...string) (string, error) {
	t.Helper()
	oneCommand.Lock()
	defer oneCommand.Unlock()
	var out bytes.Buffer
	app := &cli.App{Commands: New().Commands(), Writer: &out, ErrWriter: &out, ExitErrHandler: func(*cli.Context, error) {}}
	err := app.Run(append([]string{"sensor", "clickhouse"}, args...))
	return out.String(), err
}

// TestPackagedTables: the package ships what `clickhouse sql` prints.
func TestPackagedTables(t *testing.T) {
	want, err := os.ReadFile("../../packaging/clickhouse/tables.sql")
	if err != nil {
		t.Fatal(err)
	}
	if got, err := command(t, "sql"); err != nil || got != string(want) {
		t.Errorf("clickhouse sql prints something else than packaging/clickhouse/tables.sql (%v): go test ./outputs/clickhouse/schema -update", err)
	}
}

// TestDictionaryUser: init says so if the server refuses the user that loads the
// dictionaries.
func TestDictionaryUser(t *testing.T) {
	c := lab.SharedChDB(t)
	create := func(args ...string) string {
		out, err := command(t, append([]string{"init", "--clickhouseaddress=" + c.Addr, "--clickhousedatabase=" + c.Database}, args...)...)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	if out := create("--dictionaryuser=nobody"); !strings.Contains(out, "note: the server cannot load the dictionaries, which dashboards need: nobody: ") || !strings.Contains(out, "run init with --dictionaryuser") {
		t.Error(out)
	}
	if out := create("--ttl=5d"); !strings.Contains(out, "keeps its retention") || !strings.Contains(out, "such name: drop them") {
		t.Error(out)
	}
	for _, name := range []string{"dns_class", "dns_opcode", "dns_response", "dns_type"} {
		c.Exec(t, "DROP DICTIONARY "+c.Database+"."+name)
	}
	if out := create(); strings.Contains(out, "note") {
		t.Error(out)
	}
	if out, err := command(t, "sql", "--dictionaryuser=a'b"); err == nil || !strings.Contains(err.Error(), "dictionaryuser") {
		t.Errorf("%v %s", err, out)
	}
}

// TestRetentionTwice: a retention that the tables have already is no error; a database
// without tables is one.
func TestRetentionTwice(t *testing.T) {
	c := lab.SharedChDB(t)
	ttl := func(days string) (string, error) {
		return command(t, "ttl", "--clickhouseaddress="+c.Addr, "--clickhousedatabase="+c.Database, days)
	}
	if out, err := ttl("9d"); err == nil || !strings.Contains(err.Error(), "clickhouse init") {
		t.Errorf("without tables: %q, %v", out, err)
	}
	created(t, c, c.Database, true)
	for _, step := range []struct {
		days string
		with int // tables with the retention
		same bool
	}{{"9d", 12, false}, {"9d", 12, false}, {"0", 0, false}, {"0", 0, true}} {
		out, err := ttl(step.days)
		if err != nil {
			t.Errorf("ttl %s: %v\n%s", step.days, err, out)
		}
		if got := c.Int(t, "SELECT count() FROM system.tables WHERE database = '"+c.Database+"' AND engine_full LIKE '% TTL %toIntervalDay(9)%'"); got != step.with {
			t.Errorf("ttl %s: %d tables have the retention of 9 days, want %d", step.days, got, step.with)
		}
	}
}

// TestCheck: what an existing database lacks is named with the statements that help, which
// work.
func TestCheck(t *testing.T) {
	c := lab.SharedChDB(t)
	for _, s := range schema.Statements(schema.Options{Layout: schema.Dnsmonster, Database: c.Database, Table: "DNS_LOG"}) {
		c.Exec(t, s.SQL)
	}
	inner := c.Query(t, "SELECT name FROM system.tables WHERE database = '"+c.Database+"' AND name LIKE '.inner%'")
	c.Exec(t, "ALTER TABLE "+c.Database+".`"+inner[0][0]+"` RESET SETTING non_replicated_deduplication_window")
	check := func() []string {
		t.Helper()
		out, err := command(t, "check", "--alter", "--clickhouseaddress="+c.Addr, "--clickhousedatabase="+c.Database)
		if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		var statements []string
		for line := range strings.Lines(out) {
			if i := strings.Index(line, "ALTER TABLE "); i >= 0 {
				statements = append(statements, strings.TrimRight(line[i:], ";\n"))
			}
		}
		return statements
	}
	first := check()
	c.Exec(t, first...)
	if again := check(); len(first) != 5 || len(again) != 0 {
		t.Errorf("statements that help: %q, and after those: %q", first, again)
	}
	if n := c.Int(t, "SELECT count() FROM system.columns WHERE database = '"+c.Database+"' AND table = 'DNS_LOG' AND name IN ('Weight', 'AnswerData', 'Malformed')"); n != 3 {
		t.Errorf("%d of 3 columns were added", n)
	}
}

// TestLayoutsAreNotMixed: init refuses to put its own views over dnsmonster's tables, before
// it creates anything, and names the layout that fits.
func TestLayoutsAreNotMixed(t *testing.T) {
	c := lab.SharedChDB(t)
	tables := func() int {
		return c.Int(t, "SELECT count() FROM system.tables WHERE database = '"+c.Database+"'")
	}
	f := func(what string, wantErr bool, args ...string) {
		t.Helper()
		before := tables()
		out, err := command(t, append([]string{"init", "--clickhouseaddress=" + c.Addr, "--clickhousedatabase=" + c.Database}, args...)...)
		switch {
		case !wantErr && err != nil:
			t.Errorf("%s: %v\n%s", what, err, out)
		case wantErr && (err == nil || !strings.Contains(err.Error(), "--layout=dnsmonster")):
			t.Errorf("%s: %v, want an error that names --layout=dnsmonster", what, err)
		case wantErr && tables() != before:
			t.Errorf("%s: it has created tables", what)
		}
	}
	f("dnsmonster's, in an empty database", false, "--layout=dnsmonster")
	f("ours, over dnsmonster's", true)
	f("dnsmonster's again", false, "--layout=dnsmonster")
	for _, name := range (schema.Options{}).Aggregates() {
		c.Query(t, "DROP VIEW "+c.Database+"."+name+" SYNC")
	}
	f("ours, over dnsmonster's log alone", true)
}

// TestOldServer: a server that understands none of the statements is told from one that does.
func TestOldServer(t *testing.T) {
	if err := tooOld(server.Info{Version: "18.16.1"}); !errors.Is(err, outputs.ErrPermanent) || !strings.Contains(err.Error(), "18.16.1") {
		t.Errorf("18.16: %v", err)
	}
	if err := tooOld(server.Info{Version: "26.7.2", Settings: true}); err != nil {
		t.Errorf("26.7: %v", err)
	}
}

// TestGrow: the statements are those of one server that becomes a cluster's first.
func TestGrow(t *testing.T) {
	out, err := command(t, "sql", "--cluster", "main", "--grow")
	if err != nil || !strings.Contains(out, "RENAME TABLE IF EXISTS `default`.`DNS_LOG` TO `default`.`DNS_LOG_LOCAL`;") || strings.Contains(out, "CREATE") {
		t.Errorf("sql --grow: %v\n%s", err, out)
	}
	if _, err := command(t, "sql", "--grow"); err == nil || !strings.Contains(err.Error(), "--cluster") {
		t.Errorf("without a cluster: %v", err)
	}
}

// TestGrants: each of the two users gets rights of their own; one kind of statements is
// printed at a time.
func TestGrants(t *testing.T) {
	f := func(want, not string, args ...string) {
		t.Helper()
		out, err := command(t, append([]string{"sql", "--clickhouseusername=o'neill", "--clickhousedatabase=dns"}, args...)...)
		if err != nil {
			out = err.Error()
		}
		if !strings.Contains(out, want) || strings.Contains(out, not) {
			t.Errorf("%q: %s, want %q, not %q", args, out, want, not)
		}
	}
	f("GRANT INSERT ON `dns`.`DNS_LOG` TO `o'neill`;", "CREATE TABLE", "--grants")
	f("GRANT CREATE DATABASE, CREATE TABLE, ", "GRANT INSERT", "--initgrants")
	f(" ON `dns`.* TO `o'neill`;", "CLUSTER", "--initgrants")
	f("CLUSTER, REMOTE ON *.* TO `o'neill`;", "GRANT INSERT", "--initgrants", "--cluster=main")
	f("give one of them", "GRANT", "--initgrants", "--grants")
	f("give one of them", "GRANT", "--grow", "--grants", "--cluster=main")
	f("clickhousedatabase: \"a b\" has", "GRANT", "--grants", "--clickhousedatabase=a b")
	f("clickhouseusername: is empty", "GRANT", "--grants", "--clickhouseusername=")
}

// TestHalfMadeDatabases: init refuses what it would leave half done, before it creates
// anything, and check names what nothing fills.
func TestHalfMadeDatabases(t *testing.T) {
	c := lab.SharedChDB(t)
	db := c.Database
	run := func(args ...string) string {
		t.Helper()
		out, err := command(t, slices.Insert(args, 1, "--clickhouseaddress="+c.Addr, "--clickhousedatabase="+db)...)
		if err != nil {
			out += err.Error()
		}
		return out
	}
	expect := func(got string, parts ...string) {
		t.Helper()
		for _, part := range parts {
			if !strings.Contains(got, part) {
				t.Errorf("%q is missing in %s", part, got)
			}
		}
	}
	tables := func() int {
		return c.Int(t, "SELECT count() FROM system.tables WHERE database = '"+db+"'")
	}

	c.Exec(t, "CREATE TABLE "+db+".DNS_TYPE (DnsDate Date, timestamp DateTime, Server String, Type UInt16, c UInt64) ENGINE = MergeTree ORDER BY timestamp")
	expect(run("init"), "DNS_TYPE has no column w", "--layout=dnsmonster")
	if n := tables(); n != 1 {
		t.Errorf("init has created %d tables beside one of another layout", n-1)
	}
	c.Exec(t, "DROP TABLE "+db+".DNS_TYPE SYNC")
	expect(run("init"), "creating DNS_TYPE_MV")
	expect(run("check"), "11 of 11 aggregates", "OK: records can be written")

	expect(run("init", "--layout=dnsmonster"), "is of the sensor's own layout")
	before := tables()
	expect(run("init", "--clickhousetable=OTHER"), "does not sum up OTHER")
	expect(run("init", "--cluster=main"), "does not sum up DNS_LOG_LOCAL", "--grow")
	if tables() != before {
		t.Error("init has created tables for a second log")
	}

	c.Exec(t, "DROP TABLE "+db+".DNS_EDNS_MV SYNC")
	expect(run("check"), "10 of 11 aggregates", "no view fills these aggregates from `"+db+"`.`DNS_LOG`: DNS_EDNS:")
	c.Exec(t, "DROP TABLE "+db+".DNS_TYPE SYNC")
	expect(run("check"), "every INSERT fails in the views DNS_TYPE_MV", "records cannot be written")
	expect(run("init"), "creating DNS_TYPE_MV")
	expect(run("check"), "11 of 11 aggregates", "OK: records can be written")

	c.Exec(t, "ALTER TABLE "+db+".DNS_LOG MODIFY TTL toDate(PacketTime) + INTERVAL 2 DAY RECOMPRESS CODEC(ZSTD(9)), toDate(PacketTime) + INTERVAL 30 DAY")
	expect(run("ttl", "--clickhousetable=OTHER", "90d"), "has no table OTHER: nothing was changed")
	expect(run("ttl", "90d"), "table DNS_LOG has a TTL of another kind", "nothing was changed", "RECOMPRESS")
	if n := c.Int(t, "SELECT count() FROM system.tables WHERE database = '"+db+"' AND engine_full LIKE '%toIntervalDay(90)%'"); n != 0 {
		t.Errorf("ttl has changed %d tables", n)
	}
	c.Exec(t, "ALTER TABLE "+db+".DNS_LOG MODIFY TTL PacketTime + INTERVAL 1 MONTH")
	expect(run("ttl", "90d"), "retention of DNS_LOG")
	expect(run("init", "--ttl=60d"), "note: DNS_LOG was there already, and keeps its retention (toDate(PacketTime) + toIntervalDay(90)): `dnsmonster-sensor clickhouse ttl 60d` changes it")
	for _, args := range [][]string{{"init"}, {"init", "--ttl=90d"}} {
		if out := run(args...); strings.Contains(out, "note") {
			t.Errorf("%q: %s", args, out)
		}
	}
}

// TestOptionsOfTables: each mistake is named once.
func TestOptionsOfTables(t *testing.T) {
	for arg, want := range map[string]string{
		"--ttl=":                   `ttl: "" is not a number of days`,
		"--ttl=12h":                `ttl: "12h" is not a number of days`,
		"--ttl=-1":                 "ttl: -1 days",
		"--clickhousedatabase=a'b": "clickhousedatabase: ",
		"--clickhousedatabase=" + strings.Repeat("d", 187): "with the longest name of a table they take 214 bytes",
		"--clickhousetable=" + strings.Repeat("-", 70):     "with the longest name of a table they take 217 bytes",
		"--layout=other": "layout: ",
	} {
		if _, err := command(t, "sql", arg); err == nil || strings.Count(err.Error(), want) != 1 || strings.Contains(err.Error(), "\n") {
			t.Errorf("sql %s: %v, want one error with %q", arg, err, want)
		}
	}
}

// TestEnginesThatLose: check names engines that do not keep all rows.
func TestEnginesThatLose(t *testing.T) {
	c := lab.SharedChDB(t)
	const columns = " (PacketTime DateTime, Question String) ENGINE = "
	for engine, want := range map[string]string{
		"MergeTree ORDER BY Question":          "",
		"ReplacingMergeTree ORDER BY Question": "ReplacingMergeTree, which makes one row of rows with the same Question",
		"Null":                                 "Null, which stores nothing",
		"Memory":                               "Memory, which is empty after a restart",
		"Buffer('', 'LOG', 1, 1, 10, 1000, 10000, 1000000, 1000000)": "Buffer, which has its rows in memory for a while: set the table behind it",
		"Log": "",
	} {
		c.Exec(t, "DROP TABLE IF EXISTS "+c.Database+".LOG SYNC", "CREATE TABLE "+c.Database+".LOG"+columns+engine)
		out, err := command(t, "check", "--clickhouseaddress="+c.Addr, "--clickhousedatabase="+c.Database, "--clickhousetable=LOG")
		if err != nil || strings.Contains(out, "records may be lost") != (want != "") || !strings.Contains(out, want) {
			t.Errorf("%s: %v, want %q in\n%s", engine, err, want, out)
		}
	}
}

// TestInterrupted: a command that a signal ends says so.
func TestInterrupted(t *testing.T) {
	c := lab.SharedChDB(t)
	a := &admin{o: newOutput(t, "--clickhouseaddress="+c.Addr)}
	conn, err := a.connect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	err = a.run(ctx, conn, io.Discard, "creating", []schema.Statement{{Name: "DNS_LOG", SQL: "SELECT 1"}})
	if err == nil || !strings.Contains(err.Error(), "interrupted at DNS_LOG") || !strings.Contains(err.Error(), "again") {
		t.Error(err)
	}
}

// TestTablesOfACluster: without the name of the cluster, they are not changed.
func TestTablesOfACluster(t *testing.T) {
	o := schema.Options{Database: "dns", Table: "DNS_LOG"}
	distributed := []schema.Table{{Name: "DNS_LOG", Engine: "Distributed"}}
	if err := clusterIsNamed(o, distributed); !errors.Is(err, outputs.ErrPermanent) || !strings.Contains(err.Error(), "--cluster") {
		t.Error(err)
	}
	if err := clusterIsNamed(o, []schema.Table{{Name: "DNS_LOG", Engine: "MergeTree"}, {Name: "DNS_TYPE", Engine: "Distributed"}}); err != nil {
		t.Error(err)
	}
	o.Cluster = "main"
	if err := clusterIsNamed(o, distributed); err != nil {
		t.Error(err)
	}
}
