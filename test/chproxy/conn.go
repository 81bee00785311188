//go:build linux

package main

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"strings"
	"time"

	"dnsmonster-sensor/test/chdb"
	"dnsmonster-sensor/test/chproxy/fault"

	"github.com/ClickHouse/ch-go/compress"
	"github.com/ClickHouse/ch-go/proto"
)

// conn is a client's connection.
type conn struct {
	s        *server
	id       int
	nc       net.Conn
	wire     *bufio.Reader // what the client sends
	r        *proto.Reader // the same, for packets that are not data
	unpacked *bufio.Reader // data, without its compression
	out      proto.Buffer
	revision int
	database string
	types    map[string]column

	// Of the query that runs.
	query      proto.Query
	compressor *compress.Writer // nil: no compression
	fault      *fault.Fault
	block      stream

	next    chan packet
	reading bool // a goroutine reads the next packet's code
}

type packet struct {
	code proto.ClientCode
	err  error
}

var (
	errClose     = errors.New("closed by a fault")
	errCancelled = errors.New("cancelled by the client")
)

func newConn(s *server, nc net.Conn, id int) *conn {
	wire := bufio.NewReaderSize(nc, 1<<18)
	return &conn{
		s: s, id: id, nc: nc, wire: wire, r: proto.NewReader(exact{wire}), unpacked: bufio.NewReaderSize(compress.NewReader(wire), 1<<16),
		types: make(map[string]column), next: make(chan packet, 1),
	}
}

// exact reads byte by byte, so that a buffer above it never holds more than it was asked for.
type exact struct{ *bufio.Reader }

func (e exact) Read(p []byte) (int, error) { return e.Reader.Read(p[:min(1, len(p))]) }

func (c *conn) serve() {
	defer c.nc.Close()
	err := c.hello()
	for err == nil {
		var code proto.ClientCode
		if code, err = c.code(); err != nil {
			break
		}
		switch code {
		case proto.ClientCodePing:
			proto.ServerCodePong.Encode(&c.out)
			err = c.flush()
		case proto.ClientCodeQuery:
			err = c.runQuery()
		case proto.ClientCodeCancel: // of a query that has ended
		default:
			err = fmt.Errorf("unexpected packet %s", code)
		}
	}
	if err != nil && !errors.Is(err, io.EOF) {
		log.Printf("connection %d: %v", c.id, err)
	}
}

// read begins to read the next packet's code.
func (c *conn) read() {
	if c.reading {
		return
	}
	c.reading = true
	go func() {
		code, err := binary.ReadUvarint(c.wire)
		c.next <- packet{proto.ClientCode(code), err}
	}()
}

// code waits for the next packet, and returns its code.
func (c *conn) code() (proto.ClientCode, error) {
	c.read()
	p := <-c.next
	c.reading = false
	return p.code, p.err
}

// left reports whether the client has cancelled its query, or closed.
func (c *conn) left() bool {
	c.read()
	select {
	case p := <-c.next:
		c.next <- p
		return p.err != nil || p.code == proto.ClientCodeCancel
	default:
		return false
	}
}

func (c *conn) flush() error {
	_, err := c.nc.Write(c.out.Buf)
	c.out.Reset()
	return err
}

// exception answers an error. What it returns ends the connection.
func (c *conn) exception(err error) error {
	asException(err).encode(&c.out, c.revision)
	return c.flush()
}

func (c *conn) hello() error {
	code, err := c.code()
	if err != nil {
		return err
	}
	if code != proto.ClientCodeHello {
		return fmt.Errorf("packet %s instead of a hello", code)
	}
	var h proto.ClientHello
	if err := h.Decode(c.r); err != nil {
		return err
	}
	err = c.s.login(h.User, h.Password)
	if err == nil {
		c.database = h.Database
		err = c.s.use(h.Database, nil, func(*chdb.Session) error { return nil })
	}
	if err != nil {
		return errors.Join(c.exception(err), err)
	}
	c.revision = min(h.ProtocolVersion, c.s.revision)
	hello := proto.ServerHello{
		Name: "ClickHouse", Major: c.s.major, Minor: c.s.minor, Patch: c.s.patchLevel, Revision: c.s.revision, Timezone: "UTC", DisplayName: "chproxy",
	}
	hello.EncodeAware(&c.out, c.revision)
	if err := c.flush(); err != nil {
		return err
	}
	if proto.FeatureAddendum.In(c.revision) {
		_, err = c.r.Str() // a quota's key
	}
	return err
}

// decodeQuery reads a query and the tables that come with it, of which there must be none.
func (c *conn) decodeQuery() error {
	q := &c.query
	*q = proto.Query{}
	if proto.FeatureSettingsSerializedAsStrings.In(c.revision) {
		if err := q.DecodeAware(c.r, c.revision); err != nil {
			return err
		}
	} else if err := c.decodeOldQuery(); err != nil {
		return err
	}
	c.compressor = nil
	if q.Compression == proto.CompressionEnabled {
		method := compress.LZ4
		for _, s := range q.Settings {
			if s.Key == "network_compression_method" && strings.EqualFold(s.Value, "zstd") {
				method = compress.ZSTD
			}
		}
		c.compressor = compress.NewWriter(compress.LevelZero, method)
	}
	c.block = stream{discard: true}
	_, end, err := c.readBlock()
	if err == nil && !end {
		err = errors.New("a query that brings a table")
	}
	return err
}

