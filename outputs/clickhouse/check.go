package clickhouse

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"dnsmonster-sensor/outputs"
	"dnsmonster-sensor/outputs/clickhouse/schema"
	"dnsmonster-sensor/outputs/clickhouse/table"
	"dnsmonster-sensor/outputs/printable"
)

// check writes to w what it finds on each server, what prevents records from being written,
// and how to repair it. Its error is permanent if something has to be repaired; any other
// error means that some server could not be checked.
func (a *admin) check(ctx context.Context, w io.Writer) error {
	o, err := a.options(a.o.set.check())
	if err != nil {
		return err
	}
	part, cancel := context.WithTimeout(ctx, connectTimeout)
	t, err := a.o.currentTarget(part)
	cancel()
	if err != nil {
		return err
	}
	broken, unreachable, servers := 0, 0, 0
	for _, sh := range t.shards {
		for i := range sh.hosts {
			servers++
			err := a.checkServer(ctx, w, sh, i, o)
			switch {
			case errors.Is(err, outputs.ErrPermanent):
				broken++
			case err != nil:
				unreachable++
			}
			if err != nil {
				fmt.Fprintf(w, "  no   %s\n", printable.OneLineError(err))
			}
		}
	}
	switch {
	case broken > 0:
		return outputs.Permanent(errors.New("records cannot be written: see the lines marked no"))
	case unreachable > 0:
		return fmt.Errorf("%d of %d servers could not be checked", unreachable, servers)
	}
	fmt.Fprintln(w, "OK: records can be written")
	return nil
}

// checkServer checks one server of a shard.
func (a *admin) checkServer(ctx context.Context, w io.Writer, sh *shard, i int, o schema.Options) error {
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	head := sh.hosts[i]
	if sh.name != "" {
		head += ", shard " + sh.name
	}
	fmt.Fprintf(w, "%s: database %s\n", head, o.Database)
	conn, err := a.o.dial(ctx, sh.hosts[i])
	if err != nil {
		return a.o.explain(err)
	}
	s := &session{conn: conn, at: outputs.Address{Name: sh.hosts[i], Index: i}, shard: sh}
	defer conn.Close()
	fmt.Fprintf(w, "  yes  %s %s answers\n", printable.OneLine(conn.Server().Name), printable.OneLine(conn.Server().Version))
	fmt.Fprintf(w, "  %s\n", a.encryption())
	if err := a.o.readTable(ctx, s); err != nil {
		return a.o.explain(err)
	}
	if o, err = existingNames(ctx, conn, o); err != nil {
		return a.o.explain(err)
	}
	a.reportTable(w, s, o)
	if err := a.mayInsert(ctx, s); err != nil {
		return err
	}
	return a.reportAggregates(ctx, w, s, o)
}

// encryption says how the connection is protected.
func (a *admin) encryption() string {
	switch {
	case !a.o.set.secure:
		return "note no TLS: records are sent unencrypted; --clickhousesecure requires TLS"
	case a.o.Common.SkipVerify:
		return "note TLS, but the server's certificate is not checked: --skiptlsverification"
	}
	return "yes  TLS, the server's certificate is checked"
}

