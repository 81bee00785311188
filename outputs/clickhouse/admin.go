package clickhouse

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"dnsmonster-sensor/outputs"
	"dnsmonster-sensor/outputs/clickhouse/schema"
	"dnsmonster-sensor/outputs/clickhouse/server"
	"dnsmonster-sensor/outputs/printable"
)

// admin does the work of the commands.
type admin struct {
	o              *Output
	cluster        string
	layout         string
	ttl            string
	ttlGiven       bool // it is not the default
	dictionaryUser string
	grants         bool // print a sensor's rights
	setup          bool // print those of whoever runs init
	grow           bool
	alter          bool
}

// adminTimeout bounds the work of a command on one server. Statements of a cluster wait for
// all of its servers.
const adminTimeout = 3 * time.Minute

// defaultUser is the user of a server that is asked without a name.
const defaultUser = "default"

// connectTimeout bounds how long a server may take to answer.
const connectTimeout = 10 * time.Second

// options returns those of the schema, or all that is wrong with the command's, with what
// the caller knows to be wrong.
func (a *admin) options(wrong error) (schema.Options, error) {
	set := &a.o.set
	o := schema.Options{Database: set.database, Table: set.table, Cluster: cmp.Or(a.cluster, set.cluster)}
	errs := []error{wrong}
	switch a.layout {
	case "", "sensor":
	case "dnsmonster":
		o.Layout = schema.Dnsmonster
	default:
		errs = append(errs, fmt.Errorf("layout: %q is not one of sensor, dnsmonster", a.layout))
	}
	if a.layout != "" || a.ttl != "" { // the command creates tables
		days, err := parseDays(a.ttl)
		errs = append(errs, err)
		o.TTLDays = days
	}
	if a.dictionaryUser != defaultUser {
		o.DictionaryUser = a.dictionaryUser
	}
	if errs[0] == nil { // names that are wrong anywhere are wrong here, too
		errs = append(errs, o.Check())
	}
	if err := errors.Join(errs...); err != nil {
		return o, outputs.Permanent(err)
	}
	set.cluster = o.Cluster
	return o, nil
}

// parseDays reads a retention such as 90d, or 0.
func parseDays(text string) (int, error) {
	days, err := strconv.Atoi(strings.TrimSuffix(text, "d"))
	if err != nil {
		return 0, fmt.Errorf("ttl: %q is not a number of days: write 90d, or 0 to keep records for ever", text)
	}
	return days, nil
}

// script prints statements.
func (a *admin) script(w io.Writer) error {
	o, err := a.options(a.o.set.checkNames())
	if err != nil {
		return err
	}
	list, err := a.statements(o)
	if err != nil {
		return outputs.Permanent(err)
	}
	_, err = io.WriteString(w, schema.Script(list))
	return err
}

func (a *admin) statements(o schema.Options) ([]schema.Statement, error) {
	given := 0
	for _, on := range []bool{a.grants, a.setup, a.grow} {
		if on {
			given++
		}
	}
	user := a.o.set.login.Username
	switch {
	case given > 1:
		return nil, errors.New("--grants, --initgrants and --grow exclude each other: give one of them")
	case a.grow && o.Cluster == "":
		return nil, errors.New("grow: set the name of the cluster with --cluster")
	case a.grow:
		return schema.Grow(o), nil
	case a.grants:
		return schema.Grants(o, user), schema.CheckUser(user)
	case a.setup:
		return schema.InitGrants(o, user), schema.CheckUser(user)
	}
	return schema.Statements(o), nil
}

