// Package clickhouse writes records to ClickHouse. Each block is one INSERT with the block's
// id as its token, so that a block whose answer was lost is not stored twice.
//
//	block -> table.Encoder -> server.Conn.Insert -> answer -> verdict
//
// In: sealed blocks of the runner. Out: rows of a table, as that table is. The folders
// beside this file are the parts: server speaks to one server, table knows what a table
// holds and encodes rows for it, cluster reads which servers hold the same rows, schema
// writes the SQL that creates tables.
package clickhouse

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/urfave/cli/v2"

	"dnsmonster-sensor/outputs"
	"dnsmonster-sensor/outputs/clickhouse/table"
	"dnsmonster-sensor/outputs/columns"
	"dnsmonster-sensor/userspace/account"
	"dnsmonster-sensor/userspace/event"
)

// Output is a table on one server or on a cluster.
type Output struct {
	outputs.Basics
	set options

	mu     sync.Mutex
	target *target // nil: not yet known

	warned      warnings
	doubtPeriod time.Duration // see doubt
	maxTrials   int           // see sift.go

	clamped, splits, maybeDoubled atomic.Uint64
}

// New returns an output that is switched off.
func New() *Output {
	return &Output{Basics: outputs.NewBasics("clickhouse"), doubtPeriod: defaultDoubtPeriod, maxTrials: defaultMaxTrials}
}

// Flags declares the options.
func (o *Output) Flags() []cli.Flag {
	flags := []cli.Flag{
		o.TypeFlag("DNSMONSTER_CLICKHOUSEOUTPUTTYPE", "for ClickHouse"),
		o.WorkersFlag("DNSMONSTER_CLICKHOUSEWORKERS", 1, "`NUMBER` of connections that write at the same time"),
	}
	flags = append(flags, o.BatchFlags(
		"DNSMONSTER_CLICKHOUSEBATCHSIZE", 100_000, "`NUMBER` of records in a batch, which is one INSERT. ClickHouse works best with few large ones",
		"DNSMONSTER_CLICKHOUSEDELAY", 0,
	)...)
	flags = append(flags, o.TimeoutFlag("DNSMONSTER_CLICKHOUSETIMEOUT", 30*time.Second))
	flags = append(flags, o.set.writeFlags(o.Section())...)
	return append(flags, o.set.tableFlags(o.Section())...)
}

// batchBytes is room for 100,000 records of ordinary traffic.
const batchBytes = 32 << 20

// Settings checks the options.
func (o *Output) Settings() (outputs.Settings, error) {
	s, err := o.Basics.Settings()
	s.BatchBytes = batchBytes
	s.RetryMax = 10 * time.Second
	if o.IsOff() {
		return s, nil
	}
	return s, errors.Join(err, o.set.check())
}

// Columns lists what a table can have.
func (o *Output) Columns() []columns.Named { return table.Columns() }

// Describe names the table and the servers.
func (o *Output) Describe() string { return o.DescribeAt(o.set.describe()) }

// Check reads the table of each shard. What somebody has to repair first is permanent.
func (o *Output) Check(ctx context.Context) error {
	t, err := o.currentTarget(ctx)
	if err == nil {
		err = o.noteTables(ctx, t)
	}
	if err != nil {
		return fmt.Errorf("clickhouse: %w", err)
	}
	return nil
}

// Open returns a writer that has found a server to write to. A wrongly configured server
// can be repaired while the sensor runs, so no error is permanent.
func (o *Output) Open(ctx context.Context) (outputs.Writer, error) {
	w := newWriter(o)
	if _, err := w.session(ctx, event.ID{}); err != nil {
		return nil, transient{err}
	}
	return w, nil
}

// transient is an error without its mark as permanent.
type transient struct{ error }

// Meters returns counters beside the ledgers.
func (o *Output) Meters() []account.Line {
	return []account.Line{
		{Name: "address_changes", Value: o.addressChanges()},  // to another address, and back
		{Name: "clamped", Value: o.clamped.Load()},            // values changed to what their column holds
		{Name: "maybe_doubled", Value: o.maybeDoubled.Load()}, // records that may be in the table twice: see sift.go
		{Name: "split_batches", Value: o.splits.Load()},       // batches that took more than one INSERT
	}
}
