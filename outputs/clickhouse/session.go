package clickhouse

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"strings"

	"dnsmonster-sensor/outputs"
	"dnsmonster-sensor/outputs/clickhouse/schema"
	"dnsmonster-sensor/outputs/clickhouse/server"
	"dnsmonster-sensor/outputs/clickhouse/table"
)

// session is a connection to a server, and its table as it was read last.
type session struct {
	conn  *server.Conn
	at    outputs.Address
	shard *shard
	plan  *table.Plan
	// group is the same for servers that hold the same rows and know the same tokens.
	group string
}

// groupOfOne begins the group of a server whose table is not replicated.
const groupOfOne = "at "

// dial connects to one address.
func (o *Output) dial(ctx context.Context, address string) (*server.Conn, error) {
	return o.dialDatabase(ctx, address, o.set.database)
}

func (o *Output) dialDatabase(ctx context.Context, address, database string) (*server.Conn, error) {
	c := server.Config{User: o.set.login.Username, Password: o.set.login.Password, Database: database, Compression: o.set.codec()}
	if o.set.secure {
		c.TLS = func(host string) (*tls.Config, error) { return o.set.tls.Config(host, o.Common.SkipVerify) }
	}
	if o.set.debug {
		c.Log = o.Log()
	}
	return server.Dial(ctx, address, c)
}

// tryAll is a method of the addresses of a shard: TryEach or TryReady.
type tryAll func(ctx context.Context, try func(ctx context.Context, at outputs.Address) (more bool))

var (
	errOtherTable = errors.New("the batch may be stored in another table, and waits until that is back")
	errNoneReady  = errors.New("it has failed a moment ago")
	errTableGone  = errors.New("the table that may have the batch is on none of its servers any more")
)

// open opens a session at the first address of a shard that works and that may have the
// block: group is where the block may be stored already, or "". If each of the servers that
// had this table has another one now, the error is errTableGone.
func (o *Output) open(ctx context.Context, sh *shard, group string, try tryAll) (*session, error) {
	var s *session
	var errs []error
	name, one := strings.CutPrefix(group, groupOfOne)
	replaced, servers := 0, sh.addresses.Len()
	if one {
		servers = 1
	}
	try(ctx, func(ctx context.Context, at outputs.Address) (more bool) {
		if one && name != at.Name {
			return true
		}
		var err error
		s, err = o.openAt(ctx, sh, at)
		sh.addresses.Report(ctx, at, err)
		switch {
		case err != nil:
			errs = append(errs, err)
			s = nil
		case group != "" && s.group != group:
			errs = append(errs, fmt.Errorf("%s: %w", at.Name, errOtherTable))
			replaced++
			s.conn.Close()
			s = nil
		}
		return s == nil
	})
	switch {
	case s != nil:
		return s, nil
	case replaced == servers:
		return nil, errTableGone
	case len(errs) == 0 && ctx.Err() == nil:
		if why := sh.addresses.Why(); why != nil {
			return nil, fmt.Errorf("%w: %w", errNoneReady, why)
		}
		return nil, errNoneReady
	}
	return nil, joinAttempts(ctx, errs)
}

// openAt opens a session at one address.
func (o *Output) openAt(ctx context.Context, sh *shard, at outputs.Address) (*session, error) {
	conn, err := o.dial(ctx, at.Name)
	if err != nil {
		return nil, o.explain(err)
	}
	s := &session{conn: conn, at: at, shard: sh}
	if err := o.readTable(ctx, s); err != nil {
		conn.Close()
		return nil, o.explain(fmt.Errorf("%s: %w", at.Name, err))
	}
	return s, nil
}

// readTable reads what the table is now.
func (o *Output) readTable(ctx context.Context, s *session) error {
	def, err := o.readLocal(ctx, s.conn)
	if err != nil {
		return err
	}
	if s.shard.replicas && len(s.shard.hosts) > 1 && def.ReplicaPath == "" {
		return outputs.Permanent(fmt.Errorf("table %s is not replicated, but shard %s has %d replicas: rows would be on one of them only: create the tables with `dnsmonster-sensor clickhouse init --cluster %s`",
			def.Name(), s.shard.name, len(s.shard.hosts), o.set.cluster))
	}
	plan, err := def.Plan(o.tableOptions(s.conn.Server()))
	if err != nil {
		return outputs.Permanent(err)
	}
	s.plan, s.group = plan, def.ReplicaPath
	if s.group == "" {
		s.group = groupOfOne + s.at.Name
	}
	return nil
}

// readLocal reads the definition of the table that has the rows. On a cluster the name of
// the table may be that of a Distributed table, through which the sensor does not write:
// that would acknowledge rows before they are stored.
func (o *Output) readLocal(ctx context.Context, conn *server.Conn) (*table.Def, error) {
	def, err := table.Read(ctx, conn, o.set.database, o.set.table)
	if err != nil || def.Engine != "Distributed" {
		return def, err
	}
	name, database, local, ok := schema.Behind(def.EngineFull)
	switch {
	case !ok:
		return nil, outputs.Permanent(fmt.Errorf("table %s is Distributed, and its local table cannot be found in %q: set the local table with --clickhousetable", def.Name(), def.EngineFull))
	case o.set.cluster == "":
		return nil, outputs.Permanent(fmt.Errorf("table %s is Distributed over cluster %s: set --clickhousecluster=%s, so that its shards are written to directly", def.Name(), name, name))
	case database == "" || strings.ContainsRune(database, '('): // such as currentDatabase()
		database = o.set.database
	}
	return table.Read(ctx, conn, database, local)
}

func (o *Output) tableOptions(i server.Info) table.Options {
	return table.Options{
		Old:       !i.Settings,
		FullQuery: o.set.fullQuery, UseIdentity: o.set.useIdentity,
		Server: o.Common.Server, Records: o.Common.Records,
	}
}

// joinAttempts makes one error of those of several addresses. It is permanent if all of them
// are.
func joinAttempts(ctx context.Context, errs []error) error {
	if len(errs) == 0 {
		return ctx.Err()
	}
	permanent := true
	for _, err := range errs {
		permanent = permanent && errors.Is(err, outputs.ErrPermanent)
	}
	err := errors.Join(errs...)
	if len(errs) > 1 {
		err = fmt.Errorf("none of %d addresses works: %w", len(errs), oneLine{err})
	}
	if permanent {
		err = outputs.Permanent(err)
	}
	return err
}

// oneLine is joined errors in one line.
type oneLine struct{ error }

func (e oneLine) Error() string { return strings.ReplaceAll(e.error.Error(), "\n", "; ") }
func (e oneLine) Unwrap() error { return e.error }
