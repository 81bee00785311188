package clickhouse

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"dnsmonster-sensor/outputs"
	"dnsmonster-sensor/outputs/clickhouse/schema"
	"dnsmonster-sensor/outputs/clickhouse/server"
	"dnsmonster-sensor/outputs/clickhouse/table"
	"dnsmonster-sensor/outputs/printable"
	"dnsmonster-sensor/userspace/event"
)

// explain adds to an error how to repair it, and marks it as permanent if somebody has to
// repair it.
func (o *Output) explain(err error) error {
	if err == nil {
		return nil
	}
	permanent := server.Classify(err) == server.Setup || errors.Is(err, table.ErrNoTable)
	if advice := server.Advice(err, server.Target{User: o.set.login.Username, Database: o.set.database, Table: o.set.table}); advice != "" {
		err = fmt.Errorf("%w: %s", err, advice)
	}
	if permanent {
		err = outputs.Permanent(err)
	}
	return err
}

// warnings are what a user is told once.
type warnings struct{ expiry atomic.Bool }

// noteTable logs at the start what the table makes of records.
func (o *Output) noteTable(s *session) {
	log := o.Log().With("table", s.plan.Name(), "address", s.at.Name)
	switch list := s.plan.Missing; {
	case slices.Equal(list, ownColumns()):
		log.Info("the table has dnsmonster's columns, and those are written")
	case len(list) > 0:
		log.Info("the table lacks columns, which are left out", "columns", strings.Join(list, ", "))
	}
	if list := s.plan.Foreign; len(list) > 0 {
		log.Info("the table has columns that the sensor does not fill, and that have no DEFAULT", "columns", strings.Join(list, ", "))
	}
	if why, fix := loses(s.plan.Def); why != "" {
		log.Warn("records may be lost: "+why, "fix", fix)
	}
	if why, fix := doubles(s.conn.Server(), s.plan.Def); why != "" {
		log.Warn("a batch whose answer is lost may be stored twice: "+why, "fix", fix)
	}
}

// noteAggregates warns of aggregates that forget batches: they count a batch again that the
// log recognises. The sensor writes without the right to see them, too.
func (o *Output) noteAggregates(ctx context.Context, s *session) {
	i := s.conn.Server()
	if !i.Settings { // said already
		return
	}
	set, err := existingNames(ctx, s.conn, schema.Options{Database: o.set.database, Table: o.set.table, Cluster: o.set.cluster})
	if err != nil {
		o.Log().Debug("the names of the aggregates cannot be read", "address", s.at.Name, "error", err)
		return
	}
	r, err := s.conn.Query(ctx, schema.TablesQuery(set, i.Revision >= schema.UUIDRevision))
	if err != nil {
		o.Log().Debug("the aggregates cannot be read", "address", s.at.Name, "error", err)
		return
	}
	var names []string
	for _, st := range schema.Remember(set, schema.Tables(r.Rows)) {
		if st.Name != set.Local(set.Table) {
			names = append(names, st.Name)
		}
	}
	if len(names) > 0 {
		o.Log().Warn("aggregates may count a batch twice whose answer is lost", "tables", strings.Join(names, ", "), "fix", "`dnsmonster-sensor clickhouse check` prints the statements")
	}
}

// ownColumns are the names of the columns that dnsmonster's table lacks.
func ownColumns() (names []string) {
	for _, c := range table.Columns()[table.Dnsmonster:] {
		names = append(names, c.Name)
	}
	return names
}

// loses says why a table loses rows that it has acknowledged, and what helps. It is "" if
// it keeps them.
func loses(d *table.Def) (why, fix string) {
	const create = "create a table with `dnsmonster-sensor clickhouse init`"
	engine := "the table's engine is " + d.Engine
	switch family := strings.TrimPrefix(strings.TrimPrefix(d.Engine, "Replicated"), "Shared"); {
	case family != "MergeTree" && strings.HasSuffix(family, "MergeTree"):
		return engine + ", which makes one row of rows with the same " + printable.OneLine(d.SortingKey), create
	case family == "Null":
		return engine + ", which stores nothing: only views of it may do", create
	case family == "Memory":
		return engine + ", which is empty after a restart of the server", create
	case family == "Buffer":
		return engine + ", which has its rows in memory for a while", "set the table behind it with --clickhousetable"
	}
	return "", ""
}

// doubles says why a table does not recognise a repeated batch, and what helps. It is "" if
// the table does.
func doubles(i server.Info, d *table.Def) (why, fix string) {
	const create = "create the tables with `dnsmonster-sensor clickhouse init`"
	switch {
	case strings.HasPrefix(d.Engine, "Replicated"):
		return "", "" // by the token, or on old servers by the bytes
	case !i.Settings:
		return "ClickHouse " + i.Version + " knows no tokens, and recognises repeated batches only in Replicated tables", "update the server, or use Replicated tables"
	case !strings.HasSuffix(d.Engine, "MergeTree"):
		return "the table's engine is " + d.Engine + ", which recognises no repeated batches", create
	case d.DedupWindow == 0:
		return "the table's setting non_replicated_deduplication_window is 0", "ALTER TABLE " + d.Name() + " MODIFY SETTING non_replicated_deduplication_window = 10000"
	}
	return "", ""
}

// warnOfExpiry tells once that records are older than the table keeps them.
func (o *Output) warnOfExpiry(d *table.Def, b *event.Block) {
	days := d.LifeDays()
	if days == 0 || o.warned.expiry.Load() {
		return
	}
	var e event.Event
	if r := b.Reader(); !r.Next(&e) {
		return
	}
	at := time.Unix(0, e.Time)
	if time.Since(at) < time.Duration(days)*24*time.Hour || !o.warned.expiry.CompareAndSwap(false, true) {
		return
	}
	o.Log().Warn(fmt.Sprintf("records are older than the %d days that the table keeps them: ClickHouse deletes them soon after they are written", days),
		"table", d.Name(), "record", at.UTC().Format(time.RFC3339), "fix", fmt.Sprintf("`dnsmonster-sensor clickhouse ttl %dd` keeps them longer", int(time.Since(at)/(24*time.Hour))+days))
}

// noteTables opens a session with each shard, logs what their tables make of records, and
// asks whether they take an INSERT, with the settings that it will have.
// Its error joins those of the shards where nothing can be written; it is permanent if each
// of them is.
func (o *Output) noteTables(ctx context.Context, t *target) error {
	var errs []error
	for i, sh := range t.shards {
		part, cancel := outputs.ShareOfTime(ctx, len(t.shards)-i)
		s, err := o.open(part, sh, "", sh.addresses.TryEach)
		cancel()
		if err != nil {
			errs = append(errs, err)
			continue
		}
		if i == 0 || len(errs) == i { // the first that works speaks for all
			o.noteTable(s)
			o.noteAggregates(ctx, s)
		}
		if err := s.conn.CheckInsert(ctx, s.plan.InsertSQL(), writeSettings("check")); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", s.plan.Name(), o.explain(err)))
		}
		s.conn.Close()
	}
	if len(errs) == 0 {
		return nil
	}
	return joinAttempts(ctx, errs)
}
