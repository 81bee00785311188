//go:build linux

package psql

import (
	"context"
	"log/slog"
	"strings"
	"testing"
	"time"

	"dnsmonster-sensor/outputs"
	"dnsmonster-sensor/test/await"
	"dnsmonster-sensor/test/lab"
	"dnsmonster-sensor/test/outputtest"
	"dnsmonster-sensor/test/testlog"
	"dnsmonster-sensor/userspace/event"
)

// logTo makes an output log to a new testlog.Log.
func logTo(o *Output) *testlog.Log {
	log := &testlog.Log{}
	o.SetCommon(outputs.Common{Server: "sensor1", Log: slog.New(slog.NewTextHandler(log, nil))})
	return log
}

// withAddresses returns an output with several addresses.
func withAddresses(t *testing.T, table string, addrs []string, args ...string) (*Output, *testlog.Log) {
	t.Helper()
	uri := "postgres://postgres@" + strings.Join(addrs, ",") + "/postgres?sslmode=disable"
	o := parsed(t, append([]string{"--psqloutputtype", "1", "--psqlendpoint", uri, "--psqltable", table}, args...)...)
	return o, logTo(o)
}

// deliver writes one block, with as many attempts as necessary, each with the output's
// own timeout.
func deliver(t *testing.T, o *Output, w outputs.Writer, b *event.Block) (attempts int) {
	t.Helper()
	await.True(t, "the block is accepted", func() bool {
		attempts++
		ctx, cancel := context.WithTimeout(context.Background(), o.Timeout)
		defer cancel()
		_, err := w.Write(ctx, b)
		return err == nil
	})
	return attempts
}

func openWriter(t *testing.T, o *Output) outputs.Writer {
	t.Helper()
	return openWriterWithin(t, o, time.Minute)
}

// openWriterWithin is openWriter where an address answers nothing, and takes its share of
// the time.
func openWriterWithin(t *testing.T, o *Output, limit time.Duration) outputs.Writer {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	w, err := o.Open(ctx)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.Close() })
	return w
}

// twoServers returns two servers, each behind a proxy.
func twoServers(t *testing.T) (a, b *lab.Postgres, pa, pb *lab.Proxy) {
	a, b = postgres(t), second(t)
	return a, b, lab.StartProxy(t, a.Addr), lab.StartProxy(t, b.Addr)
}

// The first address refuses connections, at first and later, and gets the rows again
// once it recovers.
func TestAddressRefuses(t *testing.T) {
	a, b, pa, pb := twoServers(t)
	o, log := withAddresses(t, newTable(), []string{pa.Addr, pb.Addr})
	pa.Down()
	w := openWriter(t, o)
	if n := deliver(t, o, w, outputtest.Queries(0, 10)); n != 1 {
		t.Errorf("%d attempts while the second address works", n)
	}
	if log.Lines("an address fails", "address="+pa.Addr, "now="+pb.Addr, "refused") != 1 {
		t.Errorf("the log does not say where records go:\n%s", log)
	}
	pa.Up()
	await.True(t, "rows go to the first address again", func() bool {
		deliver(t, o, w, outputtest.Queries(10, 1))
		return log.Lines("going back", "address="+pa.Addr) == 1
	})
	deliver(t, o, w, outputtest.Queries(100, 10))
	wantNames(t, a, o.table, 100, 10)
	if first := b.Int(t, "SELECT count(*) FROM "+o.table+" WHERE question < 'n000010.'"); first != 10 {
		t.Errorf("%d rows of the outage at the second address, want 10", first)
	}
	if n := log.Lines("an address"); n != 2 {
		t.Errorf("%d lines about addresses, want 2:\n%s", n, log)
	}
}

