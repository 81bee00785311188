package clickhouse

import (
	"bytes"
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/urfave/cli/v2"

	"dnsmonster-sensor/outputs"
	"dnsmonster-sensor/outputs/clickhouse/schema"
	"dnsmonster-sensor/outputs/clickhouse/server"
	"dnsmonster-sensor/test/lab"
)

// command runs a command of the output, and returns what it prints.
func command(t *testing.T, args ...string) (string, error) {
	t.Helper()
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
	}{{"9d", 12}, {"9d", 12}, {"0", 0}, {"0", 0}} {
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
	f("clickhouseusername: is empty", "GRANT", "--grants", "--clickhouseusername=")
}
