//go:build linux

package psql

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"dnsmonster-sensor/outputs"
	"dnsmonster-sensor/test/outputtest"
	sensordns "dnsmonster-sensor/userspace/dns"
	"dnsmonster-sensor/userspace/event"
)

// dnsmonsterTable is how dnsmonster created its table.
const dnsmonsterTable = `CREATE TABLE IF NOT EXISTS $T (PacketTime timestamp, IndexTime timestamp, Server text, IPVersion integer, SrcIP inet, DstIP inet,
	Protocol char(3), QR smallint, OpCode smallint, Class int, Type integer, Edns0Present smallint, DoBit smallint, FullQuery text,
	ResponseCode smallint, Question text, Size smallint)`

// eventOfMessage is an event of a complete message.
func eventOfMessage(t *testing.T, m *dns.Msg) *event.Event {
	t.Helper()
	wire, err := m.Pack()
	if err != nil {
		t.Fatal(err)
	}
	return eventOf(wire)
}

func eventOf(wire []byte) *event.Event {
	e := outputtest.Query(0)
	e.Message = wire
	sensordns.Read(wire, false, &e.DNS)
	return e
}

// large is a message with several large numbers.
func large(t *testing.T, size int) *event.Event {
	m := new(dns.Msg)
	m.Question = []dns.Question{{Name: "large.example.org.", Qtype: 65281, Qclass: 65282}}
	m.Response, m.Opcode = true, 15
	m.SetEdns0(1232, true)
	m.Rcode = 4095
	e := eventOfMessage(t, m)
	e.CaptureCut = uint32(size - len(e.Message))
	return e
}

// A table that dnsmonster created is filled as it is; values that do not fit are
// clamped and counted.
func TestDnsmonsterTable(t *testing.T) {
	p := postgres(t)
	o, table := freshTable(t, p, p.Addr)
	p.Exec(t, strings.ReplaceAll(dnsmonsterTable, "$T", table))
	before := p.Strings(t, "SELECT attname || ' ' || format_type(atttypid, atttypmod) FROM pg_attribute WHERE attrelid = '"+table+"'::regclass AND attnum > 0 ORDER BY attnum")
	e := outputtest.Query(7)
	e.Proto = event.TCP
	w, b := openWriter(t, o), outputtest.Block(e, large(t, 60000))
	for range 2 { // the second time it is there already
		deliver(t, o, w, b)
	}
	want := "2026-01-02 03:04:05.000000|sensor1|4|192.0.2.1|192.0.2.53|tcp|0|0|1|1|0|0|0|n000007.example.org.|37 " +
		"2026-01-02 03:04:05.000000|sensor1|4|192.0.2.1|192.0.2.53|udp|1|15|65282|65281|1|1|4095|large.example.org.|32767"
	if got := strings.Join(rowsIn(t, p, table), " "); got != want {
		t.Errorf("rows\n%s\nwant\n%s", got, want)
	}
	if n := meter(o, "clamped"); n != 1 {
		t.Errorf("clamped %d, want 1: the size", n)
	}
	after := p.Strings(t, "SELECT attname || ' ' || format_type(atttypid, atttypmod) FROM pg_attribute WHERE attrelid = '"+table+"'::regclass AND attnum > 0 ORDER BY attnum")
	if len(after) != 17 || strings.Join(before, ",") != strings.Join(after, ",") {
		t.Errorf("the table was %v and is now %v", before, after)
	}
	if n := p.Int(t, "SELECT count(*) FROM "+table+" WHERE indextime > now() AT TIME ZONE 'UTC' - interval '1 minute' AND fullquery = ''"); n != 2 {
		t.Errorf("%d rows with the time of their insertion, want 2", n)
	}
}

// Our own tables hold the largest values.
func TestOwnTableIsWide(t *testing.T) {
	p := postgres(t)
	o, table := freshTable(t, p, p.Addr)
	deliver(t, o, openWriter(t, o), outputtest.Block(large(t, 65535)))
	want := "2026-01-02 03:04:05.000000|sensor1|4|192.0.2.1|192.0.2.53|udp|1|15|65282|65281|1|1|4095|large.example.org.|65535"
	if got := rowsIn(t, p, table); len(got) != 1 || got[0] != want || meter(o, "clamped") != 0 {
		t.Errorf("%v, clamped %d", got, meter(o, "clamped"))
	}
}

