package server

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"dnsmonster-sensor/test/lab"
)

// TestValuesAreThoseOfToString: what Query reads is what the server itself writes.
func TestValuesAreThoseOfToString(t *testing.T) {
	both := []string{
		"toUInt8(255)", "toUInt16(65535)", "toUInt32(4294967295)", "toUInt64(18446744073709551615)", "toInt8(-128)", "toInt16(-32768)", "toInt32(-2147483648)",
		"toInt64(-9223372036854775808)", "toFloat64(0.25)", "toFloat32(-1.5)", "'text'", "''", "toFixedString('udp', 3)",
		"toDate('2026-11-27')", "toDateTime('2026-11-27 21:00:00')", "toDateTime('2026-11-27 21:00:00', 'America/New_York')",
		"toUUID('61f0c404-5cb3-11e7-907b-a6006ad3dba0')", "toNullable('a')", "[1, 2]", "['it\\'s', 'a\\\\b']", "[[1], [], [2, 3]]", "emptyArrayString()", "[toDate('2026-11-27')]",
		"CAST('b', 'Enum8(\\'a\\' = -1, \\'b\\' = 1)')", "CAST('a', 'Enum16(\\'a\\' = -300)')", "[toNullable(1), NULL]",
		"number", "toString(number)",
	}
	modern := []string{
		"toDateTime64('2026-11-27 21:00:00.123', 3)", "toDateTime64('1969-12-31 23:59:59.9', 1, 'UTC')", "toIPv4('192.0.2.1')", "toIPv6('2001:db8::1')", "toIPv6('192.0.2.1')",
		"[toIPv6('::')]", "[toLowCardinality('a'), 'b']", "true", "toLowCardinality('lc')", "toLowCardinality(toNullable('lc'))", "[toLowCardinality(toNullable('a')), NULL]", "[toDateTime64('2026-11-27 21:00:00.123456', 6, 'UTC')]",
	}
	eachServer(t, func(t *testing.T, c *Conn, isOld bool) {
		exprs := both
		if !isOld {
			exprs = append(exprs[:len(exprs):len(exprs)], modern...)
		}
		for _, e := range exprs {
			r, err := c.Query(within(t, patience), "SELECT "+e+" AS a, toString(a) FROM system.numbers LIMIT 3")
			if err != nil {
				t.Fatalf("%s: %v", e, err)
			}
			if len(r.Rows) != 3 || r.Rows[2][0] != r.Rows[2][1] {
				t.Errorf("%s (%s): %q", e, r.Types[0], r.Rows)
			}
		}
	})
}

// TestInsertIntoServer: the rows are there, with each compression.
func TestInsertIntoServer(t *testing.T) {
	eachServer(t, func(t *testing.T, c *Conn, isOld bool) {
		db := c.config.Database
		for name, compression := range compressions {
			table := db + "." + name
			exec(t, c, "CREATE TABLE "+table+" (Day Date DEFAULT '2026-11-27', Number UInt32, Question String, Protocol LowCardinality(String)) ENGINE = MergeTree PARTITION BY Day ORDER BY Number")
			config := c.config
			config.Compression = compression
			conn := dial(t, c.Address(), config)
			sql := "INSERT INTO " + table + " (Number, Question, Protocol) VALUES"
			for range 2 {
				if err := conn.Insert(within(t, patience), sql, block(100_000), []Setting{{"async_insert", "0"}, {"no_such_setting", "1"}}); err != nil {
					t.Fatal(err)
				}
			}
			r, err := conn.Query(within(t, patience), "SELECT count(), sum(Number), uniq(Question), any(Question), countIf(Protocol = 'udp'), countIf(Protocol = 'tcp'), any(Day) FROM "+table)
			if err != nil {
				t.Fatal(err)
			}
			sum := 0
			for i := range 100_000 {
				sum += i & 0xffff
			}
			if want := []string{"200000", fmt.Sprint(2 * sum), "1", "example.org", "100000", "100000", "2026-11-27"}; fmt.Sprint(r.Rows[0]) != fmt.Sprint(want) {
				t.Errorf("%s: %q, want %q", name, r.Rows[0], want)
			}
			r, err = conn.Query(within(t, patience), "SELECT Protocol, toString(Protocol) FROM "+table+" WHERE Number < 2 ORDER BY Number")
			if err != nil || r.Types[0] != "LowCardinality(String)" || r.Rows[0][0] != "udp" || fmt.Sprint(r.Rows[0]) != "[udp udp]" || fmt.Sprint(r.Rows[len(r.Rows)-1]) != "[tcp tcp]" {
				t.Errorf("%s: %v, %v", name, r, err)
			}
		}
	})
}

