//go:build linux

package clickhouse

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"dnsmonster-sensor/outputs"
	"dnsmonster-sensor/outputs/clickhouse/schema"
	"dnsmonster-sensor/test/await"
	"dnsmonster-sensor/test/chproxy/fault"
	"dnsmonster-sensor/test/lab"
	"dnsmonster-sensor/test/lab/tier"
	"dnsmonster-sensor/test/outputtest"
	"dnsmonster-sensor/userspace/account"
	"dnsmonster-sensor/userspace/dns"
	"dnsmonster-sensor/userspace/event"
	"dnsmonster-sensor/userspace/packet"
)

// TestFaults disturbs a server. Whatever happens, each event is in the table once, and the
// aggregates have counted it once.
func TestFaults(t *testing.T) {
	t.Parallel()
	c := lab.StartChDB(t, lab.ChDBOptions{})
	for i, f := range []struct {
		name string
		play func(s *disturbed)
	}{
		{"answers lost", answersLost},
		{"exceptions", exceptions},
		{"cut everywhere", cutEverywhere},
		{"attempts end with their context", attemptsEnd},
		{"a connection ends while it is idle", idleEnds},
		{"a change while an answer is lost", changeWhileAnswerLost},
		{"the table is replaced while an answer is lost", replacedWhileAnswerLost},
		{"all kinds of trouble", allTrouble},
		{"a view fails", viewFails},
		{"an aggregate is dropped", aggregateDropped},
		{"an old replay into dnsmonster's layout", dnsmonsterLayout},
		{"a known key of partitions", knownKey},
		{"an unknown key of partitions", unknownKey},
		{"a constraint while an answer is lost", constraintWhileAnswerLost},
		{"a constraint goes while an answer is lost", constraintGoesWhileAnswerLost},
		{"a limit of partitions while an answer is lost", limitWhileAnswerLost},
		{"a server that cannot try rows", noTrials},
		{"a profile without dictionaries", withoutDictionaries},
	} {
		t.Run(f.name, func(t *testing.T) {
			defer c.SetFaults(t)
			f.play(&disturbed{T: t, c: c, database: fmt.Sprintf("faults%d", i)})
		})
	}
}

// disturbed is a scene with a server that can be disturbed, and with a database of its own.
type disturbed struct {
	*testing.T
	c        *lab.ChDB
	database string
	n        int // events that blocks had so far
}

func (s *disturbed) table() string { return s.database + ".DNS_LOG" }

// events are the next n events, some time apart. Those with even numbers are queries, the
// others answers; each stands for two.
func (s *disturbed) events(n int, apart time.Duration) (list []*event.Event) {
	for i := range n {
		e := outputtest.Query(s.n)
		e.Time += int64(i) * int64(apart)
		e.Sample = packet.Ratio{Keep: 1, Of: 2}
		if s.n%2 == 1 {
			e.Message[2] |= 0x80
			dns.Read(e.Message, false, &e.DNS)
		}
		list = append(list, e)
		s.n++
	}
	return list
}

// block is a block of the next n events.
func (s *disturbed) block(n int) *event.Block { return outputtest.Block(s.events(n, 0)...) }

// expectAll expects each event once in the log, and in each of the aggregates that there
// are.
func (s *disturbed) expectAll() {
	s.Helper()
	want := fmt.Sprintf("%d %d %s %s", s.n, s.n, outputtest.QueryName(0), outputtest.QueryName(s.n-1))
	if got := sum(s, s.c, "SELECT count(), uniqExact(Question), min(Question), max(Question) FROM "+s.table()); got != want {
		s.Errorf("the log has %s; want %s", got, want)
	}
	for _, row := range s.c.Query(s, "SELECT table FROM system.columns WHERE database = '"+s.database+"' AND name = 'w' AND table NOT LIKE '%_MV'") {
		counted := s.n
		switch row[0] {
		case "DNS_RESPONSECODE":
			counted = s.n / 2
		case "DNS_DOMAIN_COUNT", "DNS_EDNS", "DNS_OPCODE", "DNS_TYPE", "DNS_CLASS":
			counted = (s.n + 1) / 2
		}
		if got, want := sum(s, s.c, "SELECT sum(c), sum(w) FROM "+s.database+"."+row[0]), fmt.Sprintf("%d %d", counted, 2*counted); got != want {
			s.Errorf("%s has %s; want %s", row[0], got, want)
		}
	}
}

