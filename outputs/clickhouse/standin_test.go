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
	"dnsmonster-sensor/test/await"
	"dnsmonster-sensor/test/chproxy/fault"
	"dnsmonster-sensor/test/lab"
	"dnsmonster-sensor/test/outputtest"
	"dnsmonster-sensor/test/testlog"
	"dnsmonster-sensor/userspace/account"
	"dnsmonster-sensor/userspace/event"
)

// TestNotReplicas: two addresses whose tables know nothing of each other. A batch that the
// first one may have waits for it. One that it cannot have goes to the second.
func TestNotReplicas(t *testing.T) {
	t.Parallel()
	a, b := lab.StartChDB(t, lab.ChDBOptions{}), lab.StartChDB(t, lab.ChDBOptions{})
	t.Run("the first is down", func(t *testing.T) { firstDown(t, a, b) })
	for _, code := range []int{252, 202, 241, 497} {
		t.Run(fmt.Sprintf("the first says %d", code), func(t *testing.T) { firstSays(t, a, b, code) })
	}
	t.Run("a runner", func(t *testing.T) { postponedByRunner(t, a, b) })
}

// wantPostponed expects that a block is not written, and that others may be.
func wantPostponed(t *testing.T, w *writer, b *event.Block, parts ...string) {
	t.Helper()
	_, err := w.Write(attempt(t), b)
	var postpone *outputs.Postpone
	if !errors.As(err, &postpone) {
		t.Errorf("error %v; want Postpone", err)
		return
	}
	wantParts(t, err, parts...)
}

func firstDown(t *testing.T, a, b *lab.ChDB) {
	front := lab.StartProxy(t, a.Addr)
	created(t, a, "pair", false)
	created(t, b, "pair", false)
	o := newOutput(t, "--clickhouseaddress="+front.Addr, "--clickhouseaddress="+b.Addr, "--clickhousedatabase=pair")
	rows := func(c *lab.ChDB) string {
		return sum(t, c, "SELECT count(), uniqExact(Question), min(Question) FROM pair.DNS_LOG")
	}
	w := openWriter(t, o)
	first := outputtest.Queries(0, 5)
	a.SetFaults(t, fault.Fault{Times: 1, At: fault.Stored, Do: fault.Close})
	if _, err := w.Write(attempt(t), first); err == nil {
		t.Error("no answer was lost")
	}
	front.Down()
	for range 3 {
		wantPostponed(t, w, first, "a batch may be stored in the table at "+front.Addr+", and waits for it", "connection refused")
	}
	if got := rows(b); got != "0 0 " {
		t.Errorf("the second server has %s; want nothing", got)
	}
	front.Up()
	deliver(t, w, first)
	front.Down()
	second := outputtest.Queries(5, 5)
	deliver(t, w, second)
	for c, n := range map[*lab.ChDB]int{a: 0, b: 5} {
		if got, want := rows(c), fmt.Sprintf("5 5 %s", outputtest.QueryName(n)); got != want {
			t.Errorf("a server has %s; want %s", got, want)
		}
	}
	// A server that cannot write the table has none of a batch that it did not read.
	front.Up()
	a.SetFaults(t, fault.Fault{At: fault.Header, Do: fault.Exception, Code: 242, Message: "Table is in readonly mode"})
	deliver(t, openWriter(t, o), outputtest.Queries(10, 5))
	if got, want := rows(b), "10 10 "+outputtest.QueryName(5); got != want {
		t.Errorf("the second server has %s; want %s", got, want)
	}
}

