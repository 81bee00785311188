package psql

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"dnsmonster-sensor/outputs"
)

// destination is one database, behind one or several addresses.
type destination struct {
	addresses *outputs.Addresses
	servers   []*server // one for each address
	names     []string  // host:port of each
}

// server is one address of the destination.
type server struct {
	*pgconn.Config
	tablesExisted atomic.Bool // the tables have been there: they are not created again
}

// session is a connection to a server that accepts rows.
type session struct {
	conn *pgconn.PgConn
	def  *tableDef
	at   outputs.Address
}

// destination parses the endpoint once. Its errors do not show passwords.
func (o *Output) destination() (*destination, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.dest != nil {
		return o.dest, nil
	}
	c, err := o.config()
	if err != nil {
		return nil, err
	}
	d := &destination{}
	for _, c := range splitHosts(c) {
		d.servers = append(d.servers, &server{Config: c})
		d.names = append(d.names, net.JoinHostPort(c.Host, strconv.Itoa(int(c.Port))))
	}
	d.addresses = outputs.NewAddresses(o.Log(), d.names...)
	o.dest = d
	return d, nil
}

// maxMessage bounds the memory that one message of the server can take. Its longest
// answers are errors.
const maxMessage = 1 << 20

func (o *Output) config() (*pgconn.Config, error) {
	if o.endpoint == "" {
		return nil, errors.New("psqlendpoint is not set: use a URI such as postgres://user:password@host:5432/database")
	}
	text := strings.TrimSpace(o.endpoint)
	if err := checkEndpoint(text); err != nil {
		return nil, fmt.Errorf("psqlendpoint: %w", err)
	}
	c, err := pgconn.ParseConfig(text)
	if err != nil {
		return nil, fmt.Errorf("psqlendpoint: %w", withoutSecrets(err))
	}
	if err := checkHosts(c); err != nil {
		return nil, fmt.Errorf("psqlendpoint: %w", err)
	}
	if _, ok := c.RuntimeParams["application_name"]; !ok {
		c.RuntimeParams["application_name"] = "dnsmonster-sensor"
	}
	for _, name := range poolParameters {
		delete(c.RuntimeParams, name)
	}
	c.RuntimeParams["client_encoding"] = "UTF8"
	c.MaxProtocolMessageBodyLen = maxMessage
	if o.Common.SkipVerify {
		skipVerify(c.TLSConfig)
		for _, f := range c.Fallbacks {
			skipVerify(f.TLSConfig)
		}
	}
	return c, nil
}

// withoutSecrets removes the endpoint from an error of the library.
func withoutSecrets(err error) error {
	text := err.Error()
	if i := strings.LastIndex(text, "`: "); i >= 0 {
		text = text[i+len("`: "):]
	}
	return errors.New(text)
}

func skipVerify(t *tls.Config) {
	if t != nil {
		t.InsecureSkipVerify, t.VerifyPeerCertificate, t.VerifyConnection = true, nil, nil
	}
}

// splitHosts makes one configuration for each host of an endpoint. The library would
// try all hosts within one attempt, so that one that drops packets would keep the
// others from being tried.
func splitHosts(c *pgconn.Config) (list []*pgconn.Config) {
	hosts := append([]*pgconn.FallbackConfig{{Host: c.Host, Port: c.Port, TLSConfig: c.TLSConfig}}, c.Fallbacks...)
	for _, h := range hosts {
		if last := len(list) - 1; last >= 0 && list[last].Host == h.Host && list[last].Port == h.Port {
			list[last].Fallbacks = append(list[last].Fallbacks, h) // sslmode=prefer, allow
			continue
		}
		one := c.Copy()
		one.Host, one.Port, one.TLSConfig, one.Fallbacks = h.Host, h.Port, h.TLSConfig, nil
		list = append(list, one)
	}
	return list
}

