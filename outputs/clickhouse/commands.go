package clickhouse

import (
	"slices"

	"github.com/urfave/cli/v2"

	"dnsmonster-sensor/outputs/printable"
)

// Commands create and check the tables.
func (o *Output) Commands() []*cli.Command {
	a := &admin{o: o}
	return []*cli.Command{{
		Name:        "clickhouse",
		Usage:       "create and check the tables of the ClickHouse output",
		Subcommands: []*cli.Command{a.initCommand(), a.checkCommand(), a.ttlCommand(), a.sqlCommand()},
	}}
}

func (a *admin) initCommand() *cli.Command {
	return &cli.Command{
		Name:  "init",
		Usage: "create the tables that are missing in ClickHouse",
		Description: `Connects to --clickhouseaddress and creates the database, the table of the records, the tables and views
that sum them up per minute, and the dictionaries with the names of numbers. What exists is not changed,
so the command can be repeated at any time. On a cluster it creates all of them on each server, and
tables that read all shards. Exit status: 0 if everything exists at the end, 1 if something has to be
repaired first, 2 if no server answers.

EXAMPLES:
   dnsmonster-sensor clickhouse init --ttl 90d
   dnsmonster-sensor clickhouse init --config /etc/dnsmonster.ini --cluster main
   dnsmonster-sensor clickhouse init --clickhouseaddress db.example.org \
       --clickhouseusername admin --clickhousedatabase dns`,
		Flags: append(a.flags(), a.layoutFlags()...),
		Action: func(c *cli.Context) error {
			a.ttlGiven = c.IsSet("ttl")
			return a.init(c.Context, c.App.Writer)
		},
	}
}

func (a *admin) checkCommand() *cli.Command {
	return &cli.Command{
		Name:  "check",
		Usage: "check whether records can be written to ClickHouse",
		Description: `Connects to each server as the sensor would, and reports on the server, the table, what the table cannot
hold, whether it recognises repeated batches, and the aggregates. Each problem comes with the statement
or option that solves it. Writes nothing. Exit status: 0 if records can be written, 1 if something has to
be repaired, 2 if a server does not answer.

EXAMPLES:
   dnsmonster-sensor clickhouse check --config /etc/dnsmonster.ini
   dnsmonster-sensor clickhouse check --clickhouseaddress db.example.org --alter`,
		Flags: append(a.flags(), a.clusterFlag(), &cli.BoolFlag{
			Name: "alter", Destination: &a.alter,
			Usage: "also print the statements that add the columns which an existing table lacks. Senders that insert without naming columns, such as dnsmonster, cannot write to the longer table",
		}),
		Action: func(c *cli.Context) error { return a.check(c.Context, c.App.Writer) },
	}
}

func (a *admin) ttlCommand() *cli.Command {
	return &cli.Command{
		Name:  "ttl",
		Usage: "change how long ClickHouse keeps records",
		Description: `Changes the retention of the table of the records and of all tables that sum them up. ClickHouse deletes
what is older soon afterwards. 0 keeps everything for ever. Exit status: 0 if all of them are changed,
1 if something has to be repaired first, 2 if no server answers.

EXAMPLES:
   dnsmonster-sensor clickhouse ttl 90d --config /etc/dnsmonster.ini
   dnsmonster-sensor clickhouse ttl 0 --clickhouseaddress db.example.org`,
		ArgsUsage: "DAYS",
		Flags:     append(a.flags(), a.clusterFlag()),
		Action:    func(c *cli.Context) error { return a.changeTTL(c.Context, c.App.Writer, c.Args().Slice()) },
	}
}

func (a *admin) sqlCommand() *cli.Command {
	return &cli.Command{
		Name:  "sql",
		Usage: "print the SQL statements that create the tables",
		Description: `Prints the statements that init runs, so that an administrator can read them and run them. With --grants
it prints those that create a user with the rights of a sensor, and no more; with --initgrants, those that
create a user who can run init and ttl; with --grow, those that prepare the tables of one server for a
cluster. The command does not connect to a server.

EXAMPLES:
   dnsmonster-sensor clickhouse sql --ttl 90d | clickhouse-client --multiquery
   dnsmonster-sensor clickhouse sql --grants --clickhouseusername sensor
   dnsmonster-sensor clickhouse sql --initgrants --clickhouseusername admin
   dnsmonster-sensor clickhouse sql --cluster main --grow`,
		Flags: append(append(a.nameFlags(), a.layoutFlags()...), &cli.BoolFlag{
			Name: "grants", Destination: &a.grants, Usage: "print the statements that create the user --clickhouseusername with the least rights that a sensor needs",
		}, &cli.BoolFlag{
			Name: "initgrants", Destination: &a.setup, Usage: "print the statements that create the user --clickhouseusername with the rights that init and ttl need",
		}, &cli.BoolFlag{
			Name: "grow", Destination: &a.grow, Usage: "print the statements that turn the tables of one server into the local tables of a cluster, before init creates the rest: for that server alone, while no sensor writes",
		}),
		Action: func(c *cli.Context) error { return a.script(printable.Unwrap(c.App.Writer)) },
	}
}

func (a *admin) flags() []cli.Flag { return a.o.set.tableFlags(a.o.Section()) }

// nameFlags are those of flags that stand in statements: the others are for a connection.
func (a *admin) nameFlags() []cli.Flag {
	names := []string{"clickhouseusername", "clickhousedatabase", "clickhousetable", "clickhousecluster"}
	return slices.DeleteFunc(a.flags(), func(f cli.Flag) bool { return !slices.Contains(names, f.Names()[0]) })
}

func (a *admin) clusterFlag() cli.Flag {
	return &cli.StringFlag{Name: "cluster", Destination: &a.cluster, Usage: "the same as --clickhousecluster, in short: `NAME` of the cluster, as in system.clusters"}
}

func (a *admin) layoutFlags() []cli.Flag {
	return []cli.Flag{
		a.clusterFlag(),
		&cli.StringFlag{Name: "layout", Value: "sensor", Destination: &a.layout, Usage: "`LAYOUT` of the tables: sensor, or dnsmonster for exactly its 17 columns and its views"},
		&cli.StringFlag{Name: "dictionaryuser", Value: defaultUser, Destination: &a.dictionaryUser, Usage: "`NAME` of a user without a password: the server loads the dictionaries as this user"},
		&cli.StringFlag{Name: "ttl", Value: "30d", Destination: &a.ttl, Usage: "how long records are kept, in `DAYS` such as 90d; 0 for ever"},
	}
}
