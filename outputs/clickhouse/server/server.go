// Package server is one connection to one ClickHouse server: it logs in, sends one block
// of columns per INSERT, reads small answers as text, and sorts errors by what helps. SQL
// and ready bytes go in, an acknowledgement, text or a sorted error comes out. It knows
// neither tables nor events, and never tries again.
//
// Messages and their revisions are those of package proto of ch-go. Its client is not
// used: that reads answers without a bound, sends at least three goroutines into each
// query, and does not say whether data had left when it failed.
package server

import (
	"bufio"
	"cmp"
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/ClickHouse/ch-go/compress"
	"github.com/ClickHouse/ch-go/proto"
)

// Compression of the data that is sent. Answers are never compressed, except the empty
// block that precedes data.
type Compression byte

// Compressions. LZ4 has no levels in ClickHouse's protocol.
const (
	None Compression = iota
	LZ4
	ZSTD
)

// Config is what a connection needs besides the address.
type Config struct {
	User, Password, Database string                                 // "": default
	TLS                      func(host string) (*tls.Config, error) // called for each connection; nil: plain
	Compression              Compression
	Log                      *slog.Logger // each query, without its data; nil: nothing
}

// Info is what the server says about itself. Its texts have no control characters.
type Info struct {
	Name, Version  string // such as ClickHouse, 18.16.1
	Revision       int    // of its protocol
	TimeZone, Host string // "" if it does not say
	Settings       bool   // it takes the settings of an INSERT
}

// revision is the newest revision of the protocol that is spoken here. From 54451 on servers
// append a block of statistics to each answer, and from 54454 on columns may be sparse;
// nothing newer is needed.
const revision = 54449

// oldest is the oldest revision that is spoken here: queries carry a client's description.
const oldest = 54060

// Bounds of what is read.
const (
	maxHello  = 64 << 10
	maxAnswer = 1 << 20  // to a ping or an INSERT
	maxResult = 16 << 20 // to a query
)

// Conn is a connection. It serves one call at a time. After any error it is broken: the
// state of the stream is unknown.
type Conn struct {
	address  string
	config   Config
	raw      net.Conn // below TLS
	conn     net.Conn
	in       *reader
	out      writer
	revision int // the lower one of both sides
	info     Info
	zone     *time.Location
	answers  chan error // of an INSERT
	broken   atomic.Bool
}

// Dial connects to host:port and logs in. The context ends every step. A server whose
// protocol is older is spoken to in its own.
func Dial(ctx context.Context, address string, config Config) (*Conn, error) {
	c := &Conn{address: address, config: config, answers: make(chan error, 1)}
	c.config.User = cmp.Or(config.User, "default")
	if err := c.connect(ctx); err != nil {
		c.close()
		return nil, c.explainConnect(c.failed(ctx, "connect to", err, false))
	}
	stop := c.watch(ctx)
	err := c.login()
	if !stop() && err == nil {
		err = ctx.Err()
	}
	if err != nil {
		c.close()
		return nil, c.explainLogin(c.failed(ctx, "log in to", err, false))
	}
	return c, nil
}

func (c *Conn) connect(ctx context.Context) error {
	host, _, err := net.SplitHostPort(c.address)
	if err != nil {
		return &setupError{text: err.Error(), advice: "write HOST:PORT in --clickhouseaddress"}
	}
	var secure *tls.Config
	if c.config.TLS != nil {
		if secure, err = c.config.TLS(host); err != nil {
			return &setupError{text: err.Error()}
		}
		secure = secure.Clone()
		secure.ServerName = cmp.Or(secure.ServerName, host)
	}
	if c.raw, err = new(net.Dialer).DialContext(ctx, "tcp", c.address); err != nil {
		return err
	}
	c.conn = c.raw
	if secure != nil {
		t := tls.Client(c.raw, secure)
		if err := t.HandshakeContext(ctx); err != nil {
			return explainTLS(err)
		}
		c.conn = t
	}
	c.in = newReader(c.conn)
	c.out.conn = c.conn
	c.chooseCompression()
	return nil
}

func (c *Conn) chooseCompression() {
	switch c.config.Compression {
	case LZ4:
		c.out.compress = compress.NewWriter(compress.LevelZero, compress.LZ4)
	case ZSTD:
		c.out.compress = compress.NewWriter(compress.LevelZero, compress.ZSTD)
	}
}

