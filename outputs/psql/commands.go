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
		Usage: "create the tables in PostgreSQL that do not exist",
		Description: `Connects to --psqlendpoint and creates the table of the records, its index by time, and the table with the
keys of batches, which keeps a batch from being stored twice. What exists is not changed, so the command
can be repeated at any time. Exit status: 0 if everything exists at the end, 1 if something has to be
repaired first, 2 if no server answers.

EXAMPLES:
   dnsmonster-sensor postgres init --psqluser sensor \
       --psqlendpoint postgres://admin@db.example.org/dns
   dnsmonster-sensor postgres init --config /etc/dnsmonster.ini --timescale`,
		Flags:  append(a.o.tableFlags(), a.creationFlags()...),
		Action: func(c *cli.Context) error { return a.Init(c.Context, c.App.Writer) },
	}
}

func (a *Admin) checkCommand() *cli.Command {
	return &cli.Command{
		Name:  "check",
		Usage: "check whether records can be written to PostgreSQL",
		Description: `Connects to each address of --psqlendpoint as the sensor would, and reports on server, TLS, tables,
columns and rights. Each problem comes with the statement or option that solves it. Writes nothing. Exit
status: 0 if records can be written, 1 if something has to be repaired, 2 if a server does not answer.

EXAMPLES:
   dnsmonster-sensor postgres check --config /etc/dnsmonster.ini
   dnsmonster-sensor postgres check \
       --psqlendpoint postgres://sensor:secret@db.example.org/dns`,
		Flags:  a.o.tableFlags(),
		Action: func(c *cli.Context) error { return a.Check(c.Context, c.App.Writer) },
	}
}

func (a *Admin) sqlCommand() *cli.Command {
	return &cli.Command{
		Name:  "sql",
		Usage: "print the SQL statements that create the tables",
		Description: `Prints the statements that create the tables, and with --psqluser those that grant the sensor's role its
rights. An administrator can read them and run them. The command does not connect to a server.

EXAMPLES:
   dnsmonster-sensor postgres sql --psqluser sensor |
       psql --single-transaction postgres://admin@db.example.org/dns
   dnsmonster-sensor postgres sql --psqltable logs.dns --timescale`,
		Flags:  append(a.o.tableFlags(), a.creationFlags()...),
		Action: func(c *cli.Context) error { return a.Script(printable.Unwrap(c.App.Writer)) },
	}
}

func (a *Admin) creationFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "psqluser", Destination: &a.User, Usage: "`ROLE` of the sensor, which is granted the rights that it needs: to insert records, and to select, insert and delete keys of batches"},
		&cli.BoolFlag{Name: "timescale", Destination: &a.Timescale, Usage: "make the table of the records a TimescaleDB hypertable, partitioned by packettime"},
	}
}
