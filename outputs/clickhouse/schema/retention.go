package schema

import (
	"fmt"
	"regexp"
	"strings"
)

// Table is what a server says about a table that exists.
type Table struct {
	Name   string
	Engine string
	UUID   string // "" or zeros: the database does not give tables one
	TTL    string // its retention, an expression; "": for ever
	Window bool   // it is set to remember batches; a replicated one for longer than an hour
}

// noUUID is what tables have in databases of the old kind.
const noUUID = "00000000-0000-0000-0000-000000000000"

// TablesQuery asks a server for the log, the aggregates, and the tables within inline
// views. Tables reads the answer. uuids says whether the server gives tables UUIDs: it does
// from ClickHouse 20.10 on, whose revision is UUIDRevision.
func TablesQuery(o Options, uuids bool) string {
	var names []string
	for _, name := range o.withData() {
		names = append(names, literal(name))
		if o.Cluster != "" {
			names = append(names, literal(o.Local(name)))
		}
	}
	uuid := "''"
	if uuids {
		uuid = "toString(uuid)"
	}
	return fmt.Sprintf("SELECT name, engine, %s, extract(engine_full, '(?s) TTL (.*?)(?: SETTINGS .*)?$'), if(match(engine_full, '[ _](non_replicated_deduplication_window|replicated_deduplication_window_seconds) = [1-9]'), '1', '0') FROM system.tables WHERE database = %s AND (name IN (%s) OR name LIKE '.inner%%') ORDER BY name",
		uuid, literal(o.Database), strings.Join(names, ", "))
}

// UUIDRevision is the protocol's revision from which on servers give tables UUIDs.
const UUIDRevision = 54441

// Tables reads the answer to TablesQuery.
func Tables(rows [][]string) (list []Table) {
	for _, r := range rows {
		if len(r) == 5 {
			list = append(list, Table{Name: r[0], Engine: r[1], UUID: r[2], TTL: r[3], Window: r[4] == "1"})
		}
	}
	return list
}

// Retention returns what makes the log and each aggregate that exists keep their rows for
// so many days, for ever if 0. The rows of an inline view are in a table of its own,
// which is the one that changes. Tables that read a cluster's shards have no rows. The
// log comes last: it has the details that are missed first.
func Retention(o Options, days int, existing []Table) (list []Statement) {
	byName := map[string]Table{}
	for _, t := range existing {
		byName[t.Name] = t
	}
	names := o.withData()
	for i := range names {
		name := names[len(names)-1-i]
		date := "DnsDate"
		if name == o.Table {
			date = logDate
		}
		local := o.Local(name)
		t, exists := rowsOf(byName, local)
		if !exists {
			continue
		}
		target := o.shared(t.Name)
		switch {
		case days > 0:
			list = append(list, Statement{local, fmt.Sprintf("ALTER TABLE %s%s MODIFY TTL %s + INTERVAL %d DAY", target, o.onCluster(), date, days)})
		case t.TTL != "":
			list = append(list, Statement{local, fmt.Sprintf("ALTER TABLE %s%s REMOVE TTL", target, o.onCluster())})
		}
	}
	return list
}

// OwnRetention returns a table, among those whose retention would change, that does more
// with old rows than to delete them after some time: it moves them, compresses them again,
// or deletes only some. The name is "" if there is none.
func OwnRetention(o Options, existing []Table) (name, ttl string) {
	byName := map[string]Table{}
	for _, t := range existing {
		byName[t.Name] = t
	}
	for _, name := range o.withData() {
		if t, exists := rowsOf(byName, o.Local(name)); exists && t.TTL != "" && !plainRetention.MatchString(t.TTL) {
			return o.Local(name), t.TTL
		}
	}
	return "", ""
}

// Keeps returns the retention of the log if it exists with another one than that of the
// options: statements that create do not change it.
func Keeps(o Options, existing []Table) (ttl string, other bool) {
	want := ""
	if o.TTLDays > 0 {
		want = fmt.Sprintf("%s + toIntervalDay(%d)", logDate, o.TTLDays)
	}
	for _, t := range existing {
		if t.Name == o.Local(o.Table) && strings.HasSuffix(t.Engine, "MergeTree") {
			return t.TTL, t.TTL != want
		}
	}
	return "", false
}

// plainRetention is one column, or its date, and an interval.
var plainRetention = regexp.MustCompile(`^(?:\w+\()*\w+\)*(?: \+ toInterval\w+\(\d+\))?(?: DELETE)?$`)

// rowsOf returns the table that has the rows of a name.
func rowsOf(byName map[string]Table, name string) (Table, bool) {
	t, ok := byName[name]
	if ok && t.Engine == "MaterializedView" {
		inner := ".inner_id." + t.UUID
		if t.UUID == "" || t.UUID == noUUID {
			inner = ".inner." + name
		}
		t, ok = byName[inner]
	}
	return t, ok && strings.HasSuffix(t.Engine, "MergeTree")
}