// login exchanges greetings.
func (c *Conn) login() error {
	c.revision = revision
	proto.ClientHello{
		Name: clientName, Major: 1, ProtocolVersion: revision,
		Database: c.config.Database, User: c.config.User, Password: c.config.Password,
	}.Encode(&c.out.buf)
	if err := c.out.flush(); err != nil {
		return c.afterWriteError(err)
	}
	c.in.allow(maxHello)
	code, err := c.in.uvarint()
	if err != nil {
		return err
	}
	switch {
	case code == uint64(proto.ServerCodeException):
		return c.exception()
	case code != uint64(proto.ServerCodeHello):
		return wrongPort(code, c.config.TLS != nil)
	}
	return c.readHello()
}

func (c *Conn) readHello() error {
	i, r := &c.info, c.in
	i.Name = printableLine(r.string())
	major, minor := r.int(), r.int()
	i.Revision = r.int()
	c.revision = min(revision, i.Revision)
	if c.has(proto.FeatureTimezone) {
		i.TimeZone = printableLine(r.string())
	}
	if c.has(proto.FeatureDisplayName) {
		i.Host = printableLine(r.string())
	}
	i.Version = fmt.Sprintf("%d.%d", major, minor)
	if c.has(proto.FeatureVersionPatch) {
		i.Version = fmt.Sprintf("%s.%d", i.Version, r.int())
	}
	if r.err != nil {
		return r.err
	}
	if i.Revision < oldest {
		return &setupError{text: fmt.Sprintf("%s %s is too old", i.Name, i.Version), advice: "update the server"}
	}
	i.Settings = c.has(proto.FeatureSettingsSerializedAsStrings)
	var err error
	if c.zone, err = time.LoadLocation(i.TimeZone); err != nil {
		c.zone = time.UTC
	}
	return nil
}

const clientName = "dnsmonster-sensor"

// has reports whether both sides know a feature.
func (c *Conn) has(f proto.Feature) bool { return f.In(c.revision) }

// watch lets the end of ctx end all calls of the connection. The function that it
// returns stops that, and reports whether ctx had not ended.
func (c *Conn) watch(ctx context.Context) (stop func() bool) {
	return context.AfterFunc(ctx, func() { c.raw.SetDeadline(time.Unix(1, 0)) })
}

// Server returns what the server says about itself.
func (c *Conn) Server() Info { return c.info }

// Address returns the address that was dialled.
func (c *Conn) Address() string { return c.address }

// Broken reports whether an error has made the connection useless.
func (c *Conn) Broken() bool { return c.broken.Load() }

// Gone reports whether the server has ended the connection while nobody used it, as servers
// and what is in between do after a while. It takes no time.
func (c *Conn) Gone() bool {
	raw, ok := c.raw.(syscall.Conn)
	if !ok || c.Broken() {
		return c.Broken()
	}
	control, err := raw.SyscallConn()
	if err != nil {
		return true
	}
	silent := false // a server that has nothing to say is there; what it says unasked is an end, too
	err = control.Read(func(fd uintptr) bool {
		silent = isSilent(fd)
		return true
	})
	return err != nil || !silent
}

// Close closes the connection.
func (c *Conn) Close() error {
	if c.broken.Swap(true) {
		return nil // is closed already
	}
	return c.conn.Close()
}

// close closes the connection after an error: it does not wait for the peer.
func (c *Conn) close() {
	c.broken.Store(true)
	if c.raw != nil {
		c.raw.Close()
	}
}

// Ping asks for a sign of life.
func (c *Conn) Ping(ctx context.Context) error {
	return c.do(ctx, "ping", func() error {
		c.out.buf.PutByte(byte(proto.ClientCodePing))
		if err := c.out.flush(); err != nil {
			return c.afterWriteError(err)
		}
		c.in.allow(maxAnswer)
		for {
			code, err := c.packet(nil)
			if err != nil || code == proto.ServerCodePong {
				return err
			}
		}
	})
}

