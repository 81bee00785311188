package psql

import (
	"bytes"
	"encoding/binary"
	"math"
	"net/netip"
	"time"
	"unicode/utf8"

	"dnsmonster-sensor/outputs/columns"
	"dnsmonster-sensor/outputs/format"
	"dnsmonster-sensor/userspace/event"
)

// copyHeader and copyTrailer enclose binary rows.
var (
	copyHeader  = []byte("PGCOPY\n\xff\r\n\x00\x00\x00\x00\x00\x00\x00\x00\x00")
	copyTrailer = []byte{0xff, 0xff}
)

// rowEncoder encodes the rows of a block in the binary form of COPY, at a tenth of the
// cost of values through interfaces.
type rowEncoder struct {
	o    *Output
	json format.Encoder // nil: fullquery stays empty

	buf     []byte
	starts  []int // offset of each event's rows, and the end
	clamped uint64

	event  event.Event
	values columns.Row // of the event
}

func newRowEncoder(o *Output) *rowEncoder {
	r := &rowEncoder{o: o}
	r.values.Event, r.values.Sensor = &r.event, []byte(o.Common.Server)
	if o.fullQuery {
		if f, err := format.New("json", o.Common.Records); err == nil {
			r.json = f.NewEncoder()
		}
	}
	return r
}

// encode encodes the rows of a block for a table with that definition.
func (r *rowEncoder) encode(b *event.Block, def *tableDef, now time.Time) {
	v := &r.values
	r.buf, r.starts, r.clamped, v.Now = r.buf[:0], r.starts[:0], 0, now.UnixNano()
	for events := b.Reader(); events.Next(&r.event); {
		r.starts = append(r.starts, len(r.buf))
		v.Record = v.Record[:0]
		if r.json != nil {
			v.Record = r.json.Append(v.Record, &r.event)
			v.Record = v.Record[:len(v.Record)-1] // without the line end
		}
		for list := r.event.Rows(); list.Next(&v.Question); {
			r.appendRow(v, def)
			v.Record = v.Record[:0] // only the first row has it
		}
	}
	r.starts = append(r.starts, len(r.buf))
}

func (r *rowEncoder) appendRow(v *columns.Row, def *tableDef) {
	r.buf = binary.BigEndian.AppendUint16(r.buf, uint16(len(def.columns)))
	for i := range def.columns {
		c := &def.columns[i]
		switch c.source.Kind {
		case columns.Time:
			r.appendTime(c.source.Time(v))
		case columns.Uint, columns.Bool:
			r.appendNumber(c, c.source.Uint(v))
		case columns.Addr:
			r.appendAddr(c, c.source.Addr(v))
		case columns.JSON:
			r.appendFullQuery(c)
		default:
			r.appendText(c)
		}
	}
}

func (r *rowEncoder) appendLength(n int) { r.buf = binary.BigEndian.AppendUint32(r.buf, uint32(n)) }

// postgresEpoch is the epoch of PostgreSQL in Unix microseconds.
const postgresEpoch = 946684800_000000

func (r *rowEncoder) appendTime(ns int64) {
	us := ns / 1000
	if ns%1000 < 0 { // before 1970: round down
		us--
	}
	r.appendLength(8)
	r.buf = binary.BigEndian.AppendUint64(r.buf, uint64(us-postgresEpoch))
}

// appendNumber appends v, or the nearest value that the column can hold.
func (r *rowEncoder) appendNumber(c *column, v uint64) {
	switch c.oid {
	case oidBool:
		r.appendLength(1)
		r.buf = append(r.buf, byte(r.clamp(v, 1)))
	case oidInt2:
		r.appendLength(2)
		r.buf = binary.BigEndian.AppendUint16(r.buf, uint16(r.clamp(v, math.MaxInt16)))
	case oidInt4:
		r.appendLength(4)
		r.buf = binary.BigEndian.AppendUint32(r.buf, uint32(r.clamp(v, math.MaxInt32)))
	default:
		r.appendLength(8)
		r.buf = binary.BigEndian.AppendUint64(r.buf, r.clamp(v, math.MaxInt64))
	}
}

func (r *rowEncoder) clamp(v, limit uint64) uint64 {
	if v > limit {
		r.clamped++
		return limit
	}
	return v
}

// appendText appends a text, truncated to the characters that the column can hold.
func (r *rowEncoder) appendText(c *column) {
	r.appendLength(0)
	at := len(r.buf)
	r.buf = c.source.Append(&r.values, r.buf)
	if c.limit > 0 && len(r.buf)-at > c.limit && c.short != nil && c.short.Chars <= c.limit {
		r.buf = c.short.Append(&r.values, r.buf[:at])
		r.clamped++
	}
	r.endText(c, at)
}

// endText ends the text that begins at at: it truncates it and sets its length.
func (r *rowEncoder) endText(c *column, at int) {
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

func (r *rowEncoder) appendNull() { r.buf = append(r.buf, 0xff, 0xff, 0xff, 0xff) }

// appendAddr appends an address as it was on the wire: IPv4 as IPv4. An unknown
// address is null or, in a column that is NOT NULL, an empty string or ::.
func (r *rowEncoder) appendAddr(c *column, a netip.Addr) {
	if !a.IsValid() {
		if !c.notNull {
			r.appendNull()
			return
		}
		r.clamped++
		if !c.isText() {
			a = netip.IPv6Unspecified()
		}
	}
	if c.isText() {
		r.appendLength(0)
		at := len(r.buf)
		if a.IsValid() { // AppendTo would write "invalid IP"
			r.buf = a.AppendTo(r.buf)
		}
		r.endText(c, at)
		return
	}
	const inet4, inet6 = 2, 3 // of the server, whatever its system
	family := byte(inet6)
	if a.Is4() {
		family = inet4
	}
	raw := a.AsSlice()
	r.appendLength(4 + len(raw))
	r.buf = append(r.buf, family, byte(a.BitLen()), 0, byte(len(raw)))
	r.buf = append(r.buf, raw...)
}

// appendFullQuery appends the record if this is the message's first row and records
// are asked for. A JSON column has no empty text.
func (r *rowEncoder) appendFullQuery(c *column) {
	switch {
	case c.oid == oidJSONB && len(r.values.Record) > 0:
		r.replaceNUL()
		r.appendLength(1 + len(r.values.Record))
		r.buf = append(append(r.buf, 1), r.values.Record...)
	case !c.isText() && len(r.values.Record) == 0:
		r.appendNull()
	default:
		r.appendText(c)
	}
}

// replaceNUL replaces U+0000 in the record with U+FFFD: jsonb cannot hold it, and
// senders of messages choose their content.
func (r *rowEncoder) replaceNUL() {
	if !bytes.Contains(r.values.Record, []byte(`\u0000`)) { // nearly all records
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
		i++ // skip the escaped character
	}
	if found {
		r.clamped++
	}
}
