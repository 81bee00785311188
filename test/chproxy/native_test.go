//go:build linux

package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/ClickHouse/ch-go/proto"
)

func TestSplitType(t *testing.T) {
	f := func(text, name string, args ...string) {
		t.Helper()
		gotName, got := splitType(text)
		if gotName != name || strings.Join(got, "|") != strings.Join(args, "|") {
			t.Errorf("%s: %s %q", text, gotName, got)
		}
	}
	f("UInt8", "UInt8")
	f("DateTime64(3, 'UTC')", "DateTime64", "3", "'UTC'")
	f("Map(String, Array(UInt8))", "Map", "String", "Array(UInt8)")
	f(`Enum8('a\'(b, c' = 1, ')' = 2)`, "Enum8", `'a\'(b, c' = 1`, "')' = 2")
	f("Tuple(a UInt8, b Nullable(Decimal(9, 2)))", "Tuple", "a UInt8", "b Nullable(Decimal(9, 2))")
}

// TestColumnsEndWhereTheyEnd: a column is read to its end and no further.
func TestColumnsEndWhereTheyEnd(t *testing.T) {
	const version, flags = "\x01\x00\x00\x00\x00\x00\x00\x00", "\x00\x06\x00\x00\x00\x00\x00\x00"
	const one, two, three = "\x01\x00\x00\x00\x00\x00\x00\x00", "\x02\x00\x00\x00\x00\x00\x00\x00", "\x03\x00\x00\x00\x00\x00\x00\x00"
	f := func(typ string, rows int, data string) {
		t.Helper()
		column, err := parseType(typ)
		if err != nil {
			t.Fatal(err)
		}
		for _, discard := range []bool{false, true} {
			s := &stream{r: bufio.NewReader(strings.NewReader(data + "rest")), discard: discard}
			if err := errors.Join(column.state(s), column.data(s, rows)); err != nil {
				t.Fatalf("%s: %v", typ, err)
			}
			if rest, _ := io.ReadAll(s.r); string(rest) != "rest" {
				t.Errorf("%s: %q follows", typ, rest)
			}
			if !discard && string(s.kept) != data {
				t.Errorf("%s: kept %q", typ, s.kept)
			}
		}
	}
	f("UInt16", 2, "abcd")
	f("FixedString(3)", 2, "abcdef")
	f("Decimal(18, 2)", 1, "12345678")
	f("Nullable(UInt16)", 2, "\x00\x01abcd")
	f("String", 3, "\x00\x01a\x02bc")
	f("Array(String)", 2, one+three+"\x01a\x00\x01b")
	f("Array(LowCardinality(String))", 2, version+one+two+flags+one+"\x01a"+two+"\x00\x00")
	f("Array(LowCardinality(String))", 1, version+"\x00\x00\x00\x00\x00\x00\x00\x00")
	f("LowCardinality(Nullable(String))", 3, version+flags+two+"\x00\x01a"+three+"\x00\x01\x01")
	f("Map(String, UInt8)", 1, two+"\x01a\x01bcd")
	f("Tuple(a UInt8, b LowCardinality(UInt8))", 1, version+"x"+flags+one+"y"+one+"\x00")
	f("SimpleAggregateFunction(sum, UInt64)", 1, one)
	f("AggregateFunction(count)", 2, "\x05\x80\x01")
	f("AggregateFunction(1, sum, UInt8)", 1, one)
	f("AggregateFunction(max, UInt16)", 2, "\x00\x01ab")
	f("AggregateFunction(uniq, String)", 2, "\x00\x00\x00\x02hashhash")
	if _, err := parseType("Array(JSON)"); err == nil {
		t.Error("JSON has a length")
	}
}

func TestErrorsOfTheEngine(t *testing.T) {
	f := func(text string, code proto.Error, want string) {
		t.Helper()
		if e := asException(errors.New(text)); e.code != code || e.text != want {
			t.Errorf("%q: %d %q", text, e.code, e.text)
		}
	}
	f("Code: 60. DB::Exception: Table default.log does not exist. (UNKNOWN_TABLE)", 60, "Table default.log does not exist.")
	f("Code: 33. DB::Exception: Cannot read all data (a, b). (CANNOT_READ_ALL_DATA) (version 26.7.2.1)", 33, "Cannot read all data (a, b).")
	f("something else", 1002, "something else")
}

func TestStatements(t *testing.T) {
	f := func(sql, want string) {
		t.Helper()
		if got := fmt.Sprintf("%q", insertSQL.FindStringSubmatch(sql)); got != want {
			t.Errorf("%s: %s, want %s", sql, got, want)
		}
	}
	f("SELECT 1", `[]`)
	f("INSERT INTO log SELECT 1", `[]`)
	f("INSERT INTO log VALUES (1)", `[]`)
	f("INSERT INTO log VALUES", `["INSERT INTO log VALUES" "INSERT INTO log " "log" ""]`)
	f("insert into db.`a b` (`x`, y) format Native;", "[\"insert into db.`a b` (`x`, y) format Native;\" \"insert into db.`a b` (`x`, y)\" \"db.`a b`\" \"`x`, y\"]")
	f("INSERT INTO log (a) SETTINGS async_insert=0 VALUES", `["INSERT INTO log (a) SETTINGS async_insert=0 VALUES" "INSERT INTO log (a) SETTINGS async_insert=0" "log" "a"]`)
}
