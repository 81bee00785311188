package schema

import (
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the expected statements again, and packaging/clickhouse/tables.sql")

// compare compares a text with a file, or writes it.
func compare(t *testing.T, file, text string) {
	t.Helper()
	if *update {
		if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o755), os.WriteFile(file, []byte(text), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if text != string(want) {
		t.Errorf("%s differs from what the code writes: read the difference after `go test ./outputs/clickhouse/schema -update`", file)
	}
}

// options of the tests that read text.
func standard(layout Layout, cluster string) Options {
	return Options{Layout: layout, Database: "default", Table: DefaultTable, Cluster: cluster, TTLDays: 30}
}

func TestStatementsAreAsTheyWereRead(t *testing.T) {
	compare(t, "testdata/ours.sql", Script(Statements(Options{Database: "dns", Table: "LOG"})))
	compare(t, "testdata/dnsmonster.sql", Script(Statements(standard(Dnsmonster, ""))))
	compare(t, "testdata/ours-cluster.sql", Script(Statements(standard(Ours, "main"))))
	compare(t, "testdata/dnsmonster-cluster.sql", Script(Statements(standard(Dnsmonster, "main"))))
	o := standard(Ours, "main")
	compare(t, "testdata/rights.sql", Script(Grants(standard(Ours, ""), "sensor"))+"\n"+Script(Grants(o, "sensor"))+"\n"+Script(InitGrants(standard(Ours, ""), "admin"))+"\n"+Script(InitGrants(o, "admin")))
	compare(t, "testdata/grow.sql", Script(Grow(o)))
}

// TestPackagedTables: the package ships the statements with their default options.
func TestPackagedTables(t *testing.T) {
	compare(t, "../../../packaging/clickhouse/tables.sql", Script(Statements(standard(Ours, ""))))
}

func TestCheck(t *testing.T) {
	for _, c := range []struct {
		o    Options
		want string // "": fine
	}{
		{standard(Ours, ""), ""},
		{standard(Dnsmonster, "main"), ""},
		{Options{Database: "Logs of DNS", Table: "log-2.ünï"}, ""},
		{Options{Database: "", Table: "LOG"}, "clickhousedatabase: the name is empty"},
		{Options{Database: "dns", Table: ""}, "clickhousetable: the name is empty"},
		{Options{Database: "dns", Table: "a`b"}, "clickhousetable: \"a`b\": quotes"},
		{Options{Database: "d'; DROP TABLE x; --", Table: "LOG"}, "clickhousedatabase: "},
		{Options{Database: "dns", Table: "LOG", Cluster: "{cluster}"}, "cluster: "},
		{Options{Database: "dns", Table: "LOG", Cluster: "a/b"}, "cluster: "},
		{Options{Database: "dns", Table: "a\nb"}, "clickhousetable: "},
		{Options{Database: "dns", Table: "a\xffb"}, "clickhousetable: "},
		{Options{Database: "dns", Table: strings.Repeat("a", 201)}, "200 at most"},
		{Options{Database: "dns", Table: "DNS_TYPE"}, "is the name of another table"},
		{Options{Database: "dns", Table: "DNS_TYPE_MV"}, "is the name of another table"},
		{Options{Database: "dns", Table: "dns_type"}, "is the name of another table"},
		{Options{Database: "dns", Table: "DNS_TYPE_LOCAL", Cluster: "main"}, "is the name of another table"},
		{Options{Database: "dns", Table: "LOG", TTLDays: -1}, "ttl: -1 days"},
		{Options{Database: "dns", Table: "LOG", TTLDays: 36_501}, "ttl: 36501 days"},
	} {
		err := c.o.Check()
		if got := errorText(err); c.want == "" && err != nil || !strings.Contains(got, c.want) {
			t.Errorf("%+v: %q, want %q", c.o, got, c.want)
		}
	}
	for _, name := range []string{"", "a\nb", "a\x1b[2J", "a\xffb", strings.Repeat("a", 201)} {
		if err := CheckUser(name); err == nil || !strings.Contains(err.Error(), "clickhouseusername") {
			t.Errorf("user %q: %v", name, err)
		}
	}
}

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func TestBehind(t *testing.T) {
	for _, c := range []struct{ engine, want string }{
		{"Distributed('main', 'default', 'DNS_LOG_LOCAL', rand())", "main default DNS_LOG_LOCAL"},
		{"Distributed('main', 'default', 'DNS_LOG_LOCAL')", "main default DNS_LOG_LOCAL"},
		{"Distributed(main, default, DNS_LOG_LOCAL, rand()) SETTINGS x = 1", "main default DNS_LOG_LOCAL"},
		{"Distributed(main, `a b`, \"c\")", "main a b c"},
		{"Distributed('a,\\'(b', 'c', 'd')", "a,'(b c d"},
		{"Distributed('main', currentDatabase(), 'DNS_LOG_LOCAL')", ""},
		{"Distributed('main', '', 'DNS_LOG_LOCAL')", ""},
		{"Distributed('main', 'default'", ""},
		{"Distributed('main', 'default', 'x", ""},
		{"Distributed('main', 'default', 'x\\", ""},
		{"Distributed(", ""},
		{"MergeTree", ""},
		{"", ""},
	} {
		cluster, database, table, ok := Behind(c.engine)
		if got := strings.TrimSpace(cluster + " " + database + " " + table); got != c.want || ok != (c.want != "") {
			t.Errorf("%s: %q, %v, want %q", c.engine, got, ok, c.want)
		}
	}
}
