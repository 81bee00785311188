//go:build linux

package clickhouse

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"dnsmonster-sensor/outputs"
	"dnsmonster-sensor/outputs/clickhouse/table"
	"dnsmonster-sensor/test/await"
	"dnsmonster-sensor/test/chproxy/fault"
	"dnsmonster-sensor/test/lab"
	"dnsmonster-sensor/test/outputtest"
	"dnsmonster-sensor/test/testlog"
)

// wantParts expects texts in an error.
func wantParts(t testing.TB, err error, texts ...string) {
	t.Helper()
	for _, text := range texts {
		if !strings.Contains(err.Error(), text) {
			t.Errorf("the error lacks %q: %v", text, err)
		}
	}
}

// TestWrongSetup: what somebody has to repair is permanent at the start, with what helps.
// For a writer it is not: it may be repaired while the sensor runs.
func TestWrongSetup(t *testing.T) {
	t.Parallel()
	c := lab.StartChDB(t, lab.ChDBOptions{Users: map[string]string{"sensor": "Hush-Hush"}})
	c.Exec(t, "CREATE DATABASE older", "CREATE TABLE older.DNS_LOG (timestamp DateTime, Question String) ENGINE = MergeTree ORDER BY timestamp",
		"CREATE DATABASE filled", "CREATE TABLE filled.DNS_LOG (PacketTime DateTime, Question String) ENGINE = MergeTree ORDER BY PacketTime",
		"CREATE DATABASE empty")
	denied := fault.Fault{Query: "system.columns", At: fault.Query, Do: fault.Exception, Code: 497, Message: "sensor: Not enough privileges. To execute this query, it's necessary to have the grant SHOW COLUMNS ON filled.DNS_LOG"}
	fixed := func(code int, text string) []fault.Fault { // by a profile
		return []fault.Fault{{At: fault.Query, Do: fault.Exception, Code: code, Message: text}}
	}
	for _, f := range []struct {
		database, password string
		faults             []fault.Fault
		want               []string
	}{
		{"filled", "Hush-Hush", fixed(452, "Setting async_insert should not be changed"), []string{"async_insert", "ALTER SETTINGS PROFILE", "user sensor"}},
		{"filled", "Hush-Hush", fixed(452, "Setting insert_deduplicate shouldn't be greater than 0"), []string{"insert_deduplicate", "ALTER SETTINGS PROFILE"}},
		{"filled", "Hush-Hush", fixed(164, "sensor: Cannot execute query in readonly mode"), []string{"may only read"}},
		{"filled", "Hush-Hush", fixed(497, "sensor: Not enough privileges. To execute this query, it's necessary to have the grant INSERT(PacketTime) ON filled.DNS_LOG"), []string{"INSERT", "clickhouse sql --grants"}},
		{"filled", "Wrong-One", nil, []string{"AUTHENTICATION_FAILED", "--clickhousepassword"}},
		{"absent", "Hush-Hush", nil, []string{"absent", "clickhouse init"}},
		{"empty", "Hush-Hush", nil, []string{"empty", "DNS_LOG", "clickhouse init", "GRANT"}},
		{"older", "Hush-Hush", nil, []string{"PacketTime"}},
		{"filled", "Hush-Hush", []fault.Fault{denied}, []string{"Not enough privileges", "clickhouse sql --grants"}},
	} {
		c.SetFaults(t, f.faults...)
		o := newOutput(t, "--clickhouseaddress="+c.Addr, "--clickhousedatabase="+f.database, "--clickhouseusername=sensor", "--clickhousepassword="+f.password)
		err := o.Check(attempt(t))
		if !errors.Is(err, outputs.ErrPermanent) {
			t.Errorf("%+v: not permanent: %v", f, err)
			continue
		}
		wantParts(t, err, f.want...)
		if text := err.Error(); strings.Contains(text, "Hush") || strings.Contains(text, "Wrong-One") || strings.Contains(text, "\n") {
			t.Errorf("the error shows a password, or has several lines: %q", text)
		}
		w, err := o.Open(attempt(t))
		if err == nil {
			_, err = w.Write(attempt(t), outputtest.Queries(0, 1))
			w.Close()
		}
		if err == nil || errors.Is(err, outputs.ErrPermanent) {
			t.Errorf("%+v: for a writer the error is permanent, or none: %v", f, err)
		}
	}
}

// TestReadonlyProfile: a profile that permits no settings is found at the start, before a
// record is captured, and by check.
func TestReadonlyProfile(t *testing.T) {
	t.Parallel()
	c := lab.StartChDB(t, lab.ChDBOptions{})
	o := created(t, c, c.Database, false)
	if err := o.Check(attempt(t)); err != nil {
		t.Error(err)
	}
	c.Exec(t, "SET readonly = 1")
	err := o.Check(attempt(t))
	if !errors.Is(err, outputs.ErrPermanent) {
		t.Fatalf("%v, want a permanent error", err)
	}
	help := []string{"Cannot modify 'insert_deduplication_token' setting in readonly mode", "user default", "ALTER SETTINGS PROFILE"}
	wantParts(t, err, help...)
	out, err := command(t, "check", "--clickhouseaddress="+c.Addr)
	if !errors.Is(err, outputs.ErrPermanent) {
		t.Errorf("check: %v, want a permanent error", err)
	}
	wantParts(t, errors.New(out), append(help, "  no ")...)
}