// aggregates is the number of aggregates that expectAll compares.
func (s *disturbed) aggregates() int {
	return s.c.Int(s, "SELECT count() FROM system.columns WHERE database = '"+s.database+"' AND name = 'w' AND table NOT LIKE '%_MV'")
}

func answersLost(s *disturbed) {
	w := openWriter(s, created(s, s.c, s.database, true))
	if n := s.aggregates(); n != 10 {
		s.Errorf("%d aggregates, want 10", n)
	}
	s.c.Inserts(s)
	for _, times := range []int{1, 3} {
		s.c.SetFaults(s, fault.Fault{Times: times, At: fault.Stored, Do: fault.Close})
		deliver(s, w, s.block(20))
	}
	s.expectAll()
	expectRepeated(s, 6)
}

// expectRepeated expects a number of INSERTs, and that those with the same token have the
// same rows: a sealed batch never grows.
func expectRepeated(s *disturbed, n int) {
	s.Helper()
	list := s.c.Inserts(s)
	rows := make(map[string]int)
	for _, i := range list {
		token := i.Settings["insert_deduplication_token"]
		if i.Settings["async_insert"] != "0" || i.Settings["insert_deduplicate"] != "1" || i.Settings["deduplicate_blocks_in_dependent_materialized_views"] != "1" || token == "" {
			s.Errorf("settings %v", i.Settings)
		}
		if was, repeated := rows[token]; repeated && was != i.Rows {
			s.Errorf("a batch had %d rows, and %d when it was repeated", was, i.Rows)
		}
		rows[token] = i.Rows
	}
	if len(list) != n {
		s.Errorf("%d INSERTs, want %d", len(list), n)
	}
}

// exceptions: what a server says while it is busy, without Keeper, full of parts, or unsure
// whether it has stored the data.
func exceptions(s *disturbed) {
	w := openWriter(s, created(s, s.c, s.database, false))
	for _, at := range []fault.At{fault.Query, fault.Header, fault.Data, fault.Stored} {
		for _, code := range []int{241, 252, 242, 999, 319} {
			s.c.SetFaults(s, fault.Fault{Times: 2, At: at, Do: fault.Exception, Code: code, Message: "now and then"})
			if n := deliver(s, w, s.block(2)); n != 0 {
				s.Errorf("code %d at %s: %d refused", code, at, n)
			}
		}
	}
	s.expectAll()
}

// cutEverywhere cuts the connection after each number of bytes of the answers, then of
// the requests.
func cutEverywhere(s *disturbed) {
	created(s, s.c, s.database, false)
	proxy := lab.StartProxy(s, s.c.Addr)
	o := newOutput(s, "--clickhouseaddress="+proxy.Addr, "--clickhousedatabase="+s.database)
	one := func(direction string, bytes int) (broke bool) {
		heal := proxy.AddFault(direction, "limit_data", map[string]any{"bytes": bytes})
		w, b := newWriter(o), s.block(2)
		defer w.Close()
		_, err := w.Write(attempt(s), b)
		heal()
		if err != nil {
			deliver(s, w, b)
		}
		return err != nil
	}
	coarse := tier.Length(307, 23)
	for _, direction := range []string{lab.Answers, lab.Requests} {
		bytes := rand.IntN(coarse)
		for one(direction, bytes) {
			bytes += coarse
		}
		if bytes < 1000 {
			s.Errorf("%s: everything is done after %d bytes: the cuts missed the block", direction, bytes)
		}
		for n := bytes - coarse; n < bytes && tier.Full(); n++ { // around the end of the block
			one(direction, n)
		}
		for from, to := bytes-coarse, bytes; to-from > 1; { // to the last byte
			if half := (from + to) / 2; one(direction, half) {
				from = half
			} else {
				to = half
			}
		}
	}
	s.expectAll()
	stored, again := make(map[string]bool), 0
	for _, i := range s.c.Inserts(s) {
		token := i.Settings["insert_deduplication_token"]
		if stored[token] {
			again++
		}
		stored[token] = stored[token] || i.Error == ""
	}
	if again == 0 {
		s.Error("no cut fell between the data and its answer")
	}
}

