package psql

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net/netip"
	"strings"
	"time"
	"unicode/utf8"

	"dnsmonster-sensor/outputs/format"
	"dnsmonster-sensor/userspace/event"
)

// Types that columns may have.
const (
	oidBool        = 16
	oidInt8        = 20
	oidInt2        = 21
	oidInt4        = 23
	oidText        = 25
	oidJSON        = 114
	oidInet        = 869
	oidChar        = 1042 // char(n)
	oidVarchar     = 1043
	oidTimestamp   = 1114
	oidTimestampTZ = 1184
	oidJSONB       = 3802
)

// Positions in columns.
const (
	colPacketTime = iota
	colIndexTime
	colServer
	colIpVersion
	colSrcIP
	colDstIP
	colProtocol
	colQr
	colOpcode
	colClass
	colQtype
	colEdns
	colDo
	colFullQuery
	colResponseCode
	colQuestion
	colSize
)

// fits says whether the column's type can take its values.
func (c *column) fits() bool {
	switch c.kind {
	case colPacketTime, colIndexTime:
		return c.oid == oidTimestamp || c.oid == oidTimestampTZ
	case colSrcIP, colDstIP:
		return c.oid == oidInet || c.text()
	case colServer, colProtocol, colQuestion:
		return c.text()
	case colFullQuery:
		return c.text() || c.oid == oidJSON || c.oid == oidJSONB
	default:
		return c.oid == oidInt2 || c.oid == oidInt4 || c.oid == oidInt8 || c.oid == oidBool
	}
}

// narrow says what becomes of values that the column does not take, "" where it
// takes all.
func (c *column) narrow() string {
	switch {
	case c.oid == oidInt2 && (c.kind == colClass || c.kind == colQtype || c.kind == colSize):
		return "values above 32767 are cut to that"
	case c.oid == oidBool && c.kind != colQr && c.kind != colEdns && c.kind != colDo:
		return "values above 1 are cut to that"
	case c.kind == colProtocol && c.limit >= shortProtocol && c.limit < longestProtocol:
		return "dnscryptudp and dnscrypttcp are written as dcu and dct"
	case c.limit > 0 && (c.kind != colProtocol || c.limit < shortProtocol):
		return fmt.Sprintf("longer texts are cut to %d characters", c.limit)
	case c.notNull && (c.kind == colSrcIP || c.kind == colDstIP):
		return "addresses that are not known are written as " + c.absent()
	}
	return ""
}

// Characters that words for protocols take.
const (
	shortProtocol   = len("dcu")
	longestProtocol = len("dnscryptudp")
)

// absent is what stands for an address that is not known where null may not.
func (c *column) absent() string {
	if c.text() {
		return "an empty text"
	}
	return "::"
}

// widen is the statement that lets the column take all values: it gives it the type of
// tables that we make, or that without a limit.
func (c *column) widen(l *layout) string {
	want := typeOf(c.name)
	using := ""
	address := c.kind == colSrcIP || c.kind == colDstIP
	switch {
	case c.oid == oidBool:
		using = " USING " + c.name + "::integer"
	case address && c.text():
		want = "text" // what was cut is no address
	case !c.fits():
		using = " USING " + c.name + "::text::" + want
	}
	if address && c.notNull {
		using += ", ALTER COLUMN " + c.name + " DROP NOT NULL"
	}
	return "ALTER TABLE " + l.name() + " ALTER COLUMN " + c.name + " TYPE " + want + using
}

// typeOf is the type of one of our columns, without constraints.
func typeOf(name string) string {
	for _, c := range columns {
		if c.name == name {
			word, _, _ := strings.Cut(c.sqlType, " ")
			return word
		}
	}
	return ""
}

func (c *column) text() bool { return c.oid == oidText || c.oid == oidVarchar || c.oid == oidChar }

// copyHeader and copyTrailer enclose binary rows.
var (
	copyHeader  = []byte("PGCOPY\n\xff\r\n\x00\x00\x00\x00\x00\x00\x00\x00\x00")
	copyTrailer = []byte{0xff, 0xff}
)

// rows makes a block's rows in the binary form of COPY, which is a tenth of the
// work of values through an interface.
type rows struct {
	o    *Output
	json format.Encoder // nil: fullquery stays empty

	buf     []byte
	starts  []int // where each event's rows begin, and the end
	clamped uint64

	event  event.Event
	record []byte // the event as JSON
	name   []byte
	now    int64
}

func newRows(o *Output) *rows {
	r := &rows{o: o}
	if o.full {
		if f, err := format.New("json", o.Common.Records); err == nil {
			r.json = f.NewEncoder()
		}
	}
	return r
}

// encode makes the rows of a block, for a table of that layout.
func (r *rows) encode(b *event.Block, l *layout, now time.Time) {
	r.buf, r.starts, r.clamped, r.now = r.buf[:0], r.starts[:0], 0, now.UnixNano()
	e := &r.event
	for events := b.Reader(); events.Next(e); {
		r.starts = append(r.starts, len(r.buf))
		r.record = r.record[:0]
		if r.json != nil {
			r.record = r.json.Append(r.record, e)
			r.record = r.record[:len(r.record)-1] // without the line's end
		}
		var row event.Row
		for list := e.Rows(); list.Next(&row); {
			r.name = list.AppendName(r.name[:0], &row)
			r.row(e, &row, l)
			r.record = r.record[:0] // it stands in the first row
		}
	}
	r.starts = append(r.starts, len(r.buf))
}

