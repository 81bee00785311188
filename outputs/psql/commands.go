package psql

import (
	"github.com/urfave/cli/v2"

	"dnsmonster-sensor/outputs/printable"
)

// Commands create and check the tables.
func (o *Output) Commands() []*cli.Command {
	a := o.Admin()
	return []*cli.Command{{
		Name:        "postgres",
		Usage:       "create and check the tables of the PostgreSQL output",
		Subcommands: []*cli.Command{a.initCommand(), a.checkCommand(), a.sqlCommand()},
	}}
}

func (a *Admin) initCommand() *cli.Command {
	return &cli.Command{
		Name:  "init",
		Usage: "create missing tables in PostgreSQL",
		Description: `Connects to --psqlendpoint and creates the table of the records, its index by time, and the table of the
keys of blocks, by which a repeated block is recognised. What exists is not changed, so it can be run
again at any time. Exit status 0 if everything exists at the end, 1 if something has to be repaired
first, 2 if no server answers.

EXAMPLES:
   dnsmonster-sensor postgres init --psqlendpoint postgres://admin@db.example.org/dns --psqluser sensor
   dnsmonster-sensor postgres init --config /etc/dnsmonster.ini --timescale`,
		Flags:  append(a.o.tableFlags(), a.creationFlags()...),
		Action: func(c *cli.Context) error { return a.Init(c.Context, c.App.Writer) },
	}
}

func (a *Admin) checkCommand() *cli.Command {
	return &cli.Command{
		Name:  "check",
		Usage: "check whether records can be written to PostgreSQL, and how to repair what prevents it",
		Description: `Connects to each address of --psqlendpoint as the sensor would, and reports what it finds: server, TLS,
tables, columns, rights. Each problem comes with the statement or option that repairs it. Writes nothing.
Exit status 0 if records can be written, 1 if something has to be repaired, 2 if a server does not
answer.

EXAMPLES:
   dnsmonster-sensor postgres check --config /etc/dnsmonster.ini
   dnsmonster-sensor postgres check --psqlendpoint 'postgres://sensor:secret@db1,db2/dns?sslmode=verify-full'`,
		Flags:  a.o.tableFlags(),
		Action: func(c *cli.Context) error { return a.Check(c.Context, c.App.Writer) },
	}
}

func (a *Admin) sqlCommand() *cli.Command {
	return &cli.Command{
		Name:  "sql",
		Usage: "print the statements that create the tables and grant a user the rights of a sensor",
		Description: `For an administrator to run. Does not connect to a server.

EXAMPLES:
   dnsmonster-sensor postgres sql --psqluser sensor | psql --single-transaction postgres://admin@db.example.org/dns
   dnsmonster-sensor postgres sql --psqltable logs.dns --timescale`,
		Flags:  append(a.o.tableFlags(), a.creationFlags()...),
		Action: func(c *cli.Context) error { return a.Script(printable.Unwrap(c.App.Writer)) },
	}
}

func (a *Admin) creationFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "psqluser", Destination: &a.User, Usage: "`ROLE` to grant the rights of a sensor: to insert rows, and to read, insert and delete keys of blocks"},
		&cli.BoolFlag{Name: "timescale", Destination: &a.Timescale, Usage: "make the table of the records a hypertable of TimescaleDB, by its column packettime"},
	}
}
