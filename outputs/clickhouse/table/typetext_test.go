package table

import (
	"fmt"
	"strings"
	"testing"
)

// write writes a type as the parser understands it.
func (t *typeText) write(b *strings.Builder) {
	switch {
	case t.isNum:
		fmt.Fprint(b, t.value)
		return
	case t.name == "":
		fmt.Fprintf(b, "%s=%d", literal(t.text), t.value)
		return
	}
	b.WriteString(t.name)
	for i := range t.args {
		b.WriteByte("(,"[min(i, 1)])
		t.args[i].write(b)
	}
	if len(t.args) > 0 {
		b.WriteByte(')')
	}
}

func TestParseType(t *testing.T) {
	for text, want := range map[string]string{
		"UInt8":                                                          "UInt8",
		"DateTime64(9, 'Europe/Berlin')":                                 "DateTime64(9,'Europe/Berlin'=0)",
		"LowCardinality(Nullable(String))":                               "LowCardinality(Nullable(String))",
		`Enum8('a' = -1, 'it\'s, (\\)' = 2)`:                             `Enum8('a'=-1,'it\'s, (\\)'=2)`,
		"SimpleAggregateFunction(sum, UInt64)":                           "SimpleAggregateFunction(sum,UInt64)",
		" Array( Tuple(Int8 , FixedString( 3 ) ) ) ":                     "Array(Tuple(Int8,FixedString(3)))",
		"Enum8('\\t\\n\\0\\b\\f\\r' = 1)":                                "Enum8('\t\n\x00\b\f\r'=1)",
		"Object('json')":                                                 "Object('json'=0)",
		"AggregateFunction(quantiles(1, 2), UInt32)":                     "AggregateFunction(quantiles(1,2),UInt32)",
		strings.Repeat("Array(", 15) + "UInt8" + strings.Repeat(")", 15): strings.Repeat("Array(", 15) + "UInt8" + strings.Repeat(")", 15),
	} {
		got, err := parseType(text)
		var b strings.Builder
		if got.write(&b); err != nil || b.String() != want {
			t.Errorf("%s: %s, %v, want %s", text, b.String(), err, want)
		}
	}
	for _, text := range []string{
		"", "(", ")", "UInt8)", "UInt8 UInt8", "Array(", "Array(UInt8", "Array(UInt8,", "Array(UInt8 UInt16)", "'a'", "3", "Enum8('a' = )", "Enum8('a", "Enum8('a\\",
		"Enum8('a' = 99999999999999999999)", "FixedString(-)", "+", "Tuple(a UInt8)", strings.Repeat("Array(", 1000), strings.Repeat("x", maxTypeLength+1),
	} {
		if got, err := parseType(text); err == nil {
			t.Errorf("%.50q is read as %+v", text, got)
		}
	}
}

// FuzzParseType: whatever the server answers is read or refused, and what is read is
// written and read alike.
func FuzzParseType(f *testing.F) {
	for _, s := range []string{"DateTime64(3, 'UTC')", "Enum16('a' = 1, 'b\\'' = -2)", "LowCardinality(Nullable(FixedString(3)))", "Tuple(", "Array(UInt8"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		first, err := parseType(s)
		if err != nil {
			return
		}
		var a, b strings.Builder
		first.write(&a)
		again, err := parseType(a.String())
		if again.write(&b); err != nil || a.String() != b.String() {
			t.Fatalf("%q is written as %q, and that read as %q, %v", s, a.String(), b.String(), err)
		}
		for _, c := range fields {
			d := &Def{Database: "db", Table: "t", Columns: []ColumnDef{{"PacketTime", "DateTime", ""}}}
			if c.Name != "PacketTime" {
				d.Columns = append(d.Columns, ColumnDef{c.Name, s, ""})
			}
			if p, err := d.Plan(Options{}); err == nil {
				NewEncoder(p).Encode(shapes()[:1][0], now)
			}
		}
	})
}