// The first address drops packets: that costs part of one attempt at the start and one
// attempt later, never all attempts.
func TestAddressDropsPackets(t *testing.T) {
	t.Parallel()
	_, b, pa, pb := twoServers(t)
	o, log := withAddresses(t, newTable(), []string{pa.Addr, pb.Addr}, "--psqlbatchtimeout=2s")
	heal := pa.HoldAnswers()
	w := openWriterWithin(t, o, 8*time.Second)
	if n := deliver(t, o, w, outputtest.Queries(0, 10)); n != 1 {
		t.Errorf("%d attempts while the second address works", n)
	}
	wantNames(t, b, o.table, 0, 10)
	heal()
	await.True(t, "rows go to the first address", func() bool {
		deliver(t, o, w, outputtest.Queries(10, 1))
		return log.Lines("going back", "address="+pa.Addr) == 1
	})
	pa.HoldAnswers()
	if n := deliver(t, o, w, outputtest.Queries(500, 10)); n != 2 {
		t.Errorf("%d attempts, want 2: one that runs out of time, one at the other address", n)
	}
	if got := b.Int(t, "SELECT count(*) FROM "+o.table+" WHERE question >= 'n000500.'"); got != 10 {
		t.Errorf("%d rows at the second address, want 10", got)
	}
}

// An attempt that waits for one address does not return to addresses that it has
// tried, even when their pause is over.
func TestAttemptReachesLastAddress(t *testing.T) {
	t.Parallel()
	a, _, pa, pb := twoServers(t)
	pa.Down()
	pb.HoldAnswers()
	o, _ := withAddresses(t, newTable(), []string{pa.Addr, pb.Addr, a.Addr})
	ctx, cancel := context.WithTimeout(context.Background(), 4*time.Second) // 2 s of them for the silent address
	defer cancel()
	w, err := o.Open(ctx)
	if err != nil {
		t.Fatal(err)
	}
	w.Close()
}

// A standby accepts no rows; the primary behind it does, with and without
// target_session_attrs. Once promoted, the first address is preferred again.
func TestStandbyAddress(t *testing.T) {
	t.Parallel()
	primary := second(t)
	standby := primary.StartStandby(t)
	attrs, _ := withAddresses(t, newTable(), []string{standby.Addr, primary.Addr})
	attrs.endpoint += "&target_session_attrs=read-write"
	deliver(t, attrs, openWriter(t, attrs), outputtest.Queries(0, 10))
	wantNames(t, primary, attrs.table, 0, 10)

	o, log := withAddresses(t, newTable(), []string{standby.Addr, primary.Addr})
	w := openWriter(t, o)
	deliver(t, o, w, outputtest.Queries(0, 10))
	wantNames(t, primary, o.table, 0, 10)
	if log.Lines("an address fails", "address="+standby.Addr, "is a standby") != 1 {
		t.Errorf("the log does not name the standby:\n%s", log)
	}
	await.True(t, "the standby has the rows", func() bool {
		return len(standby.Strings(t, "SELECT to_regclass('"+o.table+"')::text")[0]) > 0 && standby.Int(t, "SELECT count(*) FROM "+o.table) == 10
	})
	if err := standby.Promote(); err != nil {
		t.Fatal(err)
	}
	await.True(t, "rows go to the promoted server", func() bool {
		deliver(t, o, w, outputtest.Queries(10, 1))
		return log.Lines("going back", "address="+standby.Addr) == 1
	})

	alone, _ := withAddresses(t, newTable(), []string{standby.Addr})
	standby.Exec(t, "ALTER ROLE postgres SET default_transaction_read_only = on")
	if err := alone.Check(context.Background()); err == nil || !strings.Contains(err.Error(), "default_transaction_read_only") {
		t.Errorf("a read-only user: %v", err)
	}
}

// If no address works, the error gives a reason for each, without passwords.
func TestNoAddressWorks(t *testing.T) {
	_, _, pa, pb := twoServers(t)
	pa.Down()
	pb.Down()
	o, _ := withAddresses(t, newTable(), []string{pa.Addr, pb.Addr})
	o.endpoint = strings.Replace(o.endpoint, "postgres@", "postgres:Hush-Hush@", 1)
	err := o.Check(context.Background())
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{"none of 2 addresses works", pa.Addr, pb.Addr, "refused"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%v: lacks %q", err, want)
		}
	}
	if strings.Contains(err.Error(), "Hush") || strings.Contains(err.Error(), "\n") {
		t.Errorf("a password, or several lines: %v", err)
	}
}