// firstSays: the first server is busy, or lacks a right. A batch that it has not read goes to
// the second one. One that it may have waits for it, and others go on.
func firstSays(t *testing.T, a, b *lab.ChDB, code int) {
	database := fmt.Sprintf("says%d", code)
	created(t, a, database, false)
	created(t, b, database, false)
	o := newOutput(t, "--clickhouseaddress="+a.Addr, "--clickhouseaddress="+b.Addr, "--clickhousedatabase="+database)
	w := openWriter(t, o)
	defer a.SetFaults(t)
	says := fault.Fault{At: fault.Stored, Do: fault.Exception, Code: code, Message: "as it is now"}
	a.SetFaults(t, says)
	stays := outputtest.Queries(0, 5)
	wantPostponed(t, w, stays, fmt.Sprintf("(code %d)", code))
	deliver(t, w, outputtest.Queries(5, 5))
	wantPostponed(t, w, stays, fmt.Sprintf("(code %d)", code)) // the same reason, while the server pauses
	a.SetFaults(t)
	deliver(t, w, stays)
	says.At = fault.Query
	a.SetFaults(t, says)
	moves := outputtest.Queries(10, 5)
	if _, err := w.Write(attempt(t), moves); err == nil || errors.As(err, new(*outputs.Postpone)) {
		t.Errorf("error %v; want one that is no Postpone", err)
	}
	deliver(t, w, moves)
	for c, want := range map[*lab.ChDB]string{a: "5 5 " + outputtest.QueryName(0), b: "10 10 " + outputtest.QueryName(5)} {
		if got := sum(t, c, "SELECT count(), uniqExact(Question), min(Question) FROM "+database+".DNS_LOG"); got != want {
			t.Errorf("a server has %s; want %s", got, want)
		}
	}
	if len(w.begun) != 0 {
		t.Errorf("the writer remembers %d blocks that are done", len(w.begun))
	}
}

// postponedByRunner: with one worker, the first server goes down after it has stored a batch
// whose answer is lost. The others go to the second server, and the batch to the first when
// that is back.
func postponedByRunner(t *testing.T, a, b *lab.ChDB) {
	front := lab.StartProxy(t, a.Addr)
	created(t, a, "run", false)
	created(t, b, "run", false)
	o := newOutput(t, "--clickhouseaddress="+front.Addr, "--clickhouseaddress="+b.Addr, "--clickhousedatabase=run")
	set, err := o.Settings()
	if err != nil {
		t.Fatal(err)
	}
	set.BatchSize, set.RetryMax = 10, 200*time.Millisecond
	var log testlog.Log
	r, err := outputs.NewRunner(o, set, false, event.NewIDs(), account.NewDeliveryCounters(), slog.New(slog.NewTextHandler(&log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	a.SetFaults(t, fault.Fault{Times: 1, At: fault.Stored, Do: fault.Hang})
	r.Start(context.Background())
	in := r.Intake()
	made := 0
	offer := func(n int) {
		for range n {
			in.Offer(outputtest.Query(made))
			made++
		}
		in.Flush()
	}
	rows := func(c *lab.ChDB) int { return c.Int(t, "SELECT count() FROM run.DNS_LOG") }
	offer(10)
	await.True(t, "the first server has a batch", func() bool { return rows(a) == 10 }, &log)
	front.Down()
	a.SetFaults(t)
	offer(50)
	await.True(t, "the second server has the others", func() bool { return rows(b) == 50 }, &log)
	if err := r.LastError(); err == nil {
		t.Error("nobody is told of the batch that waits")
	} else {
		wantParts(t, err, "a batch may be stored in the table at "+front.Addr)
	}
	front.Up()
	r.Stop(attempt(t))
	l := r.Ledger(func() uint64 { return uint64(made) })
	if l.Unaccounted() != 0 || l.Held != 0 || l.Outcomes[account.Delivered].Value != 60 {
		t.Errorf("not all is delivered: %+v", l)
	}
	if rows(a) != 10 || rows(b) != 50 {
		t.Errorf("the servers have %d and %d rows, want 10 and 50", rows(a), rows(b))
	}
	for _, line := range []string{"output fails, trying again", "output has recovered"} {
		if n := strings.Count(log.String(), line); n != 1 {
			t.Errorf("%q is logged %d times:\n%s", line, n, &log)
		}
	}
}