// do runs one exchange that sends no data, and ends it with ctx.
func (c *Conn) do(ctx context.Context, doing string, exchange func() error) error {
	if c.Broken() {
		return c.failed(ctx, doing+" at", errBroken, false)
	}
	stop := c.watch(ctx)
	err := exchange()
	if !stop() && err == nil {
		err = ctx.Err() // the deadline of the connection is over
	}
	if err != nil {
		c.close()
		return c.failed(ctx, doing+" at", err, false)
	}
	return nil
}

// sendQuery sends a query and the end of the external tables, of which there are none.
func (c *Conn) sendQuery(sql string, settings []Setting, compressed bool) error {
	b := &c.out.buf
	proto.ClientCodeQuery.Encode(b)
	b.PutString("") // the server chooses an id
	proto.ClientInfo{
		ProtocolVersion: c.revision, Major: 1, Interface: proto.InterfaceTCP, Query: proto.ClientQueryInitial,
		InitialAddress: "0.0.0.0:0", ClientName: clientName,
	}.EncodeAware(b, c.revision)
	if c.has(proto.FeatureSettingsSerializedAsStrings) {
		for _, s := range settings {
			proto.Setting{Key: s.Name, Value: s.Value, Important: s.Required}.Encode(b)
		}
	}
	b.PutString("") // end of the settings
	if c.has(proto.FeatureInterServerSecret) {
		b.PutString("")
	}
	proto.StageComplete.Encode(b)
	how := proto.CompressionDisabled
	if compressed {
		how = proto.CompressionEnabled
	}
	how.Encode(b)
	b.PutString(sql)
	if err := c.out.endOfData(compressed); err != nil {
		return err
	}
	if err := c.out.flush(); err != nil {
		return c.afterWriteError(err)
	}
	return nil
}

// afterWriteError returns why a server has cut a connection that was written to: it may
// have said so before.
func (c *Conn) afterWriteError(err error) error {
	if isTimeout(err) {
		return err // ctx has ended
	}
	c.raw.SetReadDeadline(time.Now().Add(time.Second))
	c.in.allow(maxAnswer)
	for {
		code, said := c.packet(nil)
		if e := (*Error)(nil); asError(said, &e) {
			return said
		}
		if said != nil || code == proto.ServerCodeEndOfStream {
			return err
		}
	}
}

// packet reads one packet. Blocks go to block, or are discarded if it is nil. An
// exception is returned as an error.
func (c *Conn) packet(block func() error) (proto.ServerCode, error) {
	n, err := c.in.uvarint()
	if err != nil {
		return 0, err
	}
	r := c.in
	switch code := proto.ServerCode(n); code {
	case proto.ServerCodeException:
		return code, c.exception()
	case proto.ServerCodeData:
		if block != nil {
			return code, block()
		}
		return code, c.skipBlock()
	case proto.ServerCodeTotals, proto.ServerCodeExtremes, proto.ServerCodeLog:
		return code, c.skipBlock()
	case proto.ServerCodeProgress:
		r.uvarints(3)
		if c.has(proto.FeatureClientWriteInfo) {
			r.uvarints(2)
		}
	case proto.ServerCodeProfile:
		r.uvarints(3)
		r.byte()
		r.uvarints(1)
		r.byte()
	case proto.ServerCodeTableColumns:
		_, _ = r.string(), r.string()
	case proto.ServerCodePong, proto.ServerCodeEndOfStream:
	default:
		return 0, fmt.Errorf("packet %d in the answer is unknown", n)
	}
	return proto.ServerCode(n), r.err
}

// logged writes one line about a query if the user has asked for it.
func (c *Conn) logged(sql string, start time.Time, rows int, err error) {
	if c.config.Log == nil {
		return
	}
	attrs := []any{"address", c.address, "query", c.hide(sql), "rows", rows, "duration", time.Since(start)}
	if err != nil {
		attrs = append(attrs, "error", err)
	}
	c.config.Log.Info("query", attrs...)
}

// hide removes the password from a text.
func (c *Conn) hide(text string) string {
	if c.config.Password == "" {
		return text
	}
	return strings.ReplaceAll(text, c.config.Password, "***")
}

// bufferSize is for small answers: data goes the other way.
const bufferSize = 16 << 10

func newReader(conn net.Conn) *reader {
	r := &reader{source: source{conn: conn}}
	r.buffered = bufio.NewReaderSize(&r.source, bufferSize)
	return r
}
