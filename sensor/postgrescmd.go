package sensor

import (
	"context"
	"errors"
	"log/slog"
	"os/signal"
	"syscall"

	"github.com/urfave/cli/v2"

	"dnsmonster-sensor/outputs"
	"dnsmonster-sensor/outputs/psql"
	"dnsmonster-sensor/outputs/visible"
	"dnsmonster-sensor/sensor/config"
)

// postgresOptions are those of one of the commands.
type postgresOptions struct {
	out     *psql.Output
	admin   *psql.Admin
	skipTLS bool
}

func newPostgres() *postgresOptions {
	out := psql.New()
	return &postgresOptions{out: out, admin: out.Admin()}
}

func postgresCommand() *cli.Command {
	init, check, sql := newPostgres(), newPostgres(), newPostgres()
	return &cli.Command{
		Name:  "postgres",
		Usage: "make and check the tables of the PostgreSQL output",
		Subcommands: []*cli.Command{{
			Name:  "init",
			Usage: "make the tables in PostgreSQL, where they are missing",
			Description: `Connects as --psqlendpoint says and makes the table of the records, its index by time, and the
table of the keys of blocks, by which a block that is sent again is recognised. What is there stays as
it is: it can be run again at any time. Exit status 0 if all is there at the end, 1 if something has to
be put right before, 2 if no server answers.

EXAMPLES:
   dnsmonster-sensor postgres init --psqlendpoint postgres://admin@db.example.org/dns --psqluser sensor
   dnsmonster-sensor postgres init --config /etc/dnsmonster.ini --timescale`,
			Flags:  append(append(init.place(), init.making()...), init.file()...),
			Action: init.init,
		}, {
			Name:  "check",
			Usage: "say whether records can be written to PostgreSQL, and what mends it if not",
			Description: `Connects to each address of --psqlendpoint as the sensor would, and says what it finds: server, TLS,
tables, columns, rights. Each problem comes with the statement or option that mends it. Writes nothing.
Exit status 0 if records can be written, 1 if something has to be put right, 2 if a server does not
answer.

EXAMPLES:
   dnsmonster-sensor postgres check --config /etc/dnsmonster.ini
   dnsmonster-sensor postgres check --psqlendpoint 'postgres://sensor:secret@db1,db2/dns?sslmode=verify-full'`,
			Flags:  append(check.place(), check.file()...),
			Action: check.check,
		}, {
			Name:  "sql",
			Usage: "print the statements that make the tables and give a user the rights of a sensor",
			Description: `For somebody who has the rights to run them. Connects to nothing.

EXAMPLES:
   dnsmonster-sensor postgres sql --psqluser sensor | psql --single-transaction postgres://admin@db.example.org/dns
   dnsmonster-sensor postgres sql --psqltable logs.dns --timescale`,
			Flags:  append(append(sql.place(), sql.making()...), sql.file()...),
			Action: sql.sql,
		}},
		Action: func(c *cli.Context) error {
			return usageError("postgres: use dnsmonster-sensor postgres init, check or sql")
		},
	}
}

// place says where the tables are.
func (o *postgresOptions) place() []cli.Flag {
	return config.WithSecretFiles(append(o.out.Place(), skipTLSFlag(&o.skipTLS)))
}

func (o *postgresOptions) making() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "psqluser", Destination: &o.admin.User, Usage: "`ROLE` that gets the rights of a sensor: to add rows, and to read, add and delete keys of blocks"},
		&cli.BoolFlag{Name: "timescale", Destination: &o.admin.Timescale, Usage: "make the table of the records a hypertable of TimescaleDB, by its column packettime"},
	}
}

func (o *postgresOptions) file() []cli.Flag {
	return []cli.Flag{&cli.StringFlag{Name: "config", EnvVars: []string{"DNSMONSTER_CONFIG"}, Usage: "configuration `FILE` to read; what is not about PostgreSQL has no effect"}}
}

func (o *postgresOptions) init(c *cli.Context) error {
	return o.do(c, "init", func(ctx context.Context) error { return o.admin.Init(ctx, c.App.Writer) })
}

func (o *postgresOptions) check(c *cli.Context) error {
	return o.do(c, "check", func(ctx context.Context) error { return o.admin.Check(ctx, c.App.Writer) })
}

func (o *postgresOptions) sql(c *cli.Context) error {
	return o.do(c, "sql", func(context.Context) error { return o.admin.Script(visible.Raw(c.App.Writer)) })
}

// do gives an error the exit status that says whether somebody has to mend
// something, or no server answers.
func (o *postgresOptions) do(c *cli.Context, name string, work func(context.Context) error) error {
	if c.Args().Present() {
		return usageError("postgres %s takes no arguments: what is %q?", name, shown(c.Args().First()))
	}
	process := processOptions{level: 2, format: "text"}
	log, _ := process.logger(c.App.ErrWriter, nil)
	if o.skipTLS {
		log.Warn("skiptlsverification: certificates are not checked")
	}
	o.out.Use(outputs.Common{SkipVerify: o.skipTLS, Log: slog.New(slog.DiscardHandler)})
	ctx, cancel := signal.NotifyContext(c.Context, syscall.SIGINT, syscall.SIGTERM)
	defer cancel()
	err := work(ctx)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, outputs.ErrPermanent):
		return &exitError{exitUsage, err}
	}
	return &exitError{exitFailure, err}
}
