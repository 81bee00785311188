// Package columns is the one table of the columns of rows. CSV, PostgreSQL and every
// other output with rows take their values from it, so that each value is read and
// documented once. An output chooses its columns, their names and their types.
//
// In: an event and one of its rows (Row). Out: a value. The package imports no output
// and no library. Its tests make their own messages.
package columns

import (
	"fmt"
	"net/netip"
)

// Kind is the type of a column's values. It determines the accessor.
type Kind uint8

// Kinds.
const (
	Time  Kind = 1 + iota // nanoseconds since the Unix epoch: Column.Time
	Uint                  // a number of at most Column.Bits bits: Column.Uint
	Bool                  // 0 or 1: Column.Uint
	Float                 // a number with decimals: Column.Float
	Addr                  // an address as it was on the wire, IPv4 as IPv4: Column.Addr
	Text                  // printable text: Column.Append
	JSON                  // one JSON object, or nothing: Column.Append
	Bytes                 // arbitrary bytes, as they were received: Column.Append
	Uints                 // a list of numbers of at most Column.Bits bits: Column.Uints
	Texts                 // a list of printable texts: Column.Texts
)

var kindWords = [...]string{"", "time", "whole number", "0 or 1", "number", "address", "text", "JSON", "bytes", "list of whole numbers", "list of texts"}

// String is the word in the docs.
func (k Kind) String() string { return kindWords[k] }

// Column is a line of the table. Exactly one accessor is set, which Kind determines.
// An accessor is a method of Row, borrows the row and allocates nothing; those with a
// dst append to it, and return it unless it is a pointer.
//
// Calling an accessor through its pointer takes two nanoseconds. CSV cannot afford
// that, and calls the same methods directly.
type Column struct {
	Name   string // also the key of json-flat, if it has one
	Kind   Kind
	Bits   int    // of Uint and Uints: bits of the largest value
	Chars  int    // of Text: length of the longest value; 0: unlimited
	Doc    string // its meaning, for docs/columns.md
	Absent string // when a row has no value; "": never

	Time   func(*Row) int64
	Uint   func(*Row) uint64
	Float  func(*Row) float64
	Addr   func(*Row) netip.Addr
	Append func(r *Row, dst []byte) []byte
	Uints  func(r *Row, dst []uint32) []uint32
	Texts  func(r *Row, dst *TextList)

	// Present reports whether the row has a value. If not, the accessor returns 0, the
	// zero netip.Addr, nothing, or an empty list. It is nil if Absent is empty.
	Present func(*Row) bool
}

// HasValue reports whether the row has a value in the column.
func (c *Column) HasValue(r *Row) bool { return c.Present == nil || c.Present(r) }

// Values describes the values in a few words.
func (c *Column) Values() string {
	switch {
	case c.Bits > 0:
		return fmt.Sprintf("%s, %d bits", c.Kind, c.Bits)
	case c.Chars > 0:
		return fmt.Sprintf("%s, up to %d characters", c.Kind, c.Chars)
	}
	return c.Kind.String()
}

// Named is a column with its name in an output.
type Named struct {
	Name string
	ID   ID
}

// As gives the column a name.
func (id ID) As(name string) Named { return Named{name, id} }

// Lister is an output with rows. docs/columns.md lists its columns.
type Lister interface {
	Columns() []Named
}
