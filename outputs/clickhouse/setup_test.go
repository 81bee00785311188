package clickhouse

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"dnsmonster-sensor/outputs"
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
	for _, f := range []struct {
		database, password string
		faults             []fault.Fault
		want               []string
	}{
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
		if _, err := o.Open(attempt(t)); err == nil || errors.Is(err, outputs.ErrPermanent) {
			t.Errorf("%+v: for a writer the error is permanent, or none: %v", f, err)
		}
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
		if took := time.Since(began); took > 5*time.Second { // of a busy machine
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