// Narrow columns of every kind, columns in another order, and columns that are not
// ours.
func TestOddTables(t *testing.T) {
	p := postgres(t)
	f := func(columns, query, want string, clamped uint64) {
		t.Helper()
		o, table := freshTable(t, p, p.Addr)
		p.Exec(t, "CREATE TABLE "+table+" ("+columns+")")
		deliver(t, o, openWriter(t, o), outputtest.Block(large(t, 60000)))
		if got := strings.Join(p.Strings(t, "SELECT "+query+" FROM "+table), ","); got != want || meter(o, "clamped") != clamped {
			t.Errorf("%s: %s, want %s; clamped %d, want %d", columns, got, want, meter(o, "clamped"), clamped)
		}
	}
	f("size integer, packettime timestamptz", "size", "60000", 0)
	f("packettime timestamptz, class smallint, type smallint, size bigint", "concat_ws(' ', class, type, size)", "32767 32767 60000", 2)
	f("packettime timestamptz, qr boolean, dobit boolean, opcode boolean", "concat_ws(' ', qr, dobit, opcode)", "t t t", 1)
	f("packettime timestamptz, srcip text, dstip varchar(5)", "concat_ws(' ', srcip, dstip)", "192.0.2.1 192.0", 1)
	f("packettime timestamptz, question varchar(7), server char(9)", "concat_ws(' ', question, server)", "large.e sensor1  ", 1)
	f("packettime timestamp(0), id bigserial, note text DEFAULT 'x', sum integer GENERATED ALWAYS AS (size * 2) STORED, size integer",
		"concat_ws(' ', packettime, id, note, sum)", "2026-01-02 03:04:05 1 x 120000", 0)
}

// psqltable is an SQL name without quotes: upper case is lower case, and a schema may
// precede it.
func TestTableNames(t *testing.T) {
	p := postgres(t)
	p.Exec(t, "CREATE SCHEMA Logs")
	t.Cleanup(func() { p.Exec(t, "DROP SCHEMA logs CASCADE") })
	for name, is := range map[string]string{"DNS_Log": "public.dns_log", "Logs.DNS": "logs.dns"} {
		o := parsed(t, "--psqloutputtype", "1", "--psqlendpoint", p.URL(p.Addr, "postgres"), "--psqltable", name)
		deliver(t, o, openWriter(t, o), outputtest.Queries(0, 10))
		wantNames(t, p, is, 0, 10)
	}
	p.Exec(t, "DROP TABLE dns_log, dns_log_blocks")
}

// One row for each question, and one without a name if there is none.
func TestRowsOfQuestions(t *testing.T) {
	p := postgres(t)
	o, table := freshTable(t, p, p.Addr)
	two := new(dns.Msg)
	two.Question = []dns.Question{{Name: "a.example.org.", Qtype: 1, Qclass: 1}, {Name: "b.example.org.", Qtype: 28, Qclass: 3}}
	deliver(t, o, openWriter(t, o), outputtest.Block(eventOfMessage(t, two), eventOfMessage(t, new(dns.Msg)), eventOf([]byte("\x00\x01\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x05cut"))))
	got := strings.Join(p.Strings(t, "SELECT concat_ws(' ', question, type, class, size) FROM "+table+" ORDER BY 1"), ",")
	if want := " 0 0 12, 0 0 16,a.example.org. 1 1 50,b.example.org. 28 3 50"; got != want {
		t.Errorf("rows %q, want %q", got, want)
	}
}

