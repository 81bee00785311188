//go:build linux

package clickhouse

import (
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"dnsmonster-sensor/outputs"
	"dnsmonster-sensor/test/chproxy/fault"
	"dnsmonster-sensor/test/lab"
	"dnsmonster-sensor/test/outputtest"
	"dnsmonster-sensor/test/testlog"
	"dnsmonster-sensor/userspace/event"
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

// TestRefusedBeyondTrials: the search for refused rows ends. What it has not told apart by then
// is refused together, counted, and said.
func TestRefusedBeyondTrials(t *testing.T) {
	c := lab.SharedChDB(t)
	o := created(t, c, c.Database, false)
	o.doubtPeriod, o.maxTrials = 0, 16
	table := c.Database + ".DNS_LOG"
	c.Exec(t, "ALTER TABLE "+table+" ADD CONSTRAINT never CHECK Question NOT LIKE '%7.example.org.'")
	w := openWriter(t, o)
	c.Inserts(t)
	n, err := w.Write(attempt(t), outputtest.Queries(0, 64))
	stored := c.Int(t, "SELECT uniqExact(Question) FROM "+table)
	if n <= 6 || n+stored != 64 || stored != c.Int(t, "SELECT count() FROM "+table) {
		t.Errorf("%d refused, %d stored; want all 64 in one of them, and more refused than the table refuses", n, stored)
	}
	if inserts := len(c.Inserts(t)); inserts > o.maxTrials+2 {
		t.Errorf("%d INSERTs", inserts)
	}
	wantParts(t, err, "left out in groups", "`never`")
	if n, err := w.Write(attempt(t), outputtest.Queries(100, 8)); n != 1 || strings.Contains(fmt.Sprint(err), "groups") {
		t.Errorf("a small block: %d refused, %v; want 1", n, err)
	}
	if len(w.begun) > 0 || len(w.progress.refuses) > 0 {
		t.Errorf("the writer remembers %d blocks, %d trials", len(w.begun), len(w.progress.refuses))
	}
}

// TestRefusedByEngines: engines without a disk store what was to be tried. It is not tried
// again, so each row is there once.
func TestRefusedByEngines(t *testing.T) {
	c := lab.SharedChDB(t)
	o := newOutput(t, "--clickhouseaddress="+c.Addr, "--clickhousedatabase="+c.Database)
	o.doubtPeriod = 0
	table := c.Database + ".DNS_LOG"
	for _, engine := range []string{"Memory", "Log", "ReplacingMergeTree ORDER BY Question"} {
		c.Exec(t, "CREATE OR REPLACE TABLE "+table+" (PacketTime DateTime, Question String, CONSTRAINT never CHECK Question NOT LIKE '%7.example.org.') ENGINE = "+engine)
		if n := deliver(t, openWriter(t, o), outputtest.Queries(0, 30)); n != 3 {
			t.Errorf("%s: %d refused, want 3", engine, n)
		}
		if got := sum(t, c, "SELECT count(), uniqExact(Question) FROM "+table); got != "27 27" {
			t.Errorf("%s: %s rows and names, want 27 of each", engine, got)
		}
	}
}

// constraintGoesWhileAnswerLost: the answer about the rows that a table takes is lost, and
// then it takes the others, too. With the batch's token they would not be stored: they stay
// refused, and none counts as stored that is not.
func constraintGoesWhileAnswerLost(s *disturbed) {
	o := created(s, s.c, s.database, true)
	o.doubtPeriod = 0
	for _, at := range []fault.At{fault.Stored, fault.Data} {
		w, b := openWriter(s, o), s.block(10)
		s.c.Exec(s, "ALTER TABLE "+s.table()+" ADD CONSTRAINT never CHECK Question NOT LIKE '%7.example.org.'")
		before := s.c.Int(s, "SELECT count() FROM "+s.table())
		// Neither the answer about the batch is lost, nor those of 6 trials.
		s.c.SetFaults(s, fault.Fault{Times: 7, At: at, Do: fault.Delay, Milliseconds: 1}, fault.Fault{Times: 1, At: at, Do: fault.Close})
		if n, err := w.Write(attempt(s), b); n != 0 || err == nil {
			s.Fatalf("%s: %d refused, %v; want a lost answer", at, n, err)
		}
		s.c.Exec(s, "ALTER TABLE "+s.table()+" DROP CONSTRAINT never")
		refused := deliver(s, w, b)
		if stored := s.c.Int(s, "SELECT count() FROM "+s.table()) - before; refused != 1 || stored != 9 {
			s.Errorf("%s: %d refused and %d stored of 10", at, refused, stored)
		}
	}
}

// TestRefusedBesideUnselected: a refused event is counted, also if the filters have selected
// no question of the others.
func TestRefusedBesideUnselected(t *testing.T) {
	c := lab.SharedChDB(t)
	o := created(t, c, c.Database, false)
	o.doubtPeriod = 0
	c.Exec(t, "ALTER TABLE "+c.Database+".DNS_LOG ADD CONSTRAINT never CHECK Question = ''")
	w := openWriter(t, o)
	for _, n := range []int{1, 2, 5} {
		var list []*event.Event
		for i := range n {
			list = append(list, outputtest.Query(i))
		}
		unselected := outputtest.Query(n)
		unselected.Selected = []byte{0}
		if got := deliver(t, w, outputtest.Block(append(list, unselected, unselected)...)); got != n {
			t.Errorf("%d refused, want %d", got, n)
		}
	}
	if got := c.Int(t, "SELECT count() FROM "+c.Database+".DNS_LOG"); got != 0 {
		t.Errorf("%d rows, want none", got)
	}
}

// constraintWhileAnswerLost: after an answer was lost, the table begins to refuse some of
// the rows. Whether it has the batch or not, each row is there once at most, and those that
// it takes are there.
func constraintWhileAnswerLost(s *disturbed) {
	o := created(s, s.c, s.database, true)
	o.doubtPeriod = 0
	for i, f := range []struct {
		at      fault.At
		restart bool
		want    string // rows, names, queries
	}{
		{fault.Stored, false, "30 30 15"},
		{fault.Data, false, "27 27 15"},
		{fault.Stored, true, "30 30 15"},
		{fault.Data, true, "27 27 15"},
	} {
		w := openWriter(s, o)
		from := s.n
		b := s.block(30)
		s.c.SetFaults(s, fault.Fault{Times: 1, At: f.at, Do: fault.Close})
		if n, err := w.Write(attempt(s), b); n != 0 || err == nil {
			s.Errorf("%+v: %d refused, %v; want a lost answer", f, n, err)
		}
		if f.restart {
			w = openWriter(s, o)
		}
		s.c.Exec(s, "ALTER TABLE "+s.table()+" ADD CONSTRAINT never CHECK Question NOT LIKE '%7.example.org.'")
		s.c.Inserts(s)
		if n := deliver(s, w, b); n != 3 {
			s.Errorf("%+v: %d refused, want 3", f, n)
		}
		if n := len(s.c.Inserts(s)); n > 30 {
			s.Errorf("%+v: %d INSERTs", f, n)
		}
		if n := deliver(s, openWriter(s, o), b); n != 3 { // as after a restart
			s.Errorf("%+v: %d refused when the batch was written already, want 3", f, n)
		}
		s.c.Exec(s, "ALTER TABLE "+s.table()+" DROP CONSTRAINT never")
		where := fmt.Sprintf(" WHERE Question >= '%s'", outputtest.QueryName(from))
		got := sum(s, s.c, "SELECT count(), uniqExact(Question), countIf(QR = 0) FROM "+s.table()+where)
		if got != f.want {
			s.Errorf("%d: %+v: the log has %s; want %s", i, f, got, f.want)
		}
		if got, want := sum(s, s.c, "SELECT sum(c) FROM "+s.database+".DNS_PROTOCOL"), sum(s, s.c, "SELECT count() FROM "+s.table()); got != want {
			s.Errorf("%+v: an aggregate has %s, the log %s", f, got, want)
		}
	}
	if n := o.maybeDoubled.Load(); n != 0 {
		s.Errorf("%d records may be doubled", n)
	}
}

// limitWhileAnswerLost: after an answer was lost, the server takes fewer partitions at once.
func limitWhileAnswerLost(s *disturbed) {
	o := s.spread("toUInt32(substring(Question, 2, 6)) % 10")
	w := openWriter(s, o)
	for _, at := range []fault.At{fault.Stored, fault.Data} {
		b := s.block(20)
		s.c.SetFaults(s, fault.Fault{Times: 1, At: at, Do: fault.Close})
		if _, err := w.Write(attempt(s), b); err == nil {
			s.Error("no answer was lost")
		}
		s.c.Exec(s, "SET max_partitions_per_insert_block = 5")
		deliver(s, w, b)
		s.expectAll()
		deliver(s, w, s.block(20)) // one that was not sent is divided
		s.expectAll()
		s.c.Exec(s, "SET max_partitions_per_insert_block = DEFAULT")
	}
	if n := o.splits.Load(); n != 2 {
		s.Errorf("%d batches were split, want 2", n)
	}
}

// noTrials: where rows cannot be tried, a batch is halved, and none of its rows is lost. If
// that may double them, they are counted, and the log says so.
func noTrials(s *disturbed) {
	log := &testlog.Log{}
	o := created(s, s.c, s.database, false)
	o.SetCommon(outputs.Common{Server: "sensor1", Log: slog.New(slog.NewTextHandler(log, nil))})
	o.doubtPeriod = 0
	w := openWriter(s, o)
	const never = "never CHECK Question NOT LIKE '%7.example.org.'"
	refused := func(b *event.Block, again bool, faults ...fault.Fault) {
		s.Helper()
		s.c.SetFaults(s, fault.Fault{Times: 1, At: fault.Stored, Do: fault.Close})
		if again {
			w.Write(attempt(s), b)
		}
		s.c.SetFaults(s, faults...)
		s.c.Exec(s, "ALTER TABLE "+s.table()+" ADD CONSTRAINT "+never)
		if n := deliver(s, w, b); n != 1 {
			s.Errorf("%d refused, want 1", n)
		}
		s.c.Exec(s, "ALTER TABLE "+s.table()+" DROP CONSTRAINT never")
	}
	has := func(want string, doubled int) {
		s.Helper()
		if got := sum(s, s.c, "SELECT count(), uniqExact(Question) FROM "+s.table()); got != want {
			s.Errorf("rows and names: %s, want %s", got, want)
		}
		if got := o.maybeDoubled.Load(); got != uint64(doubled) || strings.Contains(log.String(), "may be stored twice") != (doubled > 0) {
			s.Errorf("%d may be doubled, want %d; the log:\n%s", got, doubled, log)
		}
	}
	first := fault.Fault{Times: 1, At: fault.Query, Do: fault.Delay, Milliseconds: 1} // for the whole batch
	for i, code := range []int{115, 164, 452} {
		refused(s.block(10), false, first, fault.Fault{Times: 1, At: fault.Query, Do: fault.Exception, Code: code, Message: "not this setting"})
		has(fmt.Sprintf("%d %[1]d", 9*(i+1)), 0)
	}
	// The table has a setting of its own, which comes first.
	s.c.Exec(s, "ALTER TABLE "+s.table()+" MODIFY SETTING min_free_disk_bytes_to_perform_insert = 1")
	refused(s.block(10), false)
	has("36 36", 0)
	refused(s.block(10), true)
	has("55 46", 10)
}
