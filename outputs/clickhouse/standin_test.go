//go:build linux

package clickhouse

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os/exec"
	"strings"
	"testing"
	"time"

	"dnsmonster-sensor/outputs"
	"dnsmonster-sensor/test/await"
	"dnsmonster-sensor/test/chproxy/fault"
	"dnsmonster-sensor/test/lab"
	"dnsmonster-sensor/test/lab/tier"
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
	codes, ends := []int{252}, []string{"kill"}
	if tier.Full() {
		codes, ends = []int{252, 202, 241, 497}, []string{"none", "stop", "kill"}
	}
	for _, code := range codes {
		t.Run(fmt.Sprintf("the first says %d", code), func(t *testing.T) { firstSays(t, a, b, code) })
	}
	for _, end := range ends {
		t.Run("a runner, its end in between: "+end, func(t *testing.T) { postponedByRunner(t, a, b, end) })
	}
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
// that is back. A sensor that ends in between leaves it to the next one by the spool.
func postponedByRunner(t *testing.T, a, b *lab.ChDB, end string) {
	front := lab.StartProxy(t, a.Addr)
	database := "run" + end
	created(t, a, database, false)
	created(t, b, database, false)
	s := &pair{T: t, database: database, front: front.Addr, second: b.Addr}
	if s.spool.Dir = t.TempDir(); end == "none" {
		s.spool.Dir = ""
	}
	s.spool.Bytes, s.spool.Always = 64<<20, end == "kill"
	a.SetFaults(t, fault.Fault{Times: 1, At: fault.Stored, Do: fault.Hang})
	s.start()
	rows := func(c *lab.ChDB) int { return c.Int(t, "SELECT count() FROM "+database+".DNS_LOG") }
	s.offer(10)
	await.True(t, "the first server has a batch", func() bool { return rows(a) == 10 }, s.log)
	front.Down()
	a.SetFaults(t)
	s.offer(50)
	await.True(t, "the second server has the others", func() bool { return rows(b) == 50 }, s.log)
	if err := s.r.LastError(); err == nil {
		t.Error("nobody is told of the batch that waits")
	} else {
		wantParts(t, err, "a batch may be stored in the table at "+front.Addr)
	}
	want := uint64(60)
	switch end {
	case "stop":
		soon, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
		s.r.Stop(soon)
		cancel()
	case "kill": // what a kill would leave
		after := t.TempDir()
		await.True(t, "only the batch that waits is not delivered", func() bool { return s.r.Ledger(func() uint64 { return 60 }).Held == 10 })
		if out, err := exec.Command("cp", "-r", s.spool.Dir+"/clickhouse", after).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		s.spool.Dir = after
		defer s.r.Stop(attempt(t))
	}
	if end != "none" {
		s.start()
		s.offer(20)
		await.True(t, "the second server has what is new", func() bool { return rows(b) == 70 }, s.log)
		await.True(t, "the batch waits", func() bool { return s.r.LastError() != nil }, s.log)
		want = 30
	}
	front.Up()
	s.r.Stop(attempt(t))
	l := s.r.Ledger(func() uint64 { return uint64(s.offered) })
	if l.Unaccounted() != 0 || l.Held != 0 || l.Outcomes[account.Delivered].Value != want {
		t.Errorf("not all is delivered: %+v", l)
	}
	if rows(a) != 10 || rows(b) != s.made-10 {
		t.Errorf("the servers have %d and %d rows, want 10 and %d", rows(a), rows(b), s.made-10)
	}
	for _, line := range []string{"output fails, trying again", "output has recovered"} {
		if n := strings.Count(s.log.String(), line); n != 1 {
			t.Errorf("%q is logged %d times:\n%s", line, n, s.log)
		}
	}
}

// pair is an output of two servers, with a runner.
type pair struct {
	*testing.T
	database      string
	front, second string // addresses
	spool         outputs.SpoolSettings
	log           *testlog.Log // of this runner
	r             *outputs.Runner
	in            *outputs.Intake
	made, offered int // events, in all and of this runner
}

func (s *pair) start() {
	o := newOutput(s, "--clickhouseaddress="+s.front, "--clickhouseaddress="+s.second, "--clickhousedatabase="+s.database)
	set, err := o.Settings()
	if err != nil {
		s.Fatal(err)
	}
	s.log = &testlog.Log{}
	set.BatchSize, set.RetryMax, set.Spool = 10, 200*time.Millisecond, s.spool
	if s.r, err = outputs.NewRunner(o, set, true, event.NewIDs(), account.NewDeliveryCounters(), slog.New(slog.NewTextHandler(s.log, nil))); err != nil {
		s.Fatal(err)
	}
	s.r.Start(context.Background())
	s.in, s.offered = s.r.Intake(), 0
}

func (s *pair) offer(n int) {
	for range n {
		s.in.Offer(outputtest.Query(s.made))
		s.made++
		s.offered++
	}
	s.in.Flush()
}
