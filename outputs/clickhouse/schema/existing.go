package schema

import (
	"fmt"
	"slices"
	"strings"
)

// What puts existing tables right: statements for an administrator who has decided on them.

// AddColumns returns what adds columns of our layout to a log that lacks them. After that,
// senders that insert without naming columns, as dnsmonster does, fail on it. Other names
// are left out, and so is SampleKey: a key cannot be extended by
// what old rows lack.
func AddColumns(o Options, missing []string) (list []Statement) {
	var adds []string
	for _, c := range logColumns {
		if slices.Contains(missing, c.name) && !strings.Contains(c.is, "MATERIALIZED") && !strings.HasPrefix(c.name, "INDEX ") {
			adds = append(adds, "ADD COLUMN IF NOT EXISTS "+c.name+" "+c.is)
		}
	}
	if len(adds) == 0 {
		return nil
	}
	list = append(list, Statement{o.Local(o.Table), "ALTER TABLE " + o.table(o.Table) + o.onCluster() + " " + strings.Join(adds, ", ")})
	if o.Cluster != "" {
		for i := range adds {
			adds[i], _, _ = strings.Cut(adds[i], " CODEC(") // a Distributed table has no files
		}
		list = append(list, Statement{o.Table, "ALTER TABLE " + o.shared(o.Table) + o.onCluster() + " " + strings.Join(adds, ", ")})
	}
	return list
}

// Remember returns what makes tables that forget batches remember them, so that a repeated
// batch is not doubled: the log, the aggregates, and the tables within inline views. The
// name of a statement is that of the log or the aggregate.
func Remember(o Options, existing []Table) (list []Statement) {
	byName := map[string]Table{}
	for _, t := range existing {
		byName[t.Name] = t
	}
	for _, name := range o.withData() {
		t, exists := rowsOf(byName, o.Local(name))
		if !exists || t.Window {
			continue
		}
		windows := plainWindow
		if strings.HasPrefix(t.Engine, "Replicated") {
			windows = replicatedWindow
		}
		list = append(list, Statement{o.Local(name), fmt.Sprintf("ALTER TABLE %s%s MODIFY SETTING %s", o.shared(t.Name), o.onCluster(), windows)})
	}
	return list
}
