// Package psql writes records to PostgreSQL. Each block is one transaction with a key
// of its own, so that a block whose answer was lost is not stored twice.
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
	dest *destination // nil: the endpoint has not been parsed yet

	warned      atomic.Bool   // about an unencrypted connection
	doubtPeriod time.Duration // see doubt

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
		o.WorkersFlag("DNSMONSTER_PSQLWORKERS", 1, "`NUMBER` of connections that write at the same time. With 1, rows are in the order of the capture"),
	}
	flags = append(flags, o.BatchFlags(
		"DNSMONSTER_PSQLBATCHSIZE", 1, "`NUMBER` of records in a transaction. With 1, records are stored at once: a transaction takes all records that have arrived while the server was busy",
		"DNSMONSTER_PSQLBATCHDELAY", 0,
	)...)
	flags = append(flags,
		o.TimeoutFlag("DNSMONSTER_PSQLBATCHTIMEOUT", 5*time.Second),
		&cli.BoolFlag{
			Category: o.Section(), Name: "psqlsavefullquery", EnvVars: []string{"DNSMONSTER_PSQLSAVEFULLQUERY"}, Destination: &o.fullQuery,
			Usage: "also store the whole record as JSON, in the column fullquery",
		},
	)
	return append(flags, o.tableFlags()...)
}

// tableFlags are the options that say where the table is.
func (o *Output) tableFlags() []cli.Flag {
	return []cli.Flag{
		&outputs.SecretFlag{FileEnv: "DNSMONSTER_PSQLENDPOINTFILE", StringFlag: cli.StringFlag{
			Category: o.Section(), Name: "psqlendpoint", EnvVars: []string{"DNSMONSTER_PSQLENDPOINT", "DNSMONSTER_PSQLOUTPUTENDPOINT"}, Destination: &o.endpoint,
			Usage: "`URI` of the database, such as postgres://user:password@host:5432/dns; add ?sslmode=verify-full for TLS. " +
				"Several hosts of the same database are separated by commas; the first that works is used",
		}},
		&cli.StringFlag{
			Category: o.Section(), Name: "psqltable", EnvVars: []string{"DNSMONSTER_PSQLTABLE"}, Value: "DNS_LOG", Destination: &o.table,
			Usage: "`TABLE` of the records, or schema.table, without quotes. Case does not matter",
		},
	}
}

// Settings checks the options.
func (o *Output) Settings() (outputs.Settings, error) {
	s, err := o.Basics.Settings()
	s.RetryMax = 10 * time.Second
	s.Grow = o.BatchSize == 1 // one record in a transaction, the default, is slow; a size that a user chose is kept
	if o.IsOff() {
		return s, nil
	}
	_, wrongTable := o.identifier()
	_, wrongEndpoint := o.config()
	return s, errors.Join(err, wrongTable, wrongEndpoint)
}

// isName reports whether s is an identifier that needs no quotes and leaves room for
// suffixes.
func isName(s string) bool {
	const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_"
	return s != "" && len(s) <= 56 && strings.IndexByte(letters, s[0]) >= 0 && strings.Trim(s, letters+"0123456789$") == ""
}

// identifier is the name of the table as the server folds it.
func (o *Output) identifier() (pgx.Identifier, error) {
	parts := strings.Split(strings.ToLower(o.table), ".")
	for _, p := range parts {
		if len(parts) > 2 || !isName(p) {
			return nil, fmt.Errorf("psqltable: %q is not an SQL name that needs no quotes, nor schema.table of such names", o.table)
		}
	}
	return parts, nil
}

// prepareTable reads the definition of the table. It creates missing tables unless
// they existed before: a table that was dropped is not created again.
func (o *Output) prepareTable(ctx context.Context, conn *pgconn.PgConn, existed *atomic.Bool) (*tableDef, error) {
	id, err := o.identifier()
	if err != nil {
		return nil, outputs.Permanent(err)
	}
	if !existed.Load() {
		if err := createTables(ctx, conn, id, false, func(table string) { o.Log().Info("created a table", "table", table) }); err != nil {
			return nil, err
		}
	}
	def, err := readTableDef(ctx, conn, id)
	if err != nil {
		return nil, err
	}
	if existed.CompareAndSwap(false, true) && len(def.missing) > 0 {
		o.Log().Info("the table lacks columns, which are left out", "table", def.name(), "columns", strings.Join(def.missing, ", "))
	}
	return def, nil
}

// Describe names the table and the servers.
func (o *Output) Describe() string {
	d, err := o.destination()
	if err != nil { // Settings has found it
		return o.Name()
	}
	return o.DescribeAt(strings.ToLower(o.table) + " at " + strings.Join(d.names, ", "))
}

// Check connects once and creates missing tables.
func (o *Output) Check(ctx context.Context) error {
	s, err := o.connect(ctx)
	if err != nil {
		return fmt.Errorf("psql: %w", err)
	}
	closeQuickly(s.conn)
	return nil
}

// Open returns a writer. Wrong options and problems of the database can be corrected
// while the sensor runs, so no error is permanent.
func (o *Output) Open(ctx context.Context) (outputs.Writer, error) {
	s, err := o.connect(ctx)
	if err != nil {
		return nil, transient{err}
	}
	return &writer{o: o, session: s, enc: newRowEncoder(o)}, nil
}

// transient is an error without its mark as permanent.
type transient struct{ error }

// Meters returns counters beside the ledgers.
func (o *Output) Meters() []account.Line {
	var switches uint64
	if d, err := o.destination(); err == nil {
		switches = d.addresses.Switches()
	}
	return []account.Line{
		{Name: "address_changes", Value: switches},            // to another address, and back
		{Name: "clamped", Value: o.clamped.Load()},            // values changed to what their column holds
		{Name: "already_there", Value: o.alreadyThere.Load()}, // blocks whose first answer was lost
	}
}