// reportTable prints what the table makes of records.
func (a *admin) reportTable(w io.Writer, s *session, o schema.Options) {
	d := s.plan.Def
	fmt.Fprintf(w, "  yes  table %s: %s, %d of %d columns\n", printable.OneLine(d.Name()), printable.OneLine(d.Engine), len(table.Columns())-len(s.plan.Missing), len(table.Columns()))
	if list := s.plan.Missing; len(list) > 0 {
		what := "it lacks columns, which are left out: " + strings.Join(list, ", ")
		if slices.Equal(list, ownColumns()) {
			what = "it has dnsmonster's columns, and these are written; --alter prints the statements that add the others"
		}
		fmt.Fprintf(w, "  note %s\n", what)
		if a.alter {
			fmt.Fprintln(w, "       these statements add them. A sender that inserts without naming columns, such as dnsmonster, can then no longer write:")
			for _, s := range schema.AddColumns(o, d.Name(), list) {
				fmt.Fprintf(w, "       %s;\n", printable.OneLine(s.SQL))
			}
		}
	}
	for _, name := range s.plan.Foreign {
		fmt.Fprintf(w, "  note column %s is not filled, and has no DEFAULT\n", printable.OneLine(name))
	}
	for _, l := range s.plan.Losses {
		fmt.Fprintf(w, "  note column %s: %s, and counted as clamped: %s\n", printable.OneLine(l.Column), l.Note, printable.OneLine(cmp.Or(l.Fix, l.Why)))
	}
	if why, fix := loses(d); why != "" {
		fmt.Fprintf(w, "  note records may be lost: %s: %s\n", printable.OneLine(why), fix)
	}
	if why, fix := doubles(s.conn.Server(), d); why != "" {
		fmt.Fprintf(w, "  note a batch whose answer is lost may be stored twice: %s: %s\n", printable.OneLine(why), printable.OneLine(fix))
	} else {
		fmt.Fprintln(w, "  yes  repeated batches are recognised")
	}
	switch days, ok := d.TTLDays(); {
	case ok:
		fmt.Fprintf(w, "  yes  records are kept for %d days\n", days)
	case d.TTL != "":
		fmt.Fprintf(w, "  yes  records are kept until %s\n", printable.OneLine(d.TTL))
	default:
		fmt.Fprintln(w, "  yes  records are kept for ever")
	}
}

// mayInsert asks for the right to insert, without inserting: the server checks it before it
// waits for data.
func (a *admin) mayInsert(ctx context.Context, s *session) error {
	conn, err := a.o.dial(ctx, s.at.Name)
	if err != nil {
		return a.o.explain(err)
	}
	defer conn.Close()
	return a.o.explain(conn.CheckInsert(ctx, s.plan.InsertSQL(), writeSettings("check")))
}

// reportAggregates prints which of the aggregates exist, and whether they recognise repeated
// batches, too.
func (a *admin) reportAggregates(ctx context.Context, w io.Writer, s *session, o schema.Options) error {
	conn := s.conn
	existing, err := a.tables(ctx, conn, o)
	if err != nil {
		return err
	}
	var missing, unfilled []string
	if conn.Server().Settings { // older ones show views in another way
		r, err := conn.Query(ctx, schema.ViewsQuery(o))
		if err != nil {
			return a.o.explain(err)
		}
		views := schema.Views(r.Rows)
		if list := schema.Stranded(o, existing, views); len(list) > 0 {
			return outputs.Permanent(fmt.Errorf("every INSERT fails in the views %s, whose tables do not exist: create these with `dnsmonster-sensor clickhouse init`, or DROP VIEW", printable.OneLine(strings.Join(list, ", "))))
		}
		if strings.HasSuffix(s.plan.Def.Engine, "MergeTree") { // a Buffer's views may read the table behind it
			unfilled = schema.Unfilled(o, existing, views)
		}
	}
	n := -len(unfilled)
	for _, name := range o.Aggregates() {
		if slices.ContainsFunc(existing, func(t schema.Table) bool { return t.Name == name }) {
			n++
		} else {
			missing = append(missing, name)
		}
	}
	if n > 0 {
		fmt.Fprintf(w, "  yes  %d of %d aggregates\n", n, len(o.Aggregates()))
	}
	layout := ""
	if slices.Contains(s.plan.Missing, "Weight") { // init refuses it without
		layout = " --layout=dnsmonster"
	}
	if len(unfilled) > 0 {
		fmt.Fprintf(w, "  note no view fills these aggregates from %s: %s: `dnsmonster-sensor clickhouse init%s` creates missing views; one database has the views of one log\n", printable.OneLine(s.plan.Name()), strings.Join(unfilled, ", "), layout)
	}
	if len(missing) > 0 && conn.Server().Settings { // init cannot create them on an older one
		fmt.Fprintf(w, "  note aggregates that dashboards read are missing: %s: create them with `dnsmonster-sensor clickhouse init%s`; they begin with the records that come then\n", strings.Join(missing, ", "), layout)
	}
	for _, s := range schema.Remember(o, existing) {
		if s.Name != o.Local(o.Table) {
			fix := s.SQL
			if o.Old {
				fix = "this server can change no settings of tables: use Replicated ones"
			}
			fmt.Fprintf(w, "  note %s counts a repeated batch twice: %s\n", s.Name, printable.OneLine(fix))
		}
	}
	return nil
}
