package table

import (
	"bytes"
	"encoding/binary"
	"net/netip"

	"dnsmonster-sensor/userspace/dns"
)

// Lengths of a name and of a record that most do not exceed.
const (
	usualText   = 32
	usualRecord = 1024
)

// fillString fills a String with texts or bytes.
func fillString(c *column, rows []row) {
	c.reserve(usualText * len(rows))
	for i := range rows {
		at := len(c.buf)
		c.buf = endString(c.source.Append(&rows[i].Row, append(c.buf, 0)), at)
	}
}

// fillName is fillString for the name of the question.
func fillName(c *column, rows []row) {
	c.reserve(usualText * len(rows))
	for i := range rows {
		r, at := &rows[i].Row, len(c.buf)
		c.buf = append(c.buf, 0)
		if r.Question.HasQuestion {
			c.buf, _ = dns.AppendName(c.buf, r.Event.Message, r.Question.Name)
		}
		c.buf = endString(c.buf, at)
	}
}

// fillJSON writes the whole record into the first row of its message.
func fillJSON(c *column, rows []row) {
	if c.json != nil {
		c.reserve(usualRecord * len(rows))
	}
	for i := range rows {
		at := len(c.buf)
		c.buf = append(c.buf, 0)
		if rows[i].first && c.json != nil {
			c.buf = c.json.Append(append(c.buf, 0), rows[i].Event) // most records need two bytes for their length
			n := len(c.buf) - at - 3                               // without the line end
			c.buf = c.buf[:len(c.buf)-1]
			if n >= 1<<7 && n < 1<<14 {
				c.buf[at], c.buf[at+1] = byte(n)|0x80, byte(n>>7)
				continue
			}
			copy(c.buf[at+1:], c.buf[at+2:])
			c.buf = c.buf[:len(c.buf)-1]
		}
		c.buf = endString(c.buf, at)
	}
}

func appendString(c *column, v []byte) {
	c.buf = append(appendVarint(c.buf, uint64(len(v))), v...)
}

// appendFixed appends a text that is padded with zeros, or truncated.
func appendFixed(c *column, v []byte) {
	dst := c.extend(c.size)
	if len(v) > c.size {
		c.clamped++
	}
	clear(dst[copy(dst, v):])
}

// fillEachText fills any column that has text.
func fillEachText(c *column, rows []row) {
	for i := range rows {
		r := &rows[i].Row
		c.scratch = c.source.Append(r, c.scratch[:0])
		if c.short != nil && len(c.scratch) > c.size {
			c.scratch = c.short.Append(r, c.scratch[:0])
			c.clamped++
		}
		c.text(c, c.scratch)
	}
}

func fillIPv6(c *column, rows []row) {
	dst := c.extend(16 * len(rows))
	for i := range rows {
		a := c.source.Addr(&rows[i].Row)
		b := a.As16() // zeros, if there is none
		copy(dst[16*i:], b[:])
	}
}

// ipv4 is an address in four bytes. An IPv6 address has none.
func (c *column) ipv4(a netip.Addr) (b [4]byte) {
	a = a.Unmap()
	if a.Is4() {
		return a.As4()
	}
	if a.IsValid() {
		c.clamped++
	}
	return b
}

// fillIPv4 fills numbers.
func fillIPv4(c *column, rows []row) {
	for i := range rows {
		b := c.ipv4(c.source.Addr(&rows[i].Row))
		c.buf = le.AppendUint32(c.buf, binary.BigEndian.Uint32(b[:]))
	}
}

// fillIPv4Bytes fills the bytes in their order.
func fillIPv4Bytes(c *column, rows []row) {
	for i := range rows {
		b := c.ipv4(c.source.Addr(&rows[i].Row))
		c.buf = append(c.buf, b[:]...)
	}
}

func fillAddrText(c *column, rows []row) {
	for i := range rows {
		at := len(c.buf)
		c.buf = append(c.buf, 0)
		if a := c.source.Addr(&rows[i].Row); a.IsValid() {
			c.buf = a.AppendTo(c.buf)
		}
		c.buf = endString(c.buf, at)
	}
}