func (r *rows) row(e *event.Event, row *event.Row, l *layout) {
	r.buf = binary.BigEndian.AppendUint16(r.buf, uint16(len(l.columns)))
	for i := range l.columns {
		c := &l.columns[i]
		switch c.kind {
		case colPacketTime:
			r.time(e.Time)
		case colIndexTime:
			r.time(r.now)
		case colServer:
			r.text(c, []byte(r.o.Common.Server))
		case colSrcIP:
			r.addr(c, e.Src.Addr())
		case colDstIP:
			r.addr(c, e.Dst.Addr())
		case colProtocol:
			r.protocol(c, e.Proto)
		case colFullQuery:
			r.fullQuery(c)
		case colQuestion:
			r.text(c, r.name)
		default:
			r.number(c, value(c.kind, e, row))
		}
	}
}

// value is what a column of numbers holds.
func value(kind int, e *event.Event, row *event.Row) int64 {
	switch kind {
	case colIpVersion:
		return int64(e.IPVersion())
	case colQr:
		return one(e.DNS.Response())
	case colOpcode:
		return int64(e.DNS.Opcode())
	case colClass:
		return int64(row.Class)
	case colQtype:
		return int64(row.Type)
	case colEdns:
		return one(e.DNS.EDNS.Present)
	case colDo:
		return one(e.DNS.EDNS.DO)
	case colResponseCode:
		return int64(e.DNS.Rcode())
	default:
		return int64(e.Length())
	}
}

func one(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

func (r *rows) length(n int) { r.buf = binary.BigEndian.AppendUint32(r.buf, uint32(n)) }

// epoch is where PostgreSQL's clock begins, in Unix microseconds.
const epoch = 946684800_000000

func (r *rows) time(ns int64) {
	us := ns / 1000
	if ns%1000 < 0 { // before 1970: downwards, as everywhere
		us--
	}
	r.length(8)
	r.buf = binary.BigEndian.AppendUint64(r.buf, uint64(us-epoch))
}

// number writes v, or the nearest value that the column takes.
func (r *rows) number(c *column, v int64) {
	switch c.oid {
	case oidBool:
		if v > 1 {
			r.clamped++
		}
		r.length(1)
		r.buf = append(r.buf, byte(min(v, 1)))
	case oidInt2:
		if v > 1<<15-1 {
			v = 1<<15 - 1
			r.clamped++
		}
		r.length(2)
		r.buf = binary.BigEndian.AppendUint16(r.buf, uint16(v))
	case oidInt4:
		r.length(4)
		r.buf = binary.BigEndian.AppendUint32(r.buf, uint32(v))
	default:
		r.length(8)
		r.buf = binary.BigEndian.AppendUint64(r.buf, uint64(v))
	}
}

// text writes s, or as many of its characters as the column takes.
func (r *rows) text(c *column, s []byte) {
	if c.limit > 0 && len(s) > c.limit {
		n := 0
		for range c.limit {
			if n == len(s) {
				break
			}
			_, size := utf8.DecodeRune(s[n:])
			n += size
		}
		if n < len(s) {
			s = s[:n]
			r.clamped++
		}
	}
	r.length(len(s))
	r.buf = append(r.buf, s...)
}

// protocol writes the word for a carrier, or where that does not fit the one of three
// characters.
func (r *rows) protocol(c *column, p event.Proto) {
	word := p.String()
	if short := p.Short(); c.limit > 0 && len(word) > c.limit && len(short) <= c.limit {
		word = short
		r.clamped++
	}
	r.text(c, []byte(word))
}

func (r *rows) null() { r.buf = append(r.buf, 0xff, 0xff, 0xff, 0xff) }

// addr writes an address as it was on the wire: IPv4 as IPv4. One that is absent is
// null, or where it may not be an empty text or ::.
func (r *rows) addr(c *column, a netip.Addr) {
	if !a.IsValid() {
		if !c.notNull {
			r.null()
			return
		}
		r.clamped++
		if !c.text() {
			a = netip.IPv6Unspecified()
		}
	}
	if c.text() {
		var room [48]byte
		text := room[:0]
		if a.IsValid() { // else it would say so
			text = a.AppendTo(text)
		}
		r.text(c, text)
		return
	}
	const inet4, inet6 = 2, 3 // of the server, on every system
	family := byte(inet6)
	if a.Is4() {
		family = inet4
	}
	raw := a.AsSlice()
	r.length(4 + len(raw))
	r.buf = append(r.buf, family, byte(a.BitLen()), 0, byte(len(raw)))
	r.buf = append(r.buf, raw...)
}

// fullQuery writes the record, where it is asked for and this row is the
// message's first. A JSON column has no empty text.
func (r *rows) fullQuery(c *column) {
	switch {
	case c.oid == oidJSONB && len(r.record) > 0:
		r.withoutNUL()
		r.length(1 + len(r.record))
		r.buf = append(append(r.buf, 1), r.record...)
	case !c.text() && len(r.record) == 0:
		r.null()
	default:
		r.text(c, r.record)
	}
}

// withoutNUL puts U+FFFD in the place of U+0000 in the record: a text of the type
// jsonb cannot hold it, and whoever sends messages chooses what is in them.
func (r *rows) withoutNUL() {
	if !bytes.Contains(r.record, []byte(`\u0000`)) { // nearly all
		return
	}
	found := false
	for i := 0; i+1 < len(r.record); i++ {
		if r.record[i] != '\\' {
			continue
		}
		if bytes.HasPrefix(r.record[i:], []byte(`\u0000`)) {
			copy(r.record[i:], `\ufffd`)
			found = true
		}
		i++ // what is escaped begins nothing
	}
	if found {
		r.clamped++
	}
}
