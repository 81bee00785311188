//go:build linux

package clickhouse

import (
	"fmt"
	"testing"

	"dnsmonster-sensor/test/lab"
	"dnsmonster-sensor/test/outputtest"
)

// TestTableChanges alters a table while a writer is open. Rows are written as it is at each
// moment, and none is refused.
func TestTableChanges(t *testing.T) {
	c := lab.SharedChDB(t)
	o := created(t, c, c.Database, false)
	w, table, n := openWriter(t, o), c.Database+".DNS_LOG", 0
	for _, f := range []struct{ change, where string }{
		{"ADD COLUMN Remark String DEFAULT 'none'", "Remark = 'none'"},
		{"MODIFY COLUMN ResponseCode UInt32, MODIFY COLUMN Protocol String", "ResponseCode = 0 AND Protocol = 'udp'"},
		{"MODIFY COLUMN ResponseCode UInt8, RENAME COLUMN Direction TO Way", "ResponseCode = 0 AND Way = ''"},
		{"DROP COLUMN IPVersion, DROP COLUMN VLAN, ADD COLUMN VLAN UInt32", "VLAN = 0"},
		{"ADD COLUMN IPVersion Nullable(UInt8)", "IPVersion IS NULL"},
		{"", "IPVersion = 4"},
	} {
		if f.change != "" {
			c.Exec(t, "ALTER TABLE "+table+" "+f.change)
		} else {
			w.Close() // the next session sees a column that an INSERT does not need
		}
		if got := deliver(t, w, outputtest.Queries(n, 5)); got != 0 {
			t.Errorf("%s: %d refused", f.change, got)
		}
		want := fmt.Sprintf("5 5 %s", outputtest.QueryName(n))
		if got := sum(t, c, "SELECT count(), uniqExact(Question), min(Question) FROM "+table+" WHERE "+f.where+" AND Question >= '"+outputtest.QueryName(n)+"'"); got != want {
			t.Errorf("%s: the table has %s; want %s", f.change, got, want)
		}
		n += 5
	}
}

// TestTableDropped drops a table, and makes it again with other columns. The sensor does not
// make it itself, and loses nothing that was not in it.
func TestTableDropped(t *testing.T) {
	c := lab.SharedChDB(t)
	o := created(t, c, c.Database, false)
	w, table := openWriter(t, o), c.Database+".DNS_LOG"
	deliver(t, w, outputtest.Queries(0, 5))
	c.Exec(t, "DROP TABLE "+table+" SYNC")
	b := outputtest.Queries(5, 5)
	for range 3 {
		if n, err := w.Write(attempt(t), b); n != 0 || err == nil {
			t.Fatalf("%d refused, %v; want an error", n, err)
		} else {
			wantParts(t, err, "clickhouse init")
		}
	}
	if n := c.Int(t, "SELECT count() FROM system.tables WHERE database = '"+c.Database+"' AND name = 'DNS_LOG'"); n != 0 {
		t.Error("the table is there again")
	}
	c.Exec(t, "CREATE TABLE "+table+" (PacketTime DateTime, Server String, QR Bool, Question String, Weight Float64) ENGINE = MergeTree ORDER BY PacketTime")
	if n := deliver(t, w, b); n != 0 {
		t.Errorf("%d refused", n)
	}
	if got, want := sum(t, c, "SELECT count(), uniqExact(Question), min(Question) FROM "+table), "5 5 "+outputtest.QueryName(5); got != want {
		t.Errorf("the table has %s; want %s", got, want)
	}
}
