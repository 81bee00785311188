package psql

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"net/netip"
	"time"
	"unicode/utf8"

	"dnsmonster-sensor/outputs/columns"
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

// fits says whether the column's type can take its values.
func (c *column) fits() bool {
	switch c.from.Kind {
	case columns.Time:
		return c.oid == oidTimestamp || c.oid == oidTimestampTZ
	case columns.Addr:
		return c.oid == oidInet || c.text()
	case columns.Text:
		return c.text()
	case columns.JSON:
		return c.text() || c.oid == oidJSON || c.oid == oidJSONB
	case columns.Uint, columns.Bool:
		return c.oid == oidInt2 || c.oid == oidInt4 || c.oid == oidInt8 || c.oid == oidBool
	}
	return false
}

// narrow says what becomes of values that the column does not take, "" where it
// takes all.
func (c *column) narrow() string {
	switch {
	case c.oid == oidInt2 && c.from.Bits > 15:
		return "values above 32767 are cut to that"
	case c.oid == oidBool && c.from.Kind != columns.Bool:
		return "values above 1 are cut to that"
	case c.limit > 0 && c.from.Chars > c.limit && c.short != nil && c.short.Chars <= c.limit:
		return "dnscryptudp and dnscrypttcp are written as dcu and dct"
	case c.limit > 0 && (c.from.Chars == 0 || c.from.Chars > c.limit):
		return fmt.Sprintf("longer texts are cut to %d characters", c.limit)
	case c.notNull && c.from.Kind == columns.Addr:
		return "addresses that are not known are written as " + c.absent()
	}
	return ""
}

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
	want := c.typeName()
	using := ""
	address := c.from.Kind == columns.Addr
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
	values columns.Row // of the event
}

func newRows(o *Output) *rows {
	r := &rows{o: o}
	r.values.Event, r.values.Sensor = &r.event, []byte(o.Common.Server)
	if o.full {
		if f, err := format.New("json", o.Common.Records); err == nil {
			r.json = f.NewEncoder()
		}
	}
	return r
}

// encode makes the rows of a block, for a table of that layout.
func (r *rows) encode(b *event.Block, l *layout, now time.Time) {
	v := &r.values
	r.buf, r.starts, r.clamped, v.Now = r.buf[:0], r.starts[:0], 0, now.UnixNano()
	for events := b.Reader(); events.Next(&r.event); {
		r.starts = append(r.starts, len(r.buf))
		v.Record = v.Record[:0]
		if r.json != nil {
			v.Record = r.json.Append(v.Record, &r.event)
			v.Record = v.Record[:len(v.Record)-1] // without the line's end
		}
		for list := r.event.Rows(); list.Next(&v.Question); {
			r.row(v, l)
			v.Record = v.Record[:0] // it stands in the first row
		}
	}
	r.starts = append(r.starts, len(r.buf))
}

func (r *rows) row(v *columns.Row, l *layout) {
	r.buf = binary.BigEndian.AppendUint16(r.buf, uint16(len(l.columns)))
	for i := range l.columns {
		c := &l.columns[i]
		switch c.from.Kind {
		case columns.Time:
			r.time(c.from.Time(v))
		case columns.Uint, columns.Bool:
			r.number(c, c.from.Uint(v))
		case columns.Addr:
			r.addr(c, c.from.Addr(v))
		case columns.JSON:
			r.fullQuery(c)
		default:
			r.text(c)
		}
	}
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
func (r *rows) number(c *column, v uint64) {
	switch c.oid {
	case oidBool:
		r.length(1)
		r.buf = append(r.buf, byte(r.clamp(v, 1)))
	case oidInt2:
		r.length(2)
		r.buf = binary.BigEndian.AppendUint16(r.buf, uint16(r.clamp(v, math.MaxInt16)))
	case oidInt4:
		r.length(4)
		r.buf = binary.BigEndian.AppendUint32(r.buf, uint32(r.clamp(v, math.MaxInt32)))
	default:
		r.length(8)
		r.buf = binary.BigEndian.AppendUint64(r.buf, r.clamp(v, math.MaxInt64))
	}
}

func (r *rows) clamp(v, most uint64) uint64 {
	if v > most {
		r.clamped++
		return most
	}
	return v
}

// text writes a text, or as many of its characters as the column takes.
func (r *rows) text(c *column) {
	r.length(0)
	at := len(r.buf)
	r.buf = c.from.Append(&r.values, r.buf)
	if c.limit > 0 && len(r.buf)-at > c.limit && c.short != nil && c.short.Chars <= c.limit {
		r.buf = c.short.Append(&r.values, r.buf[:at])
		r.clamped++
	}
	r.endText(c, at)
}

// endText ends the text that begins at at, behind its length.
func (r *rows) endText(c *column, at int) {
	if s := r.buf[at:]; c.limit > 0 && len(s) > c.limit {
		n := 0
		for range c.limit {
			if n == len(s) {
				break
			}
			_, size := utf8.DecodeRune(s[n:])
			n += size
		}
		if n < len(s) {
			r.buf = r.buf[:at+n]
			r.clamped++
		}
	}
	binary.BigEndian.PutUint32(r.buf[at-4:], uint32(len(r.buf)-at))
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
		r.length(0)
		at := len(r.buf)
		if a.IsValid() { // else it would say so
			r.buf = a.AppendTo(r.buf)
		}
		r.endText(c, at)
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
	case c.oid == oidJSONB && len(r.values.Record) > 0:
		r.withoutNUL()
		r.length(1 + len(r.values.Record))
		r.buf = append(append(r.buf, 1), r.values.Record...)
	case !c.text() && len(r.values.Record) == 0:
		r.null()
	default:
		r.text(c)
	}
}

// withoutNUL puts U+FFFD in the place of U+0000 in the record: a text of the type
// jsonb cannot hold it, and whoever sends messages chooses what is in them.
func (r *rows) withoutNUL() {
	if !bytes.Contains(r.values.Record, []byte(`\u0000`)) { // nearly all
		return
	}
	found := false
	for i := 0; i+1 < len(r.values.Record); i++ {
		if r.values.Record[i] != '\\' {
			continue
		}
		if bytes.HasPrefix(r.values.Record[i:], []byte(`\u0000`)) {
			copy(r.values.Record[i:], `\ufffd`)
			found = true
		}
		i++ // what is escaped begins nothing
	}
	if found {
		r.clamped++
	}
}
