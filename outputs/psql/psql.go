// Package psql writes rows to PostgreSQL, each block in one transaction with a
// key of its own, so that an answer that gets lost doubles nothing.
package psql

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/urfave/cli/v2"

	"dnsmonster-sensor/outputs"
	"dnsmonster-sensor/userspace/account"
)

// Output is a table in PostgreSQL.
type Output struct {
	outputs.Basics
	endpoint  string
	table     string
	fullQuery bool

	mu   sync.Mutex
	dest *destination // nil: the endpoint has not been read yet

	warned      atomic.Bool   // of a connection in the clear
	doubtPeriod time.Duration // how long a table that refuses all of a block is taken to be wrong, and not the block

	answered              answeredKeys
	clamped, alreadyThere atomic.Uint64
}

// New returns an output that is switched off.
func New() *Output {
	return &Output{Basics: outputs.NewBasics("psql"), doubtPeriod: defaultDoubtPeriod}
}

// Flags declares the options.
func (o *Output) Flags() []cli.Flag {
	flags := []cli.Flag{
		o.TypeFlag("DNSMONSTER_PSQLOUTPUTTYPE", "for PostgreSQL"),
		o.WorkersFlag("DNSMONSTER_PSQLWORKERS", 1, "`NUMBER` of connections that write at the same time; with 1 rows keep the order of the capture"),
	}
	flags = append(flags, o.BatchFlags(
		"DNSMONSTER_PSQLBATCHSIZE", 1, "`NUMBER` of records in a transaction. With 1, as many as have come in while the server was busy: records are there at once, and nothing piles up",
		"DNSMONSTER_PSQLBATCHDELAY", 0,
	)...)
	flags = append(flags,
		o.TimeoutFlag("DNSMONSTER_PSQLBATCHTIMEOUT", 5*time.Second),
		&cli.BoolFlag{
			Category: o.Section(), Name: "psqlsavefullquery", EnvVars: []string{"DNSMONSTER_PSQLSAVEFULLQUERY"}, Destination: &o.fullQuery,
			Usage: "put the whole record as JSON into the column fullquery",
		},
	)
	return append(flags, o.tableFlags()...)
}

// tableFlags are the options that say where the table is.
func (o *Output) tableFlags() []cli.Flag {
	return []cli.Flag{
		&outputs.SecretFlag{FileEnv: "DNSMONSTER_PSQLENDPOINTFILE", StringFlag: cli.StringFlag{
			Category: o.Section(), Name: "psqlendpoint", EnvVars: []string{"DNSMONSTER_PSQLENDPOINT", "DNSMONSTER_PSQLOUTPUTENDPOINT"}, Destination: &o.endpoint,
			Usage: "`URI` of the database: postgres://user:password@host:5432/database?sslmode=verify-full; " +
				"several hosts with commas between are ways to the same database, the first that works is taken",
		}},
		&cli.StringFlag{
			Category: o.Section(), Name: "psqltable", EnvVars: []string{"DNSMONSTER_PSQLTABLE"}, Value: "DNS_LOG", Destination: &o.table,
			Usage: "`TABLE` of the records, or schema.table, written without quotes: upper and lower case are the same",
		},
	}
}

// Settings checks the options.
func (o *Output) Settings() (outputs.Settings, error) {
	s, err := o.Basics.Settings()
	s.RetryMax = 10 * time.Second
	s.Grow = o.BatchSize == 1 // the default, one record in a transaction, is slow; a size that somebody chose is obeyed
	if o.IsOff() {
		return s, nil
	}
	_, wrongTable := o.identifier()
	_, wrongEndpoint := o.config()
	return s, errors.Join(err, wrongTable, wrongEndpoint)
}

// isName tells whether s is an identifier that can be written without quotes,
// and leaves room for what is put behind it.
func isName(s string) bool {
	const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_"
	return s != "" && len(s) <= 56 && strings.IndexByte(letters, s[0]) >= 0 && strings.Trim(s, letters+"0123456789$") == ""
}

// identifier is the table's name as the server folds it.
func (o *Output) identifier() (pgx.Identifier, error) {
	parts := strings.Split(strings.ToLower(o.table), ".")
	for _, p := range parts {
		if len(parts) > 2 || !isName(p) {
			return nil, fmt.Errorf("psqltable: %q is not a name as SQL takes it without quotes, nor schema.table of such", o.table)
		}
	}
	return parts, nil
}

// prepareTable reads the table, and makes what is missing, unless it was there
// before: a table that somebody drops is somebody's to make again.
func (o *Output) prepareTable(ctx context.Context, conn *pgconn.PgConn, made *atomic.Bool) (*tableDef, error) {
	id, err := o.identifier()
	if err != nil {
		return nil, outputs.Permanent(err)
	}
	if !made.Load() {
		if err := createTables(ctx, conn, id, false, func(table string) { o.Log().Info("made a table", "table", table) }); err != nil {
			return nil, err
		}
	}
	l, err := readTableDef(ctx, conn, id)
	if err != nil {
		return nil, err
	}
	if made.CompareAndSwap(false, true) && len(l.missing) > 0 {
		o.Log().Info("the table lacks columns, which are left out", "table", l.name(), "columns", strings.Join(l.missing, ", "))
	}
	return l, nil
}

// Check connects once, and makes the tables.
func (o *Output) Check(ctx context.Context) error {
	s, err := o.connect(ctx)
	if err != nil {
		return fmt.Errorf("psql: %w", err)
	}
	closeQuickly(s.conn)
	return nil
}

// Open makes a writer. What is wrong with the options, or with the database, may
// be put right while the sensor runs: no error here is for good.
func (o *Output) Open(ctx context.Context) (outputs.Writer, error) {
	s, err := o.connect(ctx)
	if err != nil {
		return nil, transient{err}
	}
	return &writer{o: o, session: s, enc: newRowEncoder(o)}, nil
}

// transient hides that an error is marked as permanent.
type transient struct{ error }

// Meters are numbers beside the ledgers.
func (o *Output) Meters() []account.Line {
	var moves uint64
	if d, err := o.destination(); err == nil {
		moves = d.addresses.Switches()
	}
	return []account.Line{
		{Name: "address_changes", Value: moves},               // to another address, and back
		{Name: "clamped", Value: o.clamped.Load()},            // values cut to what their column takes
		{Name: "already_there", Value: o.alreadyThere.Load()}, // blocks whose first answer was lost
	}
}