// decodeOldQuery reads a query of a revision that sends settings in a way of their own,
// of which there must be none.
func (c *conn) decodeOldQuery() (err error) {
	q := &c.query
	if q.ID, err = c.r.Str(); err != nil {
		return err
	}
	if proto.FeatureClientWriteInfo.In(c.revision) {
		if err := q.Info.DecodeAware(c.r, c.revision); err != nil {
			return err
		}
	}
	if name, err := c.r.Str(); err != nil || name != "" {
		return errors.Join(err, fmt.Errorf("setting %q in the way of revision %d", name, c.revision))
	}
	if _, err := c.r.UVarInt(); err != nil { // the stage
		return err
	}
	compression, err := c.r.UVarInt()
	if err != nil {
		return err
	}
	q.Compression = proto.Compression(compression)
	q.Body, err = c.r.Str()
	return err
}

// readBlock reads a block of data into c.block. end: it was the empty one after the last.
func (c *conn) readBlock() (rows int, end bool, err error) {
	code, err := c.code()
	if err != nil {
		return 0, false, err
	}
	if code == proto.ClientCodeCancel {
		return 0, false, errCancelled
	}
	if code != proto.ClientCodeData {
		return 0, false, fmt.Errorf("packet %s instead of data", code)
	}
	var name proto.ClientData
	if err := name.DecodeAware(c.r, c.revision); err != nil {
		return 0, false, err
	}
	c.block.r = c.wire
	if c.compressor != nil {
		c.block.r = c.unpacked
	}
	if proto.FeatureBlockInfo.In(c.revision) {
		if err := skipBlockInfo(c.block.r); err != nil {
			return 0, false, err
		}
	}
	before := len(c.block.kept)
	columns, err := c.block.uvarint()
	if err != nil {
		return 0, false, err
	}
	if rows, err = c.block.uvarint(); err != nil {
		return 0, false, err
	}
	if columns == 0 {
		c.block.kept = c.block.kept[:before]
		return 0, true, nil
	}
	for i := range columns {
		if i == columns/2 && c.at(fault.Block) && c.fault.Do == fault.Close {
			return 0, false, errClose
		}
		if err := c.readColumn(rows); err != nil {
			return 0, false, err
		}
	}
	return rows, false, nil
}

// skipBlockInfo reads what precedes a block: numbered fields, the last is 0.
func skipBlockInfo(r *bufio.Reader) error {
	for {
		field, err := r.ReadByte()
		if err != nil || field == 0 {
			return err
		}
		sizes := map[byte]int{1: 1, 2: 4} // whether it overflows, a bucket's number
		if sizes[field] == 0 {
			return fmt.Errorf("field %d before a block", field)
		}
		if _, err := r.Discard(sizes[field]); err != nil {
			return err
		}
	}
}

func (c *conn) readColumn(rows int) error {
	name, err := c.block.text()
	if err != nil {
		return err
	}
	typ, err := c.block.text()
	if err != nil {
		return err
	}
	if proto.FeatureCustomSerialization.In(c.revision) {
		if custom, err := c.block.r.ReadByte(); err != nil || custom != 0 {
			return errors.Join(err, fmt.Errorf("column %s has a serialization of its own: %d", name, custom))
		}
	}
	if rows == 0 {
		return nil
	}
	if err := c.column(&c.block, typ, rows); err != nil {
		return fmt.Errorf("column %s: %w", name, err)
	}
	return nil
}

// column reads a column of a type.
func (c *conn) column(s *stream, typ string, rows int) error {
	t, known := c.types[typ]
	if !known {
		var err error
		if t, err = parseType(typ); err != nil {
			return err
		}
		c.types[typ] = t
	}
	if err := t.state(s); err != nil {
		return err
	}
	return t.data(s, rows)
}

// at reports whether the fault of this query belongs here.
func (c *conn) at(a fault.At) bool { return c.fault != nil && c.fault.At == a }

// disturb does what the fault of this query does here. errClose ends the connection, an
// exception is to be answered.
func (c *conn) disturb(a fault.At) error {
	if !c.at(a) {
		return nil
	}
	switch f := c.fault; f.Do {
	case fault.Close:
		return errClose
	case fault.Exception:
		return &exception{proto.Error(f.Code), f.Message}
	case fault.Delay:
		c.wait(time.Duration(f.Milliseconds) * time.Millisecond)
	case fault.Hang:
		c.wait(0)
	}
	return nil
}

// wait waits for some time, 0 for ever, until there are other faults, or the client leaves.
func (c *conn) wait(d time.Duration) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	c.read()
	go func() {
		select {
		case p := <-c.next:
			c.next <- p
			if p.err != nil || p.code == proto.ClientCodeCancel {
				cancel()
			}
		case <-ctx.Done():
		}
	}()
	c.s.wait(ctx, d)
}