// attemptsEnd: Write returns soon after the end of its context, whatever the server waits
// for.
func attemptsEnd(s *disturbed) {
	w := openWriter(s, created(s, s.c, s.database, false))
	for _, f := range []fault.Fault{
		{At: fault.Query}, {At: fault.Header}, {At: fault.Block}, {At: fault.Data}, {At: fault.Stored},
		{Query: "system.columns"}, {Query: "system.tables"},
	} {
		if f.Query != "" {
			w.Close() // the table is read by the next session
			f.At = fault.Query
		}
		f.Do = fault.Hang
		s.c.SetFaults(s, f)
		ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
		b, began := s.block(2), time.Now()
		if _, err := w.Write(ctx, b); err == nil {
			s.Errorf("%+v: no error", f)
		}
		if took := time.Since(began); took > await.Limit/4 { // of a busy machine
			s.Errorf("%+v: Write returns after %s", f, took)
		}
		cancel()
		s.c.SetFaults(s)
		deliver(s, w, b)
	}
	s.expectAll()
}

// idleEnds: what is between sensor and server ends connections that nobody uses. The next
// block goes through a new one, and no attempt fails.
func idleEnds(s *disturbed) {
	created(s, s.c, s.database, false)
	proxy := lab.StartProxy(s, s.c.Addr)
	w := openWriter(s, newOutput(s, "--clickhouseaddress="+proxy.Addr, "--clickhousedatabase="+s.database))
	s.c.Inserts(s)
	for range 3 {
		for range 2 {
			if _, err := w.Write(attempt(s), s.block(2)); err != nil {
				s.Error(err)
			}
		}
		proxy.Down()
		proxy.Up()
		for _, open := range w.sessions {
			await.True(s, "the end of the connection has come", open.conn.Gone, &s.c.Log)
		}
	}
	connections := make(map[int]bool)
	for _, i := range s.c.Inserts(s) {
		connections[i.Connection] = true
	}
	if len(connections) != 3 {
		s.Errorf("%d connections, want 3", len(connections))
	}
	s.expectAll()
}

// allTrouble: three workers write while one fault follows another, and columns come and go.
func allTrouble(s *disturbed) {
	o := created(s, s.c, s.database, true)
	set, err := o.Settings()
	if err != nil {
		s.Fatal(err)
	}
	set.Workers, set.BatchSize, set.Timeout = 3, 10, 30*time.Second // an INSERT takes seconds on a busy machine; SetFaults ends what hangs
	set.RetryFirst, set.RetryMax = 5*time.Millisecond, 50*time.Millisecond
	r, err := outputs.NewRunner(o, set, false, event.NewIDs(), account.NewDeliveryCounters(), nil)
	if err != nil {
		s.Fatal(err)
	}
	r.Start(context.Background())
	in := r.Intake()
	moments := []fault.At{fault.Query, fault.Header, fault.Block, fault.Data, fault.Stored}
	for range tier.Length(4, 30) {
		f := fault.Fault{
			Times: 1 + rand.IntN(3), At: moments[rand.IntN(len(moments))], Milliseconds: 100, Message: "now and then",
			Do:   []fault.Do{fault.Close, fault.Hang, fault.Exception, fault.Delay}[rand.IntN(4)],
			Code: []int{241, 252, 242, 999, 319, 159, 1000}[rand.IntN(7)],
		}
		s.Logf("%+v", f)
		s.c.SetFaults(s, f)
		for _, e := range s.events(60, 0) {
			in.Offer(e)
		}
		in.Flush()
		s.c.Exec(s, "ALTER TABLE "+s.table()+" "+[]string{"DROP COLUMN IF EXISTS VLAN", "ADD COLUMN IF NOT EXISTS VLAN UInt32", "MODIFY COLUMN Size UInt64", "MODIFY COLUMN Size UInt32"}[rand.IntN(4)])
		time.Sleep(time.Duration(rand.IntN(300)) * time.Millisecond)
	}
	s.c.SetFaults(s)
	grace, cancel := context.WithTimeout(context.Background(), await.Limit)
	defer cancel()
	r.Stop(grace)
	l := r.Ledger(func() uint64 { return uint64(s.n) })
	for _, outcome := range l.Outcomes {
		if want := map[string]int{"delivered": s.n}[outcome.Name]; outcome.Value != uint64(want) {
			s.Errorf("%s %d, want %d", outcome.Name, outcome.Value, want)
		}
	}
	s.expectAll()
}

