// Package schema writes the SQL text of the tables in ClickHouse: database, log, aggregates
// with their views, dictionaries of names, tables of a cluster, rights, retention. It
// takes names and numbers, and returns statements. It connects to nothing; what has to be
// known about a server comes in as the answer to a query of this package.
//
// Two layouts exist. Ours is what `clickhouse init` creates by default. Dnsmonster is the
// layout of dnsmonster's own tables.sql, for sites whose other senders insert without
// naming columns.
//
// The tests run all of it on ClickHouse's engine; testdata has the statements as they were
// when they were last read by a person.
package schema

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Layout is a set of tables.
type Layout uint8

// Layouts.
const (
	Ours Layout = iota
	Dnsmonster
)

// DefaultTable is the log's name in both layouts.
const DefaultTable = "DNS_LOG"

// LocalSuffix ends the names of a cluster's local tables.
const LocalSuffix = "_LOCAL"

// Window is the number of batches that a table remembers, and WindowSeconds the time for
// which a replicated table does.
const (
	Window        = 10_000
	WindowSeconds = 7 * 24 * 3600
)

// Options say which tables to create. Names need no quotes.
type Options struct {
	Layout   Layout
	Database string
	Table    string // the log
	Cluster  string // "": one server
	TTLDays  int    // 0: keep for ever

	Old    bool              // the server is one of 2018: see OldType
	Locals map[string]string // local tables of a cluster that exist under names that are not ours: see Names
	Views  []string          // the Distributed tables over the log that exist; nil: that of our layout

	// DictionaryUser is the user that the server reads the dictionaries as. It has no
	// password. "": default.
	DictionaryUser string
}

// Statement is one SQL statement, without a final semicolon, and the name of what it
// is about.
type Statement struct{ Name, SQL string }

// Check reports names that cannot be used, and a retention that is out of range.
func (o Options) Check() error {
	err := errors.Join(checkName("clickhousedatabase", o.Database), checkName("clickhousetable", o.Table))
	if o.Cluster != "" {
		err = errors.Join(err, checkName("cluster", o.Cluster))
	}
	if o.DictionaryUser != "" {
		err = errors.Join(err, checkName("dictionaryuser", o.DictionaryUser))
	}
	for _, name := range o.fixedNames() {
		if o.Table == name || o.Cluster != "" && o.Local(o.Table) == name {
			err = errors.Join(err, fmt.Errorf("clickhousetable: %q is the name of another table of the layout: choose another, such as %s", o.Table, DefaultTable))
		}
	}
	if n := fileName(o.Database) + fileName(o.longest()); err == nil && n > maxNames {
		err = fmt.Errorf("clickhousedatabase, clickhousetable: with the longest name of a table they take %d bytes ('-' takes 3): %d at most", n, maxNames)
	}
	return errors.Join(err, CheckDays(o.TTLDays))
}

// maxNames keeps the names of database and table within those of the server's files, to
// which it adds up to 42 bytes.
const maxNames = 213

// fileName is the length of a name in the names of the server's files.
func fileName(name string) int { return len(name) + 2*strings.Count(name, "-") }

// longest is the longest name of a table.
func (o Options) longest() string {
	return slices.MaxFunc(append(o.fixedNames(), o.Local(o.Table)), func(a, b string) int { return fileName(a) - fileName(b) })
}

// maxDays keeps the end of the retention within ClickHouse's Date, which ends in 2149.
const maxDays = 36_500

// CheckDays reports a retention that is out of range.
func CheckDays(days int) error {
	if days < 0 || days > maxDays {
		return fmt.Errorf("ttl: %d days: write 1d to %dd, or 0 to keep records for ever", days, maxDays)
	}
	return nil
}

// checkName refuses what could be misread even between quotes. Slash and braces have a
// meaning in the paths of replicated tables.
func checkName(option, name string) error {
	odd := strings.IndexFunc(name, func(r rune) bool { return unreadable(r) || strings.ContainsRune("`'\"\\/{}", r) })
	switch {
	case name == "":
		return fmt.Errorf("%s: the name is empty", option)
	case len(name) > 200:
		return fmt.Errorf("%s: the name has %d bytes: 200 at most", option, len(name))
	case odd >= 0:
		return fmt.Errorf("%s: %q: quotes, slashes, backslashes, braces and control characters cannot be used in a name", option, name)
	}
	return nil
}

// unreadable reports what an administrator who reads a statement does not see.
func unreadable(r rune) bool { return !unicode.IsPrint(r) || r == utf8.RuneError }

// fixedNames are the names of all tables, views and dictionaries except the log.
func (o Options) fixedNames() (names []string) {
	for _, a := range aggregates {
		names = append(names, a.name, a.view())
		if o.Cluster != "" {
			names = append(names, o.Local(a.name))
		}
	}
	for _, d := range dictionaries {
		names = append(names, d.name)
	}
	return names
}

// Statements returns what creates database, tables, views and dictionaries, in order.
// Each can be repeated: what exists is not changed.
//
// The aggregates keep dnsmonster's names whatever the log is called, because dashboards
// read them by these names. So one database has one log: another log needs another
// database.
func Statements(o Options) (list []Statement) {
	add := func(name, format string, args ...any) {
		list = append(list, Statement{name, strings.TrimSpace(fmt.Sprintf(format, args...))})
	}
	if o.Database != "default" {
		add(o.Database, "CREATE DATABASE IF NOT EXISTS %s%s", identifier(o.Database), o.onCluster())
	}
	if o.Layout == Dnsmonster {
		o.dnsmonster(add)
	} else {
		o.ours(add)
	}
	if o.Cluster != "" {
		o.distributed(add)
	}
	o.dictionaries(add)
	return list
}

// adder appends a statement to a list.
type adder func(name, format string, args ...any)

// Script is the text of statements for clickhouse-client, which runs them one by one.
func Script(list []Statement) string {
	var b strings.Builder
	for i, s := range list {
		if i > 0 {
			b.WriteByte('\n')
		}
		b.WriteString(s.SQL + ";\n")
	}
	return b.String()
}

// table is the full name of a table that is created on each server.
func (o Options) table(name string) string {
	return identifier(o.Database) + "." + identifier(o.Local(name))
}

// shared is the full name of an object that has no local variant.
func (o Options) shared(name string) string {
	return identifier(o.Database) + "." + identifier(name)
}

// identifier quotes a name.
func identifier(name string) string {
	return "`" + strings.NewReplacer("\\", "\\\\", "`", "\\`").Replace(name) + "`"
}

// literal quotes a text.
func literal(text string) string {
	return "'" + strings.NewReplacer("\\", "\\\\", "'", "\\'").Replace(text) + "'"
}

// Aggregates returns the names of the aggregates on each server.
func (o Options) Aggregates() (names []string) {
	for _, a := range aggregates {
		names = append(names, o.Local(a.name))
	}
	return names
}
