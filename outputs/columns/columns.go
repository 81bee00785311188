// Package columns is the one table of what a row can hold. CSV, PostgreSQL and
// every other output with rows take their values from it, so that a value is
// read and documented in one place; each says which columns it has, under which
// names and as which types.
//
// What comes in is an event and one of its rows (Row), what goes out is a value.
// The package imports no output and no library. Its tests make their own
// messages.
package columns

import (
	"fmt"
	"net/netip"
)

// Kind is the type of a column's values. It says by which accessor they are read.
type Kind uint8

// Kinds.
const (
	Time  Kind = 1 + iota // nanoseconds since the Unix epoch: Column.Time
	Uint                  // a number that fits into Column.Bits bits: Column.Uint
	Bool                  // 0 or 1: Column.Uint
	Float                 // a number that need not be whole: Column.Float
	Addr                  // an address as it was on the wire, IPv4 as IPv4: Column.Addr
	Text                  // printable text: Column.Append
	JSON                  // text that is one JSON object, or nothing: Column.Append
	Bytes                 // any bytes, as others have sent them: Column.Append
)

var kindWords = [...]string{"", "time", "whole number", "0 or 1", "number", "address", "text", "JSON", "bytes"}

// String is the word in the docs.
func (k Kind) String() string { return kindWords[k] }

// Column is one line of the table. Of the accessors exactly the one that Kind
// names is set. An accessor is a method of Row, borrows the row and allocates
// nothing; Append returns the extended dst.
//
// An accessor is called through a pointer, at two nanoseconds a call. Who cannot
// afford that, which is CSV alone, calls the same methods directly.
type Column struct {
	Name   string // the key of json-flat, where that has one
	Kind   Kind
	Bits   int    // of Uint: all values fit into that many
	Chars  int    // of Text: the longest value, 0 where there is no bound
	Doc    string // what it is
	Absent string // where a row has no value; "" where each row has one

	Time   func(*Row) int64
	Uint   func(*Row) uint64
	Float  func(*Row) float64
	Addr   func(*Row) netip.Addr
	Append func(r *Row, dst []byte) []byte

	// Present tells whether the row has a value. Where it has none the accessor
	// gives 0, the zero netip.Addr, or nothing. It is nil where Absent is empty.
	Present func(*Row) bool
}

// HasValue tells whether the row has a value.
func (c *Column) HasValue(r *Row) bool { return c.Present == nil || c.Present(r) }

// Values says in a few words which values there are.
func (c *Column) Values() string {
	switch {
	case c.Bits > 0:
		return fmt.Sprintf("%s, %d bits", c.Kind, c.Bits)
	case c.Chars > 0:
		return fmt.Sprintf("%s, up to %d characters", c.Kind, c.Chars)
	}
	return c.Kind.String()
}

// Named is a column under the name that it has in an output.
type Named struct {
	Name string
	ID   ID
}

// As gives the column a name.
func (id ID) As(name string) Named { return Named{name, id} }

// Lister is an output with rows: its columns stand in docs/columns.md.
type Lister interface {
	Columns() []Named
}