// withoutDictionaries: a profile hides LowCardinality from clients.
func withoutDictionaries(s *disturbed) {
	o := created(s, s.c, s.database, true)
	s.c.Exec(s, "SET low_cardinality_allow_in_native_format = 0")
	defer s.c.Exec(s, "SET low_cardinality_allow_in_native_format = 1")
	if err := o.Check(attempt(s)); err != nil {
		s.Error(err)
	}
	w := openWriter(s, o)
	for range 2 {
		deliver(s, w, s.block(10))
	}
	s.expectAll()
	if got := sum(s, s.c, "SELECT DISTINCT Server, Protocol FROM "+s.table()); got != "sensor1 udp" {
		s.Errorf("server and protocol: %s", got)
	}
}

// TestServerDown: a server that is down, busy or silent at the start is not a wrong setup.
func TestServerDown(t *testing.T) {
	t.Parallel()
	c := lab.StartChDB(t, lab.ChDBOptions{})
	o := created(t, c, c.Database, false)
	check := func(what string) {
		t.Helper()
		ctx, cancel := context.WithTimeout(context.Background(), 500*time.Millisecond)
		defer cancel()
		began := time.Now()
		if err := o.Check(ctx); err == nil || errors.Is(err, outputs.ErrPermanent) {
			t.Errorf("%s: %v; want an error that is not permanent", what, err)
		}
		if took := time.Since(began); took > await.Limit/4 { // of a busy machine
			t.Errorf("%s: Check took %s", what, took)
		}
	}
	c.SetFaults(t, fault.Fault{Query: ".", At: fault.Query, Do: fault.Exception, Code: 202, Message: "Too many simultaneous queries"})
	check("busy")
	c.Stop(t)
	check("silent")
	c.Continue(t)
	c.Kill()
	check("down")
	c.Start(t)
	deliver(t, openWriter(t, o), outputtest.Queries(0, 3))
	if got := sum(t, c, "SELECT count() FROM DNS_LOG"); got != "3" {
		t.Errorf("%s rows, want 3", got)
	}
}

// TestForgetfulTables: tables that forget batches are named at the start, with what helps.
func TestForgetfulTables(t *testing.T) {
	c := lab.SharedChDB(t)
	o := created(t, c, c.Database, true)
	log := &testlog.Log{}
	o.SetCommon(outputs.Common{Server: "sensor1", Log: slog.New(slog.NewTextHandler(log, nil))})
	check := func() {
		t.Helper()
		if err := o.Check(attempt(t)); err != nil {
			t.Fatal(err)
		}
	}
	if check(); log.String() != "" {
		t.Errorf("new tables are complained about:\n%s", log)
	}
	for _, name := range []string{"DNS_LOG", "DNS_TYPE", "DNS_CLASS"} {
		c.Exec(t, "ALTER TABLE "+c.Database+"."+name+" MODIFY SETTING non_replicated_deduplication_window = 0")
	}
	check()
	for _, want := range []string{
		"a batch whose answer is lost may be stored twice", "MODIFY SETTING non_replicated_deduplication_window = 10000",
		"aggregates may count a batch twice", "tables=\"DNS_TYPE, DNS_CLASS\"", "clickhouse check",
	} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("the log lacks %q:\n%s", want, log)
		}
	}
}

// TestOldRecords: once, a warning says that records are older than the table keeps them.
func TestOldRecords(t *testing.T) {
	const age = 400
	e := outputtest.Query(0)
	e.Time = time.Now().Add(-age * 24 * time.Hour).UnixNano()
	old := outputtest.Block(e)
	for ttl, want := range map[string]string{
		"":                                       "",
		"toDate(PacketTime) + toIntervalDay(30)": "the 30 days",
		"PacketTime + toIntervalMonth(2) DELETE": "the 60 days",
		"toDateTime(packettime) + toIntervalWeek(1)":                                 "the 7 days",
		fmt.Sprintf("toDate(PacketTime) + toIntervalDay(%d)", age+2):                 "",
		"toDate(IndexTime) + toIntervalDay(30)":                                      "",
		"toDate(PacketTime) + toIntervalDay(7) TO VOLUME 'cold'":                     "",
		"toDate(PacketTime) + toIntervalDay(7) WHERE Type = 1":                       "",
		"toDate(PacketTime) + toIntervalDay(7), IndexTime + toIntervalYear(1)":       "",
		"toDate(PacketTime) + toIntervalDay(7) GROUP BY Server SET Size = max(Size)": "",
	} {
		log := &testlog.Log{}
		o := New()
		o.SetCommon(outputs.Common{Server: "sensor1", Log: slog.New(slog.NewTextHandler(log, nil))})
		for range 2 {
			o.warnOfExpiry(&table.Def{Database: "dns", Table: "LOG", TTL: ttl}, old)
		}
		text := log.String()
		if n := strings.Count(text, "records are older than "+want); want == "" && text != "" || want != "" && (n != 1 || !strings.Contains(text, "clickhouse ttl ")) {
			t.Errorf("%s: %q, want %q once", ttl, text, want)
		}
	}
}
