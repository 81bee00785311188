//go:build linux

package schema

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"dnsmonster-sensor/test/lab"
)

// replicated is an engine that needs Keeper.
var replicated = regexp.MustCompile(`Replicated(\w+)\([^)]*\)`)

// TestNamesStayNames: even a name that Check refuses is one name, or one text, to the
// server.
func TestNamesStayNames(t *testing.T) {
	s := start(t)
	for _, name := range []string{"plain", "a`b", "a\\", "a\\`b", "a' OR 1", "\\' OR 1", "a\"b", "; DROP TABLE x", "-- a", "/* a", "ä", "a b", "`", "'"} {
		s.want("1", "%s", "SELECT tupleNames(CAST(tuple(1), "+literal("Tuple("+identifier(name)+" UInt8)")+"))[1] = "+literal(name))
	}
}

// TestNamesOfUsers: the server reads the name that was meant, whatever is in it.
func TestNamesOfUsers(t *testing.T) {
	s := start(t)
	read := func(sql string) string { return s.run("%s", "SELECT formatQuerySingleLine("+literal(sql)+")") }
	for _, name := range []string{"sensor", "default", "a b", "a'b", "a`b", `a"b`, `DOMAIN\sensor`, `a\`, "a/b", "{a}", "ä", "a; DROP USER b", "a -- b", "a, b", "a.b-c", "sensor@example.org", "a@'%'", "*", "IF"} {
		if err := CheckUser(name); err != nil {
			t.Error(err)
		}
		quoted := strings.TrimPrefix(read("DROP TABLE "+identifier(name)), "DROP TABLE ")
		for _, o := range []Options{standard(Ours, ""), standard(Ours, "main")} {
			const other = "no name like any"
			plain := append(Grants(o, other), InitGrants(o, other)...)
			for i, statement := range append(Grants(o, name), InitGrants(o, name)...) {
				want := strings.ReplaceAll(read(plain[i].SQL), "`"+other+"`", quoted)
				if got := read(statement.SQL); got != want || !strings.Contains(got, quoted) {
					t.Errorf("user %q: %s is read as\n%s, want\n%s", name, statement.SQL, got, want)
				}
			}
		}
	}
}

// TestClusterStatementsAreUnderstood: a server of one machine parses them.
func TestClusterStatementsAreUnderstood(t *testing.T) {
	s := start(t)
	var list []Statement
	for _, layout := range []Layout{Ours, Dnsmonster} {
		o := standard(layout, "main")
		o.Database = "dns"
		list = append(list, Statements(o)...)
		list = append(list, Retention(o, 90, []Table{{Name: "DNS_LOG_LOCAL", Engine: "ReplicatedMergeTree"}})...)
		list = append(list, Grants(o, "sensor")...)
		list = append(list, InitGrants(o, "admin")...)
		list = append(list, Grow(o)...)
	}
	for _, statement := range list {
		s.run("EXPLAIN AST %s", statement.SQL)
		if !strings.Contains(statement.SQL, "ON CLUSTER `main`") && !strings.HasPrefix(statement.SQL, "RENAME") && !strings.HasPrefix(statement.SQL, "DROP") {
			t.Errorf("%s runs on one server alone", statement.SQL)
		}
	}
	if len(list) < 100 {
		t.Errorf("only %d statements", len(list))
	}
}

// TestClusterTablesWork: what a cluster's statements create on each server works, with the
// words removed that need Keeper or other servers.
func TestClusterTablesWork(t *testing.T) {
	s := start(t)
	for _, layout := range []Layout{Ours, Dnsmonster} {
		o := Options{Layout: layout, Database: strings.ToLower(t.Name()), Table: DefaultTable, Cluster: "main", TTLDays: 30}
		for _, statement := range Statements(o) {
			sql := strings.ReplaceAll(statement.SQL, o.onCluster(), "")
			if strings.Contains(sql, "= Distributed(") {
				continue
			}
			sql = replicated.ReplaceAllString(sql, "$1")
			s.run("%s", strings.ReplaceAll(sql, o.window(), "index_granularity = 8192"))
		}
		s.insert(o, "", traffic(0)...)
		s.want("240", "SELECT count() FROM %s", o.table(o.Table))
		s.want("120", "SELECT sum(c) FROM %s", o.table("DNS_TYPE"))
		s.run("DROP DATABASE %s SYNC", identifier(o.Database))
	}
}

// TestGrow: the tables of one server become local tables, with their rows, and the
// cluster's statements add what is missing.
func TestGrow(t *testing.T) {
	s := start(t)
	o := s.create(Options{TTLDays: 30})
	s.insert(o, "", traffic(0)...)
	o.Cluster = "main"
	for range 2 {
		for _, statement := range Grow(o) {
			s.run("%s", statement.SQL)
		}
	}
	for _, statement := range Statements(o) {
		if strings.HasSuffix(statement.Name, "_MV") {
			s.run("%s", strings.ReplaceAll(statement.SQL, o.onCluster(), ""))
		}
	}
	s.insert(o, "", traffic(1)...)
	s.want("480", "SELECT count() FROM %s", o.table(o.Table))
	s.want("240", "SELECT sum(c) FROM %s", o.table("DNS_TYPE"))
	s.want("0", "EXISTS TABLE %s", o.shared(o.Table))
}

func (s *server) tables(o Options) []Table {
	s.t.Helper()
	var rows [][]string
	for line := range strings.Lines(s.run("%s", TablesQuery(o, true))) {
		rows = append(rows, strings.Split(strings.TrimSuffix(line, "\n"), "\t"))
	}
	return Tables(rows)
}

// TestRetention: the log and all aggregates keep their rows as long as asked, in both
// layouts, and then for ever.
func TestRetention(t *testing.T) {
	s := start(t)
	for _, layout := range []Layout{Ours, Dnsmonster} {
		o := s.create(Options{Layout: layout, TTLDays: 30})
		for _, days := range []int{90, 0, 0, 7} {
			list := Retention(o, days, s.tables(o))
			for _, statement := range list {
				s.run("%s", statement.SQL)
			}
			want := "with TTL toIntervalDay(" + fmt.Sprint(days) + ")"
			if days == 0 {
				want = "without TTL"
			}
			got := s.run("SELECT if(position(create_table_query, ' TTL ') = 0, 'without TTL', concat('with TTL ', extract(create_table_query, 'TTL .* \\\\+ (toIntervalDay\\\\([0-9]+\\\\))'))) AS ttl, count() FROM system.tables WHERE database = '%s' AND engine LIKE '%%MergeTree' GROUP BY ttl", o.Database)
			if got != want+"\t12" {
				t.Errorf("layout %d, %d days: %q, want 12 tables %s", layout, days, got, want)
			}
		}
	}
}

// TestOldTablesArePutRight: a log of 17 columns gets ours, with rows in it, and tables that
// forget batches begin to remember them.
func TestOldTablesArePutRight(t *testing.T) {
	s := start(t)
	o := s.create(Options{Layout: Dnsmonster})
	forgets := func() string {
		return s.run("SELECT count() FROM system.tables WHERE database = '%s' AND engine LIKE '%%MergeTree' AND NOT engine_full LIKE '%%non_replicated_deduplication_window = %d%%'", o.Database, Window)
	}
	for _, table := range s.tables(o) {
		if strings.HasSuffix(table.Engine, "MergeTree") {
			s.run("ALTER TABLE %s RESET SETTING non_replicated_deduplication_window", o.shared(table.Name))
		}
	}
	if got := forgets(); got != "12" {
		t.Fatalf("%s tables forget batches, want 12", got)
	}
	for _, statement := range Remember(o, s.tables(o)) {
		s.run("%s", statement.SQL)
	}
	if got := forgets(); got != "0" {
		t.Errorf("%s tables still forget batches", got)
	}
	if list := Remember(o, s.tables(o)); len(list) > 0 {
		t.Errorf("there is still something to do: %v", list)
	}
	insert := func() {
		s.insert(o, "insert_deduplication_token = 'a', insert_deduplicate = 1, async_insert = 0, deduplicate_blocks_in_dependent_materialized_views = 1", traffic(0)...)
	}
	insert()
	insert()
	s.want("240\t240", "SELECT (SELECT count() FROM %s), (SELECT sum(c) FROM %s)", o.table(o.Table), o.table("DNS_SRCIP_MASK"))

	var missing []string
	for _, c := range logColumns[len(dnsmonsterColumns):] {
		missing = append(missing, c.name)
	}
	for range 2 {
		for _, statement := range AddColumns(o, "", append(missing, "Strange")) {
			s.run("%s", statement.SQL)
		}
	}
	s.want("48\t240", "SELECT (SELECT count() FROM system.columns WHERE database = '%s' AND table = '%s'), (SELECT sum(Weight) FROM %s)", o.Database, o.Table, o.table(o.Table))
}

// TestTablesOfAnOldServer: 18.16 has neither UUIDs nor retention, but inline views.
func TestTablesOfAnOldServer(t *testing.T) {
	c := lab.StartClickHouse18(t, lab.ClickHouse18Options{})
	c.Exec(t, "CREATE TABLE DNS_LOG (d Date, n UInt64) ENGINE = MergeTree PARTITION BY d ORDER BY d",
		"CREATE MATERIALIZED VIEW DNS_TYPE ENGINE = SummingMergeTree PARTITION BY d ORDER BY d AS SELECT d, sum(n) AS n FROM DNS_LOG GROUP BY d")
	o := standard(Ours, "")
	o.Database = c.Database
	got := Tables(c.Query(t, TablesQuery(o, false)))
	want := []Table{{".inner.DNS_TYPE", "SummingMergeTree", "", "", false}, {"DNS_LOG", "MergeTree", "", "", false}, {"DNS_TYPE", "MaterializedView", "", "", false}}
	if !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	if list := Remember(o, got); len(list) != 2 || !strings.Contains(list[1].SQL, "`.inner.DNS_TYPE`") {
		t.Errorf("%v", list)
	}
}
