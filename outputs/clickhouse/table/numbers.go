package table

import (
	"encoding/binary"
	"math"
	"strconv"

	"dnsmonster-sensor/outputs/columns"
	"dnsmonster-sensor/userspace/dns"
)

var le = binary.LittleEndian

// clamp returns v or the column's largest number.
func (c *column) clamp(v uint64) uint64 {
	if v > c.limit {
		c.clamped++
		return c.limit
	}
	return v
}

// fillUint fills a column of whole numbers.
func fillUint(c *column, rows []row) {
	get := c.source.Uint
	dst := c.extend(c.size * len(rows))
	switch c.size {
	case 1:
		for i := range rows {
			dst[i] = byte(c.clamp(get(&rows[i].Row)))
		}
	case 2:
		for i := range rows {
			le.PutUint16(dst[2*i:], uint16(c.clamp(get(&rows[i].Row))))
		}
	case 4:
		for i := range rows {
			le.PutUint32(dst[4*i:], uint32(c.clamp(get(&rows[i].Row))))
		}
	default:
		clear(dst)
		for i := range rows {
			le.PutUint64(dst[c.size*i:], c.clamp(get(&rows[i].Row)))
		}
	}
}

// flagOf is the bit of the header that a column shows. A quarter of our own table's columns
// are flags: reading them here takes a third of the time of a call for each value. A test
// compares the two.
var flagOf = map[columns.ID]uint16{
	columns.Response: dns.FlagQR, columns.Authoritative: dns.FlagAA, columns.Truncated: dns.FlagTC, columns.RecursionDesired: dns.FlagRD,
	columns.RecursionAvailable: dns.FlagRA, columns.AuthenticData: dns.FlagAD, columns.CheckingDisabled: dns.FlagCD,
}

// fillFlag is fillUint for a flag in one byte.
func fillFlag(c *column, rows []row) {
	dst := c.extend(len(rows))
	for i := range rows {
		dst[i] = byte(rows[i].Event.DNS.Flags >> c.shift & 1)
	}
}

func appendUint(c *column, v uint64) {
	v = c.clamp(v)
	dst := c.extend(c.size)
	switch c.size {
	case 1:
		dst[0] = byte(v)
	case 2:
		le.PutUint16(dst, uint16(v))
	case 4:
		le.PutUint32(dst, uint32(v))
	default:
		clear(dst)
		le.PutUint64(dst, v)
	}
}

// fillEachUint fills any column that has uint.
func fillEachUint(c *column, rows []row) {
	for i := range rows {
		c.uint(c, c.source.Uint(&rows[i].Row))
	}
}

func uintAsFloat(c *column, v uint64) { c.appendFloat(float64(v)) }

func uintAsText(c *column, v uint64) {
	at := len(c.buf)
	c.buf = endString(strconv.AppendUint(append(c.buf, 0), v, 10), at)
}

// uintAsEnum takes the number as the value of the Enum.
func uintAsEnum(c *column, v uint64) {
	number := c.enum.least
	if v <= math.MaxInt16 && c.enum.has[int16(v)] {
		number = int16(v)
	} else {
		c.clamped++
	}
	c.appendEnum(number)
}

func (c *column) appendFloat(v float64) {
	if c.size == 4 {
		c.buf = le.AppendUint32(c.buf, math.Float32bits(float32(v)))
		return
	}
	c.buf = le.AppendUint64(c.buf, math.Float64bits(v))
}

func fillFloat(c *column, rows []row) {
	for i := range rows {
		c.appendFloat(c.source.Float(&rows[i].Row))
	}
}

// fillFloatUint rounds to whole numbers.
func fillFloatUint(c *column, rows []row) {
	for i := range rows {
		v := c.source.Float(&rows[i].Row)
		whole := math.Round(v)
		if whole != v {
			c.clamped++
		}
		appendUint(c, uint64(whole))
	}
}

func fillFloatText(c *column, rows []row) {
	for i := range rows {
		at := len(c.buf)
		c.buf = endString(strconv.AppendFloat(append(c.buf, 0), c.source.Float(&rows[i].Row), 'g', -1, 64), at)
	}
}

// enum is the names and numbers of an Enum.
type enum struct {
	numbers map[string]int16
	has     map[int16]bool
	least   int16 // the Enum's default
}

func (c *column) appendEnum(v int16) {
	if c.size == 1 {
		c.buf = append(c.buf, byte(v))
		return
	}
	c.buf = le.AppendUint16(c.buf, uint16(v))
}

func textAsEnum(c *column, v []byte) {
	number, ok := c.enum.numbers[string(v)]
	if !ok {
		c.clamped++
		number = c.enum.least
	}
	c.appendEnum(number)
}
