//go:build linux

package server

import (
	"errors"
	"testing"

	"dnsmonster-sensor/test/lab"
)

// TestTried: a code alone decides what a trial has shown. What is not known is tried again.
func TestTried(t *testing.T) {
	for _, f := range []struct {
		err  error
		want Verdict
	}{
		{nil, CannotTry},
		{&Error{Code: 243}, Taken},
		{&Error{Code: 252, Message: "Too many partitions for single INSERT block"}, Taken},
		{&Error{Code: 469}, Refused},
		{&Error{Code: 469, View: "v"}, Unknown}, // the table itself takes the rows
		{&Error{Code: 115}, CannotTry},
		{&Error{Code: 164}, CannotTry},
		{&Error{Code: 452}, CannotTry},
		{&Error{Code: 241}, Unknown},
		{&Error{Code: 252, Message: "Too many parts"}, Unknown},
		{errors.New("cut"), Unknown},
	} {
		if got := Tried(f.err); got != f.want {
			t.Errorf("%v: %d, want %d", f.err, got, f.want)
		}
	}
}

// TestTrial: a server that is asked to try stores nothing, and forgets the token. One that
// does not know a required setting refuses the INSERT.
func TestTrial(t *testing.T) {
	c := lab.SharedChDB(t)
	table := c.Database + ".t"
	c.Exec(t, "CREATE TABLE "+table+" (a UInt8, CONSTRAINT even CHECK a % 2 = 0) ENGINE = MergeTree ORDER BY a SETTINGS non_replicated_deduplication_window = 10",
		"CREATE MATERIALIZED VIEW "+c.Database+".v (a UInt8) ENGINE = Memory AS SELECT a FROM "+table)
	insert := func(values []byte, s ...Setting) error {
		conn := dial(t, c.Addr, Config{})
		return conn.Insert(within(t, patience), "INSERT INTO "+table+" (a) VALUES", []Column{{Name: "a", Type: "UInt8", Rows: len(values), Data: [][]byte{values}}},
			append(s, Setting{Name: "insert_deduplication_token", Value: "one"}))
	}
	for range 2 {
		if v := Tried(insert([]byte{2, 4}, Trial)); v != Taken {
			t.Errorf("even numbers: %d", v)
		}
		if v := Tried(insert([]byte{2, 3}, Trial)); v != Refused {
			t.Errorf("an odd number: %d", v)
		}
		if v := Tried(insert([]byte{2, 4}, Setting{Name: "no_such_setting", Value: "1", Required: true})); v != CannotTry {
			t.Errorf("a setting that the server does not know: %d", v)
		}
		if n := c.Int(t, "SELECT (SELECT count() FROM "+table+") + (SELECT count() FROM "+c.Database+".v)"); n != 0 {
			t.Errorf("%d rows are stored", n)
		}
	}
	for range 2 {
		if err := insert([]byte{2, 4}); err != nil {
			t.Error(err)
		}
	}
	if v := Tried(insert([]byte{2, 4}, Trial)); v != Taken {
		t.Errorf("rows that the table has: %d", v)
	}
	if n := c.Int(t, "SELECT count() FROM "+table); n != 2 {
		t.Errorf("%d rows, want 2", n)
	}
}