// connect opens a session at the first address that works. Each address gets its share of
// the time. The error is permanent if those of all addresses are.
func (o *Output) connect(ctx context.Context) (*session, error) {
	d, err := o.destination()
	if err != nil {
		return nil, outputs.Permanent(err)
	}
	var s *session
	var errs []error
	permanent := true
	d.addresses.TryEach(ctx, func(ctx context.Context, at outputs.Address) (more bool) {
		var err error
		if s, err = o.connectTo(ctx, d, at); err == nil {
			return false
		}
		permanent = permanent && errors.Is(err, outputs.ErrPermanent)
		errs = append(errs, err)
		return true
	})
	if s != nil {
		return s, nil
	}
	if len(errs) == 0 {
		return nil, ctx.Err()
	}
	err = errors.Join(errs...)
	if len(errs) > 1 {
		err = fmt.Errorf("none of %d addresses works: %s", len(errs), strings.ReplaceAll(err.Error(), "\n", "; "))
	}
	if permanent {
		err = outputs.Permanent(err)
	}
	return nil, err
}

// connectTo opens a session at one address.
func (o *Output) connectTo(ctx context.Context, d *destination, at outputs.Address) (*session, error) {
	s, err := o.openSession(ctx, d.servers[at.Index], at)
	d.addresses.Report(ctx, at, err)
	return s, err
}

func (o *Output) openSession(ctx context.Context, srv *server, at outputs.Address) (*session, error) {
	conn, err := o.dial(ctx, srv, at.Name)
	if err != nil {
		return nil, err
	}
	def, err := o.prepareTable(ctx, conn, &srv.tablesExisted)
	if err != nil {
		closeQuickly(conn)
		return nil, o.explain(srv.Config, err)
	}
	o.warnOfPlainText(srv.Config, conn, at)
	return &session{conn: conn, def: def, at: at}, nil
}

// dial connects to a server and checks that it accepts rows.
func (o *Output) dial(ctx context.Context, srv *server, name string) (*pgconn.PgConn, error) {
	conn, err := pgconn.ConnectConfig(ctx, srv.Config)
	if err != nil {
		return nil, o.explain(srv.Config, fmt.Errorf("connect to %s: %w", name, connectFailure(srv.Config, err)))
	}
	if err := checkWritable(ctx, conn); err != nil {
		closeQuickly(conn)
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return conn, nil
}

// oldestVersion is the oldest server with the catalogues that are queried here.
const oldestVersion = 12

// checkWritable returns why a server accepts no rows at all.
func checkWritable(ctx context.Context, conn *pgconn.PgConn) error {
	version := conn.ParameterStatus("server_version")
	number, _, _ := strings.Cut(version, " ") // such as 9.6.24 or 15.2 (Debian 15.2-1)
	number, _, _ = strings.Cut(number, ".")
	if major, err := strconv.Atoi(number); err == nil && major < oldestVersion {
		return outputs.Permanent(fmt.Errorf("PostgreSQL %s is too old: at least %d is required", version, oldestVersion))
	}
	row, err := queryRow(ctx, conn, 2, "SELECT pg_is_in_recovery(), current_setting('transaction_read_only')")
	switch {
	case err != nil:
		return err
	case string(row[0]) == "t":
		return errors.New("this server is a standby and accepts no rows: add the primary to --psqlendpoint, separated by a comma")
	case string(row[1]) == "on":
		return errors.New("default_transaction_read_only is set for this server or user, so it accepts no rows")
	}
	return nil
}

// warnOfPlainText warns once if the endpoint permits TLS and the server has none.
func (o *Output) warnOfPlainText(c *pgconn.Config, conn *pgconn.PgConn, at outputs.Address) {
	_, encrypted := conn.Conn().(*tls.Conn)
	ip := net.ParseIP(c.Host)
	local := strings.HasPrefix(c.Host, "/") || c.Host == "localhost" || ip.IsLoopback()
	if !encrypted && !local && c.TLSConfig != nil && o.warned.CompareAndSwap(false, true) {
		o.Log().Warn("the server has no TLS: records are sent unencrypted; sslmode=verify-full in --psqlendpoint requires TLS, sslmode=disable permits this without a warning", "address", at.Name)
	}
}

// closeQuickly closes a connection without waiting long for a server that does not
// answer.
func closeQuickly(conn *pgconn.PgConn) {
	ctx, cancel := context.WithTimeout(context.Background(), 200*time.Millisecond)
	defer cancel()
	conn.Close(ctx)
}