// changeWhileAnswerLost: the table is altered between a lost answer and the repetition.
func changeWhileAnswerLost(s *disturbed) {
	w := openWriter(s, created(s, s.c, s.database, true))
	s.c.SetFaults(s, fault.Fault{Times: 1, At: fault.Stored, Do: fault.Close})
	b := s.block(10)
	if _, err := w.Write(attempt(s), b); err == nil {
		s.Error("no answer was lost")
	}
	s.c.Exec(s, "ALTER TABLE "+s.table()+" MODIFY COLUMN Size UInt64, DROP COLUMN CaptureCut, ADD COLUMN Remark String")
	deliver(s, w, b)
	s.expectAll()
}

// replacedWhileAnswerLost: a table that may have a batch is made again, and servers no longer
// know it. The batch waits until all of them have said so, and not for ever.
func replacedWhileAnswerLost(s *disturbed) {
	created(s, s.c, s.database, false)
	second := lab.StartProxy(s, s.c.Addr)
	w := openWriter(s, newOutput(s, "--clickhouseaddress="+s.c.Addr, "--clickhouseaddress="+second.Addr, "--clickhousedatabase="+s.database))
	s.c.SetFaults(s, fault.Fault{Times: 1, At: fault.Stored, Do: fault.Close})
	b := s.block(10)
	if _, err := w.Write(attempt(s), b); err == nil {
		s.Error("no answer was lost")
	}
	s.c.Exec(s, "DROP TABLE "+s.table()+" SYNC")
	created(s, s.c, s.database, false)
	w.begun[b.ID()].group = "/clickhouse/tables/01/former" // it was replicated
	second.Down()
	for range 2 {
		if _, err := w.Write(attempt(s), b); err == nil {
			s.Error("the batch did not wait for a server that may have it")
		}
	}
	second.Up()
	await.True(s, "the batch is written", func() bool {
		_, err := w.Write(attempt(s), b)
		return err == nil
	}, &s.c.Log)
	s.expectAll()
}

// viewFails: the table has the rows, and a view refuses them until it is repaired. Then all
// of them have each row once. No row is blamed.
func viewFails(s *disturbed) {
	o := created(s, s.c, s.database, true)
	o.doubtPeriod = 0
	w := openWriter(s, o)
	deliver(s, w, s.block(4))
	view := " MATERIALIZED VIEW " + s.database + ".extra_MV"
	s.c.Exec(s, "CREATE TABLE "+s.database+".extra (Question String) ENGINE = MergeTree ORDER BY Question SETTINGS non_replicated_deduplication_window = 1000",
		"CREATE"+view+" TO "+s.database+".extra AS SELECT Question FROM "+s.table()+" WHERE throwIf(Question LIKE '%5.example.org.') = 0")
	b := s.block(4)
	for range 3 {
		if n, err := w.Write(attempt(s), b); n != 0 || err == nil {
			s.Errorf("%d refused, %v; want an error", n, err)
		} else {
			wantParts(s, err, "extra_MV", "repair or drop the materialized view")
		}
	}
	s.c.Exec(s, "ALTER TABLE "+s.database+".extra_MV MODIFY QUERY SELECT Question FROM "+s.table())
	if n := deliver(s, w, b); n != 0 {
		s.Errorf("%d refused", n)
	}
	s.expectAll()
	if got := sum(s, s.c, "SELECT count(), uniqExact(Question) FROM "+s.database+".extra"); got != "4 4" {
		s.Errorf("the repaired view has %s, want 4 rows", got)
	}
}

// aggregateDropped: rows wait until the table behind a view is there again.
func aggregateDropped(s *disturbed) {
	w := openWriter(s, created(s, s.c, s.database, true))
	s.c.Exec(s, "DROP TABLE "+s.database+".DNS_TYPE SYNC")
	b := s.block(6)
	for range 2 {
		if n, err := w.Write(attempt(s), b); n != 0 || err == nil {
			s.Errorf("%d refused, %v; want an error", n, err)
		} else {
			wantParts(s, err, "DNS_TYPE")
		}
	}
	created(s, s.c, s.database, true)
	deliver(s, w, b)
	s.expectAll()
}

