package table

import (
	"encoding/binary"
	"time"

	"dnsmonster-sensor/outputs/columns"
	"dnsmonster-sensor/outputs/format"
)

// row is what a column's fill takes its values from.
type row struct {
	columns.Row
	first bool // of its message
}

// has reports whether the row has a value.
func (r *row) has(source *columns.Column) bool {
	if source.Kind == columns.JSON {
		return r.first
	}
	return source.HasValue(&r.Row)
}

// column encodes one column of the table in ClickHouse's native format. Its buffers are
// kept from block to block. Arrays, nullable values and dictionaries have a column of their
// values inside. Then buf holds the ends of the arrays, or which values are NULL.
type column struct {
	name, typ string
	source    *columns.Column
	constant  bool // all rows of a block have the same value
	ofAnswers bool // a list with an entry for each answer

	buf     []byte // after the pieces
	pieces  pieces
	kept    keeper
	clamped uint64

	// fill appends the values of rows to buf. uint and text append one value.
	fill      func(c *column, rows []row)
	fillValue func(c *column, rows []row) // of a constant
	uint      func(c *column, v uint64)
	text      func(c *column, v []byte)
	size      int            // bytes of a value; 0: it differs
	limit     uint64         // of numbers
	shift     int            // of a flag
	zone      *time.Location // of dates
	day       span           // the last date
	dayNo     int64
	scale     int64 // nanoseconds in a unit of time
	enum      *enum
	short     *columns.Column // for values that are too long

	inner   *column
	dict    *dictionary
	same    func(a, b *row) bool // of a dictionary: whether two rows have the same value for certain; nil: not known
	nullKey []byte               // in a dictionary of nullable values: what stands for NULL
	total   uint64               // of an array: values so far
	numbers []uint32
	texts   columns.TextList
	scratch []byte

	json         format.Encoder
	state, chain [][]byte
}

// reset begins a block.
func (c *column) reset() {
	c.buf, c.clamped, c.total = c.kept.reset(c.buf), 0, 0
	c.pieces.reset()
	if cap(c.texts.Bytes) > keepTexts {
		c.texts.Bytes = nil
	}
	if c.inner != nil {
		c.inner.reset()
	}
	if c.dict != nil {
		c.dict.reset(c.nullKey)
	}
}

// extend makes room for n bytes and returns it.
func (c *column) extend(n int) []byte {
	at := len(c.buf)
	c.reserve(n)
	c.buf = c.buf[:at+n]
	return c.buf[at:]
}

// reserve makes room for n bytes. A buffer grows by doubling: append would copy large ones
// many times.
func (c *column) reserve(n int) {
	if at := len(c.buf); cap(c.buf)-at < n {
		grown := make([]byte, at, max(at+n, 2*cap(c.buf), 4096))
		copy(grown, c.buf)
		c.buf = grown
	}
}

// expect makes room for the values of so many rows, if all have the same length.
func (c *column) expect(rows int) {
	switch {
	case c.dict != nil:
	case c.inner != nil:
		c.inner.expect(rows)
	default:
		c.reserve(c.size * rows)
	}
}

// finish returns the column's bytes, borrowed until reset.
func (c *column) finish() (state, data [][]byte) {
	c.state, c.chain = c.appendState(c.state[:0]), c.appendData(c.chain[:0])
	return c.state, c.chain
}

var dictionaryState = []byte{1, 0, 0, 0, 0, 0, 0, 0} // the version of the format of LowCardinality

func (c *column) appendState(list [][]byte) [][]byte {
	if c.dict != nil {
		list = append(list, dictionaryState)
	}
	if c.inner != nil {
		list = c.inner.appendState(list)
	}
	return list
}

func (c *column) appendData(list [][]byte) [][]byte {
	if c.dict != nil {
		return c.dict.appendData(list)
	}
	list = append(list, c.pieces.full...)
	if len(c.buf) > 0 {
		list = append(list, c.buf)
	}
	if c.inner != nil {
		list = c.inner.appendData(list)
	}
	return list
}

// clamps is the number of values that were changed since reset.
func (c *column) clamps() uint64 {
	n := c.clamped
	if c.inner != nil {
		n += c.inner.clamps()
	}
	return n
}

// memory is the bytes that the column keeps.
func (c *column) memory() int {
	n := cap(c.buf) + c.pieces.memory() + cap(c.scratch) + 4*cap(c.numbers) + cap(c.texts.Bytes) + 8*cap(c.texts.Ends)
	if c.inner != nil {
		n += c.inner.memory()
	}
	if c.dict != nil {
		n += c.dict.memory()
	}
	return n
}

// keeper decides when a kept buffer is much larger than its use.
type keeper struct{ peak, uses int }

// A buffer that no block of a period has filled to a quarter is replaced, unless it is
// small.
const (
	keepPeriod = 16
	keepBytes  = 64 << 10
	keepTexts  = 1 << 20 // of one message's answers: only hostile ones have more
)

// reset empties a buffer, and replaces one that is too large.
func (k *keeper) reset(buf []byte) []byte {
	k.peak = max(k.peak, len(buf))
	if k.uses++; k.uses < keepPeriod {
		return buf[:0]
	}
	if cap(buf) > keepBytes && cap(buf) > 4*k.peak {
		buf = make([]byte, 0, k.peak+k.peak/4)
	}
	k.peak, k.uses = 0, 0
	return buf[:0]
}

// appendVarint appends a length.
func appendVarint(dst []byte, v uint64) []byte { return binary.AppendUvarint(dst, v) }

// endString sets the length of the string that begins after one byte at at.
func endString(buf []byte, at int) []byte {
	n := len(buf) - at - 1
	if n < 0x80 {
		buf[at] = byte(n)
		return buf
	}
	var head [binary.MaxVarintLen64]byte
	size := binary.PutUvarint(head[:], uint64(n))
	buf = append(buf, head[:size-1]...)
	copy(buf[at+size:], buf[at+1:at+1+n])
	copy(buf[at:], head[:size])
	return buf
}
