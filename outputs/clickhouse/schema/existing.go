package schema

import (
	"fmt"
	"slices"
	"strings"
)

// What puts existing tables right: statements for an administrator who has decided on them.

// AddColumns returns what adds columns of our layout to a log that lacks them. After that,
// senders that insert without naming columns, as dnsmonster does, fail on it. Other names
// are left out, and so is SampleKey: a key cannot be extended by what old rows lack. log is the local table's full name, "" for that of our layout.
func AddColumns(o Options, log string, missing []string) (list []Statement) {
	if log == "" {
		log = o.table(o.Table)
	}
	add := "ADD COLUMN IF NOT EXISTS "
	if o.Old {
		add = "ADD COLUMN "
	}
	var adds, plain []string
	for _, c := range logColumns {
		if slices.Contains(missing, c.name) && !strings.Contains(c.is, "MATERIALIZED") && !strings.HasPrefix(c.name, "INDEX ") {
			bare, _, _ := strings.Cut(c.is, " CODEC(") // a Distributed table has no files
			if o.Old {
				bare = OldType(bare)
				c.is = bare
			}
			adds, plain = append(adds, add+c.name+" "+c.is), append(plain, add+c.name+" "+bare)
		}
	}
	if len(adds) == 0 {
		return nil
	}
	list = append(list, Statement{o.Local(o.Table), "ALTER TABLE " + log + o.onCluster() + " " + strings.Join(adds, ", ")})
	views := o.Views
	if views == nil && o.Cluster != "" {
		views = []string{o.Table}
	}
	everywhere := o.onCluster()
	if o.Old {
		everywhere = "" // it refuses that for a table that is not replicated: on each server
	}
	for _, view := range views {
		list = append(list, Statement{view, "ALTER TABLE " + o.shared(view) + everywhere + " " + strings.Join(plain, ", ")})
	}
	return list
}

// OldType is the type that a server of 2018 has for the values of one of ours: it has no
// codecs, and neither DateTime64, IPv6 nor, unless it is told to try, LowCardinality.
func OldType(typ string) string {
	if inner, ok := strings.CutPrefix(typ, "LowCardinality("); ok {
		return strings.TrimSuffix(inner, ")")
	}
	if strings.HasPrefix(typ, "DateTime64(") {
		return "DateTime"
	}
	return strings.Replace(typ, "IPv6", "FixedString(16)", 1)
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
			if o.Old {
				continue // it remembers batches for a week, without a setting
			}
			windows = replicatedWindow
		}
		list = append(list, Statement{o.Local(name), fmt.Sprintf("ALTER TABLE %s%s MODIFY SETTING %s", o.shared(t.Name), o.onCluster(), windows)})
	}
	return list
}
