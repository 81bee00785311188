package psql

import (
	"fmt"

	"dnsmonster-sensor/outputs/columns"
)

// OIDs of the types that columns may have.
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

// column is a column of the table that we write to.
type column struct {
	*field
	source   *columns.Column // of the field
	name     string
	oid      uint32
	limit    int    // in characters; 0: none
	typeText string // the type as the server writes it

	notNull bool // by a constraint of the column or of its domain
}

func (c *column) setField(f *field) { c.field, c.source = f, f.ID.Column() }

// fits reports whether the column's type can represent our values at all.
func (c *column) fits() bool {
	switch c.source.Kind {
	case columns.Time:
		return c.oid == oidTimestamp || c.oid == oidTimestampTZ
	case columns.Addr:
		return c.oid == oidInet || c.isText()
	case columns.Text:
		return c.isText()
	case columns.JSON:
		return c.isText() || c.oid == oidJSON || c.oid == oidJSONB
	case columns.Uint, columns.Bool:
		return c.oid == oidInt2 || c.oid == oidInt4 || c.oid == oidInt8 || c.oid == oidBool
	}
	return false
}

// lossNote says how values that the column cannot hold are changed. It is "" if the column
// can hold all values.
func (c *column) lossNote() string {
	switch {
	case c.oid == oidInt2 && c.source.Bits > 15:
		return "values above 32767 are written as 32767"
	case c.oid == oidBool && c.source.Kind != columns.Bool:
		return "values above 1 are written as 1"
	case c.limit > 0 && c.source.Chars > c.limit && c.short != nil && c.short.Chars <= c.limit:
		return "dnscryptudp and dnscrypttcp are written as dcu and dct"
	case c.limit > 0 && (c.source.Chars == 0 || c.source.Chars > c.limit):
		return fmt.Sprintf("longer texts are truncated to %d characters", c.limit)
	case c.notNull && c.source.Kind == columns.Addr:
		return "unknown addresses are written as " + c.substituteText()
	}
	return ""
}

// substituteText names what appendAddr writes for an unknown address in a NOT NULL column.
func (c *column) substituteText() string {
	if c.isText() {
		return "an empty string"
	}
	return "::"
}

// widenSQL is the statement that lets the column hold all values: with the type that
// it has in tables of our own, or without a length limit.
func (c *column) widenSQL(def *tableDef) string {
	want := c.typeName()
	using := ""
	address := c.source.Kind == columns.Addr
	switch {
	case c.oid == oidBool:
		using = " USING " + c.name + "::integer"
	case address && c.isText():
		want = "text" // truncated addresses cannot become inet
	case !c.fits():
		using = " USING " + c.name + "::text::" + want
	}
	if address && c.notNull {
		using += ", ALTER COLUMN " + c.name + " DROP NOT NULL"
	}
	return "ALTER TABLE " + def.name() + " ALTER COLUMN " + c.name + " TYPE " + want + using
}

func (c *column) isText() bool { return c.oid == oidText || c.oid == oidVarchar || c.oid == oidChar }