// The whole record, in a column of text or of JSON.
func TestFullQuery(t *testing.T) {
	p := postgres(t)
	for _, kind := range []string{"text", "json", "jsonb"} {
		for _, args := range [][]string{{"--psqlsavefullquery"}, nil} {
			o, table := freshTable(t, p, p.Addr, args...)
			p.Exec(t, "CREATE TABLE "+table+" (packettime timestamptz, fullquery "+kind+")")
			deliver(t, o, openWriter(t, o), outputtest.Block(outputtest.Query(5)))
			got := p.Strings(t, "SELECT fullquery FROM "+table)
			var record struct {
				DNS struct{ Question []struct{ Name string } }
			}
			if err := json.Unmarshal([]byte(got[0]), &record); args != nil && (err != nil || record.DNS.Question[0].Name != outputtest.QueryName(5)) {
				t.Errorf("%s: %q: %v", kind, got, err)
			}
			if args == nil && got[0] != "" {
				t.Errorf("%s: %q though no record was asked for", kind, got)
			}
		}
	}
}

// A partitioned table accepts rows like any other; only rows without a partition are
// refused.
func TestPartitions(t *testing.T) {
	p := postgres(t)
	o, table := freshTable(t, p, p.Addr)
	p.Exec(t, strings.ReplaceAll("CREATE TABLE $T (packettime timestamptz, question text) PARTITION BY RANGE (packettime); "+
		"CREATE TABLE $T_2026 PARTITION OF $T FOR VALUES FROM ('2026-01-01') TO ('2027-01-01')", "$T", table))
	s := newScene(t, o, 1, 10)
	s.offer(5)
	old := outputtest.Query(99)
	old.Time = time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC).UnixNano()
	s.in.Offer(old)
	s.n++
	s.in.Flush()
	s.end(1)
	wantNames(t, p, table, 0, 5)
	if s.log.Lines("the table refuses rows", "no partition of relation") != 1 {
		t.Errorf("the log does not say what is refused:\n%s", s.log)
	}
}

// A table that refuses most rows has to be repaired: until then no row is dropped.
func TestTableRefusesAll(t *testing.T) {
	p := postgres(t)
	o, table := freshTable(t, p, p.Addr)
	if err := o.Check(context.Background()); err != nil {
		t.Fatal(err)
	}
	p.Exec(t, "ALTER TABLE "+table+" ADD CONSTRAINT never CHECK (false)")
	w := openWriter(t, o)
	b := outputtest.Queries(0, maxCopies)
	if n, err := w.Write(attempt(o), b); n != 0 || err == nil || errors.Is(err, outputs.ErrPermanent) {
		t.Errorf("%d refused, %v", n, err)
	}
	p.Exec(t, "ALTER TABLE "+table+" DROP CONSTRAINT never")
	deliver(t, o, w, b)
	wantNames(t, p, table, 0, maxCopies)
}

// Keys are deleted some time after their answers; keys that a killed sensor left are
// kept for longer than a spool is likely to wait.
func TestKeysExpire(t *testing.T) {
	p := postgres(t)
	o, table := freshTable(t, p, p.Addr)
	w := openWriter(t, o)
	for i := range 5 {
		deliver(t, o, w, outputtest.Queries(i, 1))
	}
	left := func(age string) {
		p.Exec(t, "INSERT INTO "+table+"_blocks (id, at) VALUES (gen_random_uuid(), now() - interval '"+age+"')")
	}
	left("89 days")
	left("91 days")
	count := func(want int, what string) {
		t.Helper()
		if n := p.Int(t, "SELECT count(*) FROM "+table+"_blocks"); n != want {
			t.Errorf("%s: %d keys, want %d", what, n, want)
		}
	}
	later := func(d time.Duration) {
		for i := range o.answered.answered {
			o.answered.answered[i].at = o.answered.answered[i].at.Add(-d)
		}
		o.answered.nextClean, o.answered.nextSweep = o.answered.nextClean.Add(-d), o.answered.nextSweep.Add(-d)
	}
	count(7, "at first")
	later(keepAnswered - time.Minute)
	deliver(t, o, w, outputtest.Queries(5, 1))
	count(8, "before the time")
	later(2 * time.Minute)
	deliver(t, o, w, outputtest.Queries(6, 1))
	count(4, "after ten minutes") // two orphaned ones and two new ones
	later(sweepEvery)
	deliver(t, o, w, outputtest.Queries(7, 1))
	count(2, "after an hour") // the one of 89 days ago, and the newest
}
