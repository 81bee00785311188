// Package table is a table as its server describes it, and the encoder that fills its
// columns from events.
//
// In: the server's description, and blocks of events. Out: columns in ClickHouse's native
// format, in buffers that are kept, filled without an allocation for each event; and what
// the table cannot hold. The package sends nothing but the queries of Read. Its tests
// compare with ch-go's columns and with ClickHouse itself.
package table

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"dnsmonster-sensor/outputs/clickhouse/server"
)

// Querier asks the server. server.Conn is one.
type Querier interface {
	Query(ctx context.Context, sql string) (*server.Result, error)
}

// Def is the definition of a table.
type Def struct {
	Database, Table string
	Columns         []ColumnDef
	Engine          string // such as ReplicatedMergeTree
	EngineFull      string // with its arguments and clauses; old servers name the arguments alone
	PartitionKey    string // an expression; "": none
	SortingKey      string
	TTL             string // an expression; "": none
	DedupWindow     int    // blocks whose tokens are remembered, of a table that is not replicated; 0: none
	ReplicaPath     string // where replicas agree, with macros replaced; "": not replicated
	Zone            string // of the server
}

// ColumnDef is a column as the server describes it. Default is DEFAULT, MATERIALIZED,
// ALIAS, EPHEMERAL, or "".
type ColumnDef struct{ Name, Type, Default string }

// Name is the table's full name as SQL.
func (d *Def) Name() string { return identifier(d.Database) + "." + identifier(d.Table) }

// TTLDays is how many days rows live, if the TTL is as simple as that.
func (d *Def) TTLDays() (days int, ok bool) {
	m := daysOfTTL.FindStringSubmatch(d.TTL)
	if m == nil {
		return 0, false
	}
	days, err := strconv.Atoi(m[1])
	return days, err == nil
}

// LifeDays is about how many days after its PacketTime a row is deleted. It is 0 if that is
// not known, or never.
func (d *Def) LifeDays() int {
	m := lifetime.FindStringSubmatch(d.TTL)
	if m == nil {
		return 0
	}
	n, err := strconv.Atoi(m[2])
	if err != nil {
		return 0
	}
	return n * map[string]int{"Day": 1, "Week": 7, "Month": 30, "Quarter": 91, "Year": 365}[m[1]]
}

var (
	lifetime    = regexp.MustCompile(`(?i:\bPacketTime\b)[^,+]*\+ toInterval(Day|Week|Month|Quarter|Year)\((\d{1,5})\)(?: DELETE)?$`)
	daysOfTTL   = regexp.MustCompile(`\+ toIntervalDay\((\d+)\)(?: DELETE)?$`)
	ttlClause   = regexp.MustCompile(`(?s)\bTTL (.*?)(?: SETTINGS .*)?$`)
	dedupWindow = regexp.MustCompile(`\bnon_replicated_deduplication_window = (\d+)`)
)

// ErrNoTable means that the server has no table of that name, or does not show it to this
// user.
var ErrNoTable = errors.New("there is no such table")

// Read reads the definition of a table. An empty database is the connection's.
func Read(ctx context.Context, q Querier, database, name string) (*Def, error) {
	d := &Def{Database: database, Table: name}
	r, err := q.Query(ctx, "SELECT currentDatabase(), timezone()")
	if err != nil {
		return nil, err
	}
	if row := cells(r, 2); row != nil {
		d.Zone = row[1]
		if database == "" {
			d.Database = row[0]
		}
	}
	where := " WHERE database = " + literal(d.Database) + " AND "
	if r, err = q.Query(ctx, "SELECT name, type, default_kind FROM system.columns"+where+"table = "+literal(name)); err != nil {
		return nil, err
	}
	for _, row := range r.Rows {
		if len(row) < 3 {
			return nil, fmt.Errorf("read the columns of table %s: the server answers with %d values for each, 3 are expected", d.Name(), len(row))
		}
		d.Columns = append(d.Columns, ColumnDef{row[0], row[1], row[2]})
	}
	if len(d.Columns) == 0 {
		return nil, fmt.Errorf("%w: %s: `dnsmonster-sensor clickhouse init` creates it; if it exists, GRANT SHOW ON %s.* to the user", ErrNoTable, d.Name(), identifier(d.Database))
	}
	return d, d.readEngine(ctx, q, where)
}

// cells is the only row of an answer, nil if there is none or it is shorter than n.
func cells(r *server.Result, n int) []string {
	if len(r.Rows) == 0 || len(r.Rows[0]) < n {
		return nil
	}
	return r.Rows[0]
}

func (d *Def) readEngine(ctx context.Context, q Querier, where string) error {
	r, err := q.Query(ctx, "SELECT engine, engine_full, partition_key, sorting_key FROM system.tables"+where+"name = "+literal(d.Table))
	if err != nil {
		return err
	}
	row := cells(r, 4)
	if row == nil { // it was dropped since, or the rights do not suffice
		return nil
	}
	d.Engine, d.EngineFull, d.PartitionKey, d.SortingKey = row[0], row[1], row[2], row[3]
	if m := ttlClause.FindStringSubmatch(d.EngineFull); m != nil {
		d.TTL = m[1]
	}
	if m := dedupWindow.FindStringSubmatch(d.EngineFull); m != nil {
		d.DedupWindow, _ = strconv.Atoi(m[1])
	}
	if !strings.HasPrefix(d.Engine, "Replicated") {
		return nil
	}
	if r, err = q.Query(ctx, "SELECT zookeeper_path FROM system.replicas"+where+"table = "+literal(d.Table)); err != nil {
		return err
	}
	if row := cells(r, 1); row != nil {
		d.ReplicaPath = row[0]
	}
	return nil
}

// Same reports whether both definitions have the same columns and the same key of
// partitions, so that rows are encoded alike.
func (d *Def) Same(other *Def) bool {
	return d.Name() == other.Name() && d.PartitionKey == other.PartitionKey && d.Zone == other.Zone && slices.Equal(d.Columns, other.Columns)
}

// hasKey reports whether a column is in one of the table's keys, so that the server does not
// change its type.
func (d *Def) hasKey(column string) bool {
	isLetter := func(r rune) bool { return r == '_' || unicode.IsLetter(r) || unicode.IsDigit(r) }
	words := strings.FieldsFunc(d.PartitionKey+" "+d.SortingKey, func(r rune) bool { return !isLetter(r) })
	return slices.Contains(words, column)
}

// location is the server's time zone, UTC if it is not known here.
func location(name string) *time.Location {
	if l, err := time.LoadLocation(name); err == nil {
		return l
	}
	return time.UTC
}
