package schema

import (
	"fmt"
	"slices"
	"strings"
)

// On a cluster, each server has local tables, and the plain names are Distributed tables
// over them. So dashboards, and people, read the same names on one server and on a
// cluster, and never by mistake the part that lies on one server. The sensor writes to
// the local log; views and their targets are local as well, so that a row is aggregated
// by the server that stores it, in the same INSERT, under the same deduplication token.
//
// A site that grows from one server renames its tables once: see Grow.

// Local returns the name of the table that has the data: on a cluster that of the local
// table, else the name itself.
func (o Options) Local(name string) string {
	if local, ok := o.Locals[name]; ok {
		return local
	}
	if o.Cluster == "" {
		return name
	}
	return name + LocalSuffix
}

func (o Options) onCluster() string {
	if o.Cluster == "" {
		return ""
	}
	return " ON CLUSTER " + identifier(o.Cluster)
}

// engine returns the engine of a table of the MergeTree family. The path in Keeper is
// spelled out, where only shard and replica are the server's macros: a path with the
// table's UUID would differ on a server that joins the cluster later, and a path with the
// table's name as a macro would change when the table is renamed.
func (o Options) engine(family, name string) string {
	if o.Cluster == "" {
		return family
	}
	path := "/clickhouse/tables/{shard}/" + o.Database + "/" + o.Local(name)
	return fmt.Sprintf("Replicated%s(%s, '{replica}')", family, literal(path))
}

// Settings that make a table remember the batches that it has. A replicated table forgets
// after an hour by default; a plain table knows no time.
var (
	plainWindow      = fmt.Sprintf("non_replicated_deduplication_window = %d", Window)
	replicatedWindow = fmt.Sprintf("replicated_deduplication_window = %d, replicated_deduplication_window_seconds = %d", Window, WindowSeconds)
)

func (o Options) window() string {
	if o.Cluster == "" {
		return plainWindow
	}
	return replicatedWindow
}

// distributed creates the tables that read all shards. Writers that do not know about
// shards can insert into them, too; rand() spreads their rows. The sensor never does:
// such an insert is acknowledged before the rows are stored.
func (o Options) distributed(add adder) {
	for _, name := range o.withData() {
		add(name, "CREATE TABLE IF NOT EXISTS %s%s\nAS %s\nENGINE = Distributed(%s, %s, %s, rand())",
			o.shared(name), o.onCluster(), o.table(name), literal(o.Cluster), literal(o.Database), literal(o.Local(name)))
	}
}

// Behind returns the table that a Distributed table reads on each server, as far as it is
// spelled out. engine is engine_full of system.tables, such as
// Distributed('main', 'default', 'DNS_LOG_LOCAL', rand()). It serves clusters whose local
// tables have other names than ours.
func Behind(engine string) (cluster, database, table string, ok bool) {
	rest, ok := strings.CutPrefix(engine, "Distributed(")
	var names [3]string
	for i := 0; ok && i < len(names); i++ {
		names[i], rest, ok = argument(rest)
	}
	if !ok {
		return "", "", "", false
	}
	return names[0], names[1], names[2], true
}

// NamesQuery asks a server how the tables of a cluster are called. Names reads the answer.
func NamesQuery(o Options) string {
	var names []string
	for _, name := range o.withData() {
		names = append(names, literal(name))
	}
	return "SELECT name, engine, engine_full FROM system.tables WHERE database = " + literal(o.Database) +
		" AND (engine = 'Distributed' OR name IN (" + strings.Join(names, ", ") + ")) ORDER BY name"
}

// Names returns options for tables that exist on a cluster, also if local tables have other
// names than ours, or the log's own name is that of the local table.
func Names(o Options, rows [][]string) Options {
	o.Locals = make(map[string]string)
	for _, r := range rows {
		if len(r) != 3 || !slices.Contains(o.withData(), r[0]) {
			continue
		}
		o.Locals[r[0]] = r[0]
		if r[1] == "Distributed" {
			delete(o.Locals, r[0])
			if _, database, local, ok := Behind(r[2]); ok && database == o.Database {
				o.Locals[r[0]] = local
			}
		}
	}
	o.Views = []string{}
	for _, r := range rows {
		if len(r) != 3 || r[1] != "Distributed" {
			continue
		}
		if _, database, local, ok := Behind(r[2]); ok && database == o.Database && local == o.Local(o.Table) || r[0] == o.Table {
			o.Views = append(o.Views, r[0])
		}
	}
	return o
}

// argument reads a text or a name, and what ends it.
func argument(text string) (value, rest string, ok bool) {
	if text = strings.TrimLeft(text, " "); text == "" {
		return "", "", false
	}
	quote, end := text[0], strings.IndexAny(text, ",)")
	if quote == '\'' || quote == '`' || quote == '"' {
		var b strings.Builder
		for end = 1; end < len(text) && text[end] != quote; end++ {
			if text[end] == '\\' {
				end++
			}
			if end < len(text) {
				b.WriteByte(text[end])
			}
		}
		value, end = b.String(), end+1
	} else if end > 0 && !strings.ContainsAny(text[:end], "( ") {
		value = text[:end]
	}
	if value == "" || end >= len(text) || text[end] != ',' && text[end] != ')' {
		return "", "", false
	}
	return value, text[end+1:], true
}

// withData are the log and the aggregates.
func (o Options) withData() []string {
	names := []string{o.Table}
	for _, a := range aggregates {
		names = append(names, a.name)
	}
	return names
}

// Grow returns what turns the tables of one server into the local tables of a cluster's
// first member. It runs on that server alone, while no sensor writes to it. Statements for
// the cluster then create what is missing, the views among it. The tables stay what they
// are: not replicated.
func Grow(o Options) (list []Statement) {
	for _, a := range aggregates {
		list = append(list, Statement{a.view(), "DROP VIEW IF EXISTS " + o.shared(a.view())})
	}
	for _, name := range o.withData() {
		list = append(list, Statement{name, fmt.Sprintf("RENAME TABLE IF EXISTS %s TO %s", o.shared(name), o.table(name))})
	}
	return list
}