// TestErrorsOfServer: what a server says about the mistakes that users make.
func TestErrorsOfServer(t *testing.T) {
	eachServer(t, func(t *testing.T, c *Conn, isOld bool) {
		db := c.config.Database
		exec(t, c, "CREATE TABLE "+db+".t (Number UInt32, Question String, Protocol LowCardinality(String)) ENGINE = Memory")
		exec(t, c, "CREATE VIEW "+db+".v AS SELECT * FROM "+db+".t")
		f := func(class Class, code int, sql string) {
			t.Helper()
			conn := dial(t, c.Address(), c.config)
			err := conn.Insert(within(t, patience), sql, block(3), nil)
			var said *Error
			errors.As(err, &said)
			if err == nil || Classify(err) != class || code != 0 && (said == nil || said.Code != code) || MayBeStored(err) && code != 48 || Advice(err, Target{Database: db, Table: "t"}) == "" {
				t.Errorf("%s: %v is %v, may be stored: %v, advice %q", sql, err, Classify(err), MayBeStored(err), Advice(err, Target{}))
			}
		}
		f(Setup, 60, "INSERT INTO "+db+".nothing (Number, Question, Protocol) VALUES")
		f(Setup, 81, "INSERT INTO nothing.t (Number, Question, Protocol) VALUES")
		f(Changed, 16, "INSERT INTO "+db+".t (Number, Question, Gone) VALUES")
		f(Setup, 48, "INSERT INTO "+db+".v (Number, Question, Protocol) VALUES")
		if err := dial(t, c.Address(), c.config).Exec(within(t, patience), "SELEC 1"); err == nil || Classify(err) != Setup || !strings.Contains(err.Error(), "SYNTAX_ERROR (code 62)") {
			t.Errorf("%v is %v", err, Classify(err))
		}
		exec(t, c, "DROP TABLE "+db+".t", "CREATE TABLE "+db+".t (Number UInt64, Question String, Protocol LowCardinality(String)) ENGINE = Memory")
		f(Changed, 0, "INSERT INTO "+db+".t (Number, Question, Protocol) VALUES")

		config := c.config
		config.User, config.Password = "nobody", "hush"
		if _, err := Dial(within(t, patience), c.Address(), config); isOld && (err == nil || Classify(err) != Setup || strings.Contains(err.Error(), "hush")) {
			t.Errorf("login: %v is %v", err, Classify(err))
		}
	})
}

// TestPartitionsAndConstraints: errors that only modern servers have.
func TestPartitionsAndConstraints(t *testing.T) {
	eachServer(t, func(t *testing.T, c *Conn, isOld bool) {
		if isOld {
			t.Skip("18.16 has neither")
		}
		db := c.config.Database
		exec(t, c, "CREATE TABLE "+db+".p (Number UInt32, Question String, Protocol LowCardinality(String)) ENGINE = MergeTree PARTITION BY Number ORDER BY Number",
			"CREATE TABLE "+db+".c (Number UInt32, Question String, Protocol LowCardinality(String), CONSTRAINT small CHECK Number < 2) ENGINE = MergeTree ORDER BY Number")
		f := func(class Class, table string) {
			t.Helper()
			conn := dial(t, c.Address(), c.config)
			err := conn.Insert(within(t, patience), "INSERT INTO "+db+"."+table+" (Number, Question, Protocol) VALUES", block(200), nil)
			if err == nil || Classify(err) != class {
				t.Errorf("%v is %v", err, Classify(err))
			}
			if r, err := c.Query(within(t, patience), "SELECT count() FROM "+db+"."+table); err != nil || r.Rows[0][0] != "0" {
				t.Errorf("rows %v, %v", r, err)
			}
		}
		f(Parts, "p")
		f(Rows, "c")
	})
}

func exec(t *testing.T, c *Conn, statements ...string) {
	t.Helper()
	for _, sql := range statements {
		if err := c.Exec(within(t, patience), sql); err != nil {
			t.Fatalf("%s: %v", sql, err)
		}
	}
}

// eachServer runs a test against a modern server.
func eachServer(t *testing.T, f func(t *testing.T, c *Conn, isOld bool)) {
	t.Run("26", func(t *testing.T) {
		s := lab.SharedChDB(t)
		f(t, dial(t, s.Addr, Config{Database: s.Database}), false)
	})
}
