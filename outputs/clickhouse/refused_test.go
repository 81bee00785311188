package clickhouse

import (
	"strings"
	"testing"
	"time"

	"dnsmonster-sensor/test/lab"
	"dnsmonster-sensor/test/outputtest"
)

// TestConstraintStays: a table that begins to refuse rows is doubted for a while. Then only
// the rows that it refuses are left out, counted once, and each of the others is stored
// once.
func TestConstraintStays(t *testing.T) {
	c := lab.SharedChDB(t)
	o := created(t, c, c.Database, false)
	o.doubtPeriod = 300 * time.Millisecond
	table := c.Database + ".DNS_LOG"
	c.Exec(t, "ALTER TABLE "+table+" ADD CONSTRAINT never CHECK Question NOT LIKE '%7.example.org.'")
	w := openWriter(t, o)
	b, began := outputtest.Queries(0, 30), time.Now()
	if n := deliver(t, w, b); n != 3 || time.Since(began) < o.doubtPeriod {
		t.Errorf("%d refused after %s, want 3 after %s", n, time.Since(began), o.doubtPeriod)
	}
	if got := sum(t, c, "SELECT count(), uniq(Question) FROM "+table); got != "27 27" {
		t.Errorf("%s rows and names, want 27 of each", got)
	}
	if n, err := w.Write(attempt(t), outputtest.Queries(100, 10)); n != 1 || err == nil || !strings.Contains(err.Error(), "`never`") {
		t.Errorf("a second block: %d refused, %v; want 1 at once", n, err)
	}
	c.Exec(t, "ALTER TABLE "+table+" DROP CONSTRAINT never")
	if n := deliver(t, w, outputtest.Queries(200, 10)); n != 0 {
		t.Errorf("%d refused without a constraint", n)
	}
	if got := sum(t, c, "SELECT count(), uniq(Question) FROM "+table); got != "46 46" {
		t.Errorf("%s rows and names, want 46 of each", got)
	}
}