// dnsmonsterLayout replays three months into tables whose partitions are days, also those
// within the views.
func dnsmonsterLayout(s *disturbed) {
	s.c.Exec(s, "CREATE DATABASE "+s.database)
	for _, st := range schema.Statements(schema.Options{Layout: schema.Dnsmonster, Database: s.database, Table: "DNS_LOG"}) {
		if slices.Contains([]string{"DNS_LOG", "DNS_DOMAIN_COUNT", "DNS_PROTOCOL"}, st.Name) { // a view takes long for each day
			s.c.Exec(s, st.SQL)
		}
	}
	w := openWriter(s, newOutput(s, "--clickhouseaddress="+s.c.Addr, "--clickhousedatabase="+s.database))
	s.c.SetFaults(s, fault.Fault{Times: 1, At: fault.Stored, Do: fault.Close})
	deliver(s, w, outputtest.Block(s.events(60, 36*time.Hour)...))
	s.expectAll()
	for table, want := range map[string]int{"DNS_DOMAIN_COUNT": 30, "DNS_PROTOCOL": 60} {
		if got := s.c.Int(s, "SELECT sum(c) FROM "+s.database+"."+table); got != want {
			s.Errorf("%s counts %d, want %d", table, got, want)
		}
	}
}

// spread makes a table with a key of partitions, and a view that counts its rows.
func (s *disturbed) spread(key string) *Output {
	const deduplicating = " SETTINGS non_replicated_deduplication_window = 1000"
	s.c.Exec(s, "CREATE DATABASE "+s.database,
		"CREATE TABLE "+s.table()+" (PacketTime DateTime64(6), Question String, QR UInt8, Weight Float64) ENGINE = MergeTree PARTITION BY "+key+" ORDER BY PacketTime"+deduplicating,
		"CREATE TABLE "+s.database+".counts (PacketTime DateTime, c UInt64, w Float64) ENGINE = SummingMergeTree ORDER BY PacketTime"+deduplicating,
		"CREATE MATERIALIZED VIEW "+s.database+".counts_MV TO "+s.database+".counts AS SELECT toDateTime(PacketTime) AS PacketTime, count() AS c, sum(Weight) AS w FROM "+s.table()+" GROUP BY PacketTime")
	return newOutput(s, "--clickhouseaddress="+s.c.Addr, "--clickhousedatabase="+s.database)
}

// knownKey: a batch with more days than one INSERT may bring is split by the days. Neither a
// lost answer nor an exception in the middle doubles a part.
func knownKey(s *disturbed) {
	o := s.spread("toYYYYMMDD(PacketTime)")
	w := openWriter(s, o)
	s.c.Inserts(s)
	s.c.SetFaults(s, fault.Fault{Times: 1, At: fault.Stored, Do: fault.Close},
		fault.Fault{Times: 1, At: fault.Stored, Do: fault.Exception, Code: 241, Message: "Memory limit exceeded"})
	deliver(s, w, outputtest.Block(s.events(150, 24*time.Hour)...))
	s.expectAll()
	expectRepeated(s, 5) // three parts, and two again
	if n := o.splits.Load(); n != 1 {
		s.Errorf("%d batches were split, want 1", n)
	}
}

// unknownKey: only the server knows the partitions. It refuses the batch, which is halved.
func unknownKey(s *disturbed) {
	o := s.spread("toUInt32(substring(Question, 2, 6)) % 101")
	w := openWriter(s, o)
	s.c.Inserts(s)
	b := s.block(101)
	for _, inserts := range []int{2, 1} { // the whole batch is refused once, and the answer to its first half is lost twice
		s.c.SetFaults(s, fault.Fault{Times: inserts, At: fault.Stored, Do: fault.Close})
		if _, err := w.Write(attempt(s), b); err == nil {
			s.Error("no answer was lost")
		}
	}
	s.c.SetFaults(s)
	deliver(s, w, b)
	if first := s.c.Inserts(s)[0]; first.Rows != 101 || !strings.Contains(first.Error, "Too many partitions") {
		s.Errorf("the first INSERT has %d rows, and %q", first.Rows, first.Error)
	}
	s.expectAll()
	// As after a restart: another writer knows nothing of what is stored.
	deliver(s, openWriter(s, o), b)
	s.expectAll()
	if n := o.splits.Load(); n != 2 {
		s.Errorf("%d batches were split, want 2", n)
	}
}