// init creates what is missing.
func (a *admin) init(ctx context.Context, w io.Writer) error {
	o, err := a.options(a.o.set.check())
	if err != nil {
		return err
	}
	conn, err := a.connect(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := tooOld(conn.Server()); err != nil {
		return err
	}
	if err := a.fits(ctx, conn, o); err != nil {
		return err
	}
	if err := a.run(ctx, conn, w, "creating", schema.Statements(o)); err != nil {
		return err
	}
	if a.ttlGiven {
		if err := a.noteRetention(ctx, conn, w, o); err != nil {
			return err
		}
	}
	noteDictionaries(ctx, conn, w, o)
	return nil
}

// noteRetention says so if the log was there already, with another retention.
func (a *admin) noteRetention(ctx context.Context, conn *server.Conn, w io.Writer, o schema.Options) error {
	existing, err := a.tables(ctx, conn, o)
	if err != nil {
		return err
	}
	if ttl, other := schema.Keeps(o, existing); other {
		fmt.Fprintf(w, "note: %s was there already, and keeps its retention (%s): `dnsmonster-sensor clickhouse ttl %s` changes it\n", o.Local(o.Table), printable.OneLine(cmp.Or(ttl, "for ever")), a.ttl)
	}
	return nil
}

// noteDictionaries says so if the server cannot load the dictionaries: it finds that out
// when they are first used. It comes last: an error, also for want of the right dictGet,
// ends the connection.
func noteDictionaries(ctx context.Context, conn *server.Conn, w io.Writer, o schema.Options) {
	_, err := conn.Query(ctx, "SELECT dictGet("+quoted(o.Database+".dns_type")+", 'Name', toUInt64(1))")
	var said *server.Error
	if errors.As(err, &said) && said.Name == "AUTHENTICATION_FAILED" {
		why, _, _ := strings.Cut(said.Message, ": In scope ")
		fmt.Fprintf(w, "note: the server cannot load the dictionaries, which dashboards need: %s: drop them, and run init with --dictionaryuser: docs/clickhouse.md, the tables\n", why)
	}
}

// tooOld refuses a server that understands none of the statements.
func tooOld(i server.Info) error {
	if i.Settings {
		return nil
	}
	return outputs.Permanent(fmt.Errorf("ClickHouse %s is too old for the statements of this command: it has no codecs, DateTime64, IPv6, LowCardinality and TTL: update the server, or create a table of older types by hand: docs/clickhouse.md, old servers", printable.OneLine(i.Version)))
}

// fits refuses what init would leave half done: a database of the other layout, since our
// views add up the log's weights, into tables of their own; and views of another log.
func (a *admin) fits(ctx context.Context, conn *server.Conn, o schema.Options) error {
	existing, err := a.tables(ctx, conn, o)
	if err == nil {
		err = clusterIsNamed(o, existing)
	}
	if err != nil {
		return err
	}
	r, err := conn.Query(ctx, schema.ViewsQuery(o))
	if err != nil {
		return a.o.explain(err)
	}
	views := schema.Views(r.Rows)
	if r, err = conn.Query(ctx, schema.ColumnsQuery(o)); err != nil {
		return a.o.explain(err)
	}
	const use = "to create what is missing in dnsmonster's layout, use --layout=dnsmonster; for the sensor's own, set another --clickhousedatabase"
	if o.Layout == schema.Ours {
		for _, v := range views {
			if slices.Contains(o.Aggregates(), v.Name) {
				return outputs.Permanent(fmt.Errorf("database %s has a view %s, as in dnsmonster's layout, where the sensor's own has a table: %s", o.Database, v.Name, use))
			}
		}
		if why := schema.OtherLayout(o, r.Rows); why != "" {
			return outputs.Permanent(fmt.Errorf("%s: %s", why, use))
		}
	} else if schema.IsOurs(o, r.Rows) {
		return outputs.Permanent(fmt.Errorf("table %s.%s is of the sensor's own layout: leave out --layout, or set another --clickhousedatabase", o.Database, o.Local(o.Table)))
	}
	if name := schema.OtherLog(o, views); name != "" {
		fix := "set another --clickhousedatabase"
		if o.Cluster != "" {
			fix += "; `clickhouse sql --grow` prints what makes the tables of one server those of a cluster"
		}
		return outputs.Permanent(fmt.Errorf("view %s.%s does not sum up %s, but another table, and a database has the aggregates of one: %s", o.Database, name, o.Local(o.Table), fix))
	}
	return nil
}

// changeTTL changes the retention of all tables that exist.
func (a *admin) changeTTL(ctx context.Context, w io.Writer, args []string) error {
	if len(args) != 1 {
		return outputs.Permanent(errors.New("one number of days is needed, such as: dnsmonster-sensor clickhouse ttl 90d"))
	}
	days, err := parseDays(args[0])
	if err == nil {
		err = schema.CheckDays(days)
	}
	if err != nil {
		return outputs.Permanent(err)
	}
	o, err := a.options(a.o.set.check())
	if err != nil {
		return err
	}
	conn, err := a.connect(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := tooOld(conn.Server()); err != nil {
		return err
	}
	if o, err = existingNames(ctx, conn, o); err != nil {
		return a.o.explain(err)
	}
	existing, err := a.tables(ctx, conn, o)
	if err == nil {
		err = clusterIsNamed(o, existing)
	}
	if err != nil {
		return err
	}
	if !slices.ContainsFunc(existing, func(t schema.Table) bool { return t.Name == o.Local(o.Table) }) { // mistyped, or on no cluster
		return outputs.Permanent(fmt.Errorf("database %s has no table %s: nothing was changed: set another one with --clickhousetable, or create it with `dnsmonster-sensor clickhouse init`", o.Database, o.Local(o.Table)))
	}
	if name, ttl := schema.OwnRetention(o, existing); name != "" {
		return outputs.Permanent(fmt.Errorf("table %s has a TTL of another kind, which would be lost: nothing was changed: ALTER TABLE ... MODIFY TTL changes each table by hand; it is now: %s", printable.OneLine(name), printable.OneLine(ttl)))
	}
	list := schema.Retention(o, days, existing)
	if len(list) == 0 {
		fmt.Fprintln(w, "nothing to change: all tables keep their rows for ever")
	}
	return a.run(ctx, conn, w, "retention of", list)
}

// tables asks for the log and the aggregates that exist.
func (a *admin) tables(ctx context.Context, conn *server.Conn, o schema.Options) ([]schema.Table, error) {
	r, err := conn.Query(ctx, schema.TablesQuery(o, conn.Server().Revision >= schema.UUIDRevision))
	if err != nil {
		return nil, a.o.explain(err)
	}
	return schema.Tables(r.Rows), nil
}

// clusterIsNamed refuses the tables of a cluster as if they were those of one server.
func clusterIsNamed(o schema.Options, existing []schema.Table) error {
	if o.Cluster == "" && slices.ContainsFunc(existing, func(t schema.Table) bool { return t.Name == o.Table && t.Engine == "Distributed" }) {
		return outputs.Permanent(fmt.Errorf("table %s.%s is Distributed: set the name of its cluster with --cluster", o.Database, o.Table))
	}
	return nil
}

// existingNames returns the options with the names that a cluster's tables have.
func existingNames(ctx context.Context, conn *server.Conn, o schema.Options) (schema.Options, error) {
	o.Old = !conn.Server().Settings
	if o.Cluster == "" {
		return o, nil
	}
	r, err := conn.Query(ctx, schema.NamesQuery(o))
	if err != nil {
		return o, err
	}
	return schema.Names(o, r.Rows), nil
}

// run runs statements one by one, and says which.
func (a *admin) run(ctx context.Context, conn *server.Conn, w io.Writer, doing string, list []schema.Statement) error {
	ctx, cancel := context.WithTimeout(ctx, adminTimeout)
	defer cancel()
	for _, s := range list {
		fmt.Fprintf(w, "%s %s\n", doing, s.Name)
		err := conn.Exec(ctx, s.SQL)
		if err != nil && ctx.Err() == context.Canceled {
			return fmt.Errorf("interrupted at %s: run the command again: it does what is left", s.Name)
		}
		if err != nil {
			return fmt.Errorf("%s %s: %w", doing, s.Name, a.o.explain(err))
		}
	}
	return nil
}

// connect connects to the first address that answers. The database need not exist.
func (a *admin) connect(ctx context.Context) (*server.Conn, error) {
	hosts, err := a.o.set.hosts()
	if err != nil {
		return nil, outputs.Permanent(err)
	}
	var errs []error
	for _, h := range hosts {
		part, cancel := context.WithTimeout(ctx, connectTimeout)
		conn, err := a.o.dialDatabase(part, h, "")
		cancel()
		if err == nil {
			return conn, nil
		}
		errs = append(errs, a.o.explain(err))
	}
	return nil, joinAttempts(ctx, errs)
}

// quoted is a text as SQL. Names of options have no quotes in them.
func quoted(s string) string { return "'" + s + "'" }