// fillNullable fills which values are NULL, and the values.
func fillNullable(c *column, rows []row) {
	dst := c.extend(len(rows))
	for i := range rows {
		dst[i] = 0
		if !rows[i].has(c.source) {
			dst[i] = 1
		}
	}
	if c.inner.enum == nil { // absent values are 0 or empty
		c.inner.fill(c.inner, rows)
		return
	}
	for i := range rows {
		if dst[i] == 1 {
			c.inner.appendEnum(c.inner.enum.least)
		} else {
			c.inner.fill(c.inner, rows[i:i+1])
		}
	}
}

func nullableUint(c *column, v uint64) {
	c.buf = append(c.buf, 0)
	c.inner.uint(c.inner, v)
}

func nullableText(c *column, v []byte) {
	c.buf = append(c.buf, 0)
	c.inner.text(c.inner, v)
}

// fillArray fills lists.
func fillArray(c *column, rows []row) {
	for i := range rows {
		r := &rows[i].Row
		n := 0
		switch {
		case c.ofAnswers && len(r.AnswerRecords) == 0: // half of all rows
		case c.source.Uints != nil:
			c.numbers = c.source.Uints(r, c.numbers[:0])
			n = len(c.numbers)
			for _, v := range c.numbers {
				c.inner.uint(c.inner, uint64(v))
			}
		default:
			c.texts.Reset()
			c.source.Texts(r, &c.texts)
			n = c.texts.Len()
			for k := range n {
				c.inner.text(c.inner, c.texts.At(k))
			}
		}
		c.total += uint64(n)
		c.buf = le.AppendUint64(c.buf, c.total)
	}
}

// fillDictionary fills a LowCardinality column.
func fillDictionary(c *column, rows []row) {
	in, nulls := c.inner, uint32(0)
	if c.nullKey != nil {
		nulls = 1
	}
	if c.constant {
		if c.dict.rows == 0 {
			in.fill(in, rows[:1])
			c.dict.add(in.buf[:in.valueLength(in.buf)], nulls)
			rows = rows[1:]
		}
		c.dict.repeat(len(rows))
		return
	}
	if c.same != nil {
		c.fillRuns(rows)
		return
	}
	in.buf = in.buf[:0]
	in.fill(in, rows)
	rest := in.buf
	if n := in.valueLength(rest); nulls == 0 && bytes.Equal(rest[n:], rest[:len(rest)-n]) { // all are the same
		c.dict.add(rest[:n], 0)
		c.dict.repeat(len(rows) - 1)
		return
	}
	for i := range rows {
		n := in.valueLength(rest)
		if nulls == 1 && !rows[i].has(c.source) {
			c.dict.addNull()
		} else {
			c.dict.add(rest[:n], nulls)
		}
		rest = rest[n:]
	}
}

// fillRuns is fillDictionary for a column whose neighbours mostly have the same value.
func (c *column) fillRuns(rows []row) {
	in := c.inner
	in.buf = in.buf[:0]
	for from := 0; from < len(rows); {
		to := from + 1
		for to < len(rows) && c.same(&rows[from], &rows[to]) {
			to++
		}
		at := len(in.buf)
		in.fill(in, rows[from:from+1])
		c.dict.add(in.buf[at:], 0)
		c.dict.repeat(to - from - 1)
		from = to
	}
}

func dictionaryUint(c *column, v uint64) {
	c.inner.buf = c.inner.buf[:0]
	c.inner.uint(c.inner, v)
	c.addToDictionary()
}

func dictionaryText(c *column, v []byte) {
	c.inner.buf = c.inner.buf[:0]
	c.inner.text(c.inner, v)
	c.addToDictionary()
}

func (c *column) addToDictionary() {
	nulls := uint32(0)
	if c.nullKey != nil {
		nulls = 1
	}
	c.dict.add(c.inner.buf, nulls)
}

// valueLength is the length of the value at the start of buf.
func (c *column) valueLength(buf []byte) int {
	if c.size > 0 {
		return c.size
	}
	if buf[0] < 0x80 {
		return 1 + int(buf[0])
	}
	n, head := binary.Uvarint(buf)
	return head + int(n)
}

// fillConstant fills a column whose rows all have the same value.
func fillConstant(c *column, rows []row) {
	at, before := len(c.buf), c.clamped
	c.fillValue(c, rows[:1])
	n := len(c.buf) - at
	c.extend(n * (len(rows) - 1))
	for to := at + n; to < len(c.buf); to += n {
		copy(c.buf[to:], c.buf[at:at+n])
	}
	c.clamped += (c.clamped - before) * uint64(len(rows)-1)
}
