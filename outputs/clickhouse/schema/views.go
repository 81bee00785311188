package schema

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// View is a materialized view that exists.
type View struct{ Name, SQL string }

// ViewsQuery asks a server for the materialized views of the database. Views reads the
// answer.
func ViewsQuery(o Options) string {
	return "SELECT name, create_table_query FROM system.tables WHERE engine = 'MaterializedView' AND database = " + literal(o.Database) + " ORDER BY name"
}

// Views reads the answer to ViewsQuery.
func Views(rows [][]string) (list []View) {
	for _, r := range rows {
		if len(r) == 2 {
			list = append(list, View{r[0], r[1]})
		}
	}
	return list
}

// names reports whether a table follows a word, such as FROM, in the view's text. A text
// that the server does not show may name anything.
func (v View) names(word string, o Options, table string) bool {
	one := func(name string) string { return "`?" + regexp.QuoteMeta(name) + "`?" }
	return v.SQL == "" || regexp.MustCompile(`\b`+word+`\s+`+one(o.Database)+`\.`+one(table)+`(?:[\s()]|$)`).MatchString(v.SQL)
}

// OtherLog returns a view with one of the layout's names that sums up another table than the
// log, "" if there is none: it would stay as it is, and nothing would sum up this log.
func OtherLog(o Options, views []View) string {
	for _, v := range views {
		ours := slices.ContainsFunc(aggregates, func(a aggregate) bool { return v.Name == a.view() || v.Name == o.Local(a.name) })
		if ours && !v.names("FROM", o, o.Local(o.Table)) {
			return v.Name
		}
	}
	return ""
}

// Unfilled returns the aggregates that exist as tables of their own, but which no view fills
// from the log.
func Unfilled(o Options, existing []Table, views []View) (names []string) {
	for _, name := range o.Aggregates() {
		table := slices.ContainsFunc(existing, func(t Table) bool { return t.Name == name && strings.HasSuffix(t.Engine, "MergeTree") })
		filled := slices.ContainsFunc(views, func(v View) bool {
			return v.names("TO", o, name) && v.names("FROM", o, o.Local(o.Table))
		})
		if table && !filled {
			names = append(names, name)
		}
	}
	return names
}

// Stranded returns the views of the log whose aggregate does not exist. An INSERT into the
// log fails on them.
func Stranded(o Options, existing []Table, views []View) (names []string) {
	for _, name := range o.Aggregates() {
		if slices.ContainsFunc(existing, func(t Table) bool { return t.Name == name }) {
			continue
		}
		for _, v := range views {
			if v.SQL != "" && v.names("TO", o, name) && v.names("FROM", o, o.Local(o.Table)) {
				names = append(names, v.Name)
			}
		}
	}
	return names
}

// ColumnsQuery asks a server for the columns of the log and the aggregates. OtherLayout
// reads the answer.
func ColumnsQuery(o Options) string {
	var names []string
	for _, name := range o.withData() {
		names = append(names, literal(o.Local(name)))
	}
	return fmt.Sprintf("SELECT table, name FROM system.columns WHERE database = %s AND table IN (%s)", literal(o.Database), strings.Join(names, ", "))
}

// OtherLayout says which table is of another layout than ours, and why. It is "" if
// none is.
func OtherLayout(o Options, rows [][]string) string {
	has := map[string]map[string]bool{}
	for _, r := range rows {
		if len(r) == 2 {
			if has[r[0]] == nil {
				has[r[0]] = map[string]bool{}
			}
			has[r[0]][r[1]] = true
		}
	}
	log := o.Local(o.Table)
	if has[log] != nil && !has[log]["Weight"] {
		return fmt.Sprintf("table %s.%s has no column Weight, which the aggregates add up", o.Database, log)
	}
	for _, a := range aggregates {
		name := o.Local(a.name)
		for _, s := range a.sums {
			if has[name] != nil && !has[name][s.name] {
				return fmt.Sprintf("table %s.%s has no column %s, which the sensor's own layout sums up there", o.Database, name, s.name)
			}
		}
	}
	return ""
}

// IsOurs reports whether the log, by the answer to ColumnsQuery, was created in our layout.
func IsOurs(o Options, rows [][]string) bool {
	return slices.ContainsFunc(rows, func(r []string) bool {
		return len(r) == 2 && r[0] == o.Local(o.Table) && r[1] == "SampleKey"
	})
}
