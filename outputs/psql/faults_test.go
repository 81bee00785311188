//go:build linux

package psql

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"dnsmonster-sensor/outputs"
	"dnsmonster-sensor/test/await"
	"dnsmonster-sensor/test/lab"
	"dnsmonster-sensor/test/lab/tier"
	"dnsmonster-sensor/test/outputtest"
	"dnsmonster-sensor/userspace/account"
	"dnsmonster-sensor/userspace/event"
)

// TestCutEverywhere breaks the connection after each number of bytes of the server's
// answers, then of our requests, from the first byte of the connection to the last
// byte of a block. Whatever has arrived: after the next attempt the block is stored
// once.
func TestCutEverywhere(t *testing.T) {
	t.Parallel()
	p := postgres(t)
	proxy := lab.StartProxy(t, p.Addr)
	o, table := freshTable(t, p, proxy.Addr)
	if err := o.Check(context.Background()); err != nil {
		t.Fatal(err)
	}
	blocks := 0
	// one is false once the cut lies after the end.
	one := func(direction string, bytes int) (broke bool) {
		heal := proxy.AddFault(direction, "limit_data", map[string]any{"bytes": bytes})
		healed := false
		defer func() {
			if !healed {
				heal()
			}
		}()
		b := outputtest.Queries(blocks*3, 3)
		blocks++
		w, err := o.Open(attempt(o))
		if err == nil {
			_, err = w.Write(attempt(o), b)
		} else {
			w = &writer{o: o, enc: newRowEncoder(o)}
		}
		defer w.Close()
		if err == nil {
			return false
		}
		heal()
		healed = true
		if _, err := w.Write(attempt(o), b); err != nil {
			t.Fatalf("%s cut after %d bytes: the next attempt: %v", direction, bytes, err)
		}
		return true
	}
	coarse, fine := tier.Length(97, 11), tier.Length(7, 1)
	for _, direction := range []string{lab.Answers, lab.Requests} {
		bytes := rand.IntN(coarse)
		for one(direction, bytes) {
			bytes += coarse
		}
		if bytes < 1000 {
			t.Errorf("%s: everything is done after %d bytes: the cuts missed the block", direction, bytes)
		}
		for n := bytes - 2*coarse; n < bytes; n += fine { // around the end of the block
			one(direction, n)
		}
		if n := meter(o, "already_there"); direction == lab.Answers && n == 0 {
			t.Error("no cut fell between the commit and its answer")
		}
	}
	wantNames(t, p, table, 0, blocks*3)
	if n := p.Int(t, "SELECT count(*) FROM "+table+"_blocks"); n != blocks {
		t.Errorf("%d keys, want one for each of %d blocks", n, blocks)
	}
}

// attempt returns a context that ends after the timeout of one attempt.
func attempt(o *Output) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), o.Timeout)
	time.AfterFunc(o.Timeout, cancel)
	return ctx
}

// An answer that comes after the timeout is a lost answer.
func TestAnswerLaterThanTheTimeout(t *testing.T) {
	p := postgres(t)
	proxy := lab.StartProxy(t, p.Addr)
	o, table := freshTable(t, p, proxy.Addr, "--psqlbatchtimeout=500ms")
	w := openWriter(t, o)
	b := outputtest.Queries(0, 10)
	heal := proxy.Delay(2000)
	if _, err := w.Write(attempt(o), b); err == nil {
		t.Error("an answer came in time")
	}
	await.True(t, "the first attempt ends on the server", func() bool { return p.Int(t, "SELECT count(*) FROM "+table) == 10 })
	heal()
	deliver(t, o, w, b)
	wantNames(t, p, table, 0, 10)
	if n := meter(o, "already_there"); n != 1 {
		t.Errorf("already_there %d, want 1", n)
	}
}

// slowInserts makes each INSERT into a table slow.
func slowInserts(t *testing.T, p *lab.Postgres, table, seconds string) {
	p.Exec(t, strings.NewReplacer("$T", table, "$S", seconds).Replace(`CREATE FUNCTION $T_slow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
		PERFORM pg_sleep($S); RETURN NULL; END $$; CREATE TRIGGER slow AFTER INSERT ON $T EXECUTE FUNCTION $T_slow()`))
}

// activeSessions counts the sessions that work on a table.
func activeSessions(t *testing.T, p *lab.Postgres, table string) int {
	return p.Int(t, "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND pid <> pg_backend_pid() AND query LIKE '%"+table+"%'")
}

// An attempt cannot be cancelled when the network is gone: on the server it ends by
// itself, in a slow statement and behind a lock.
func TestLostAttemptEndsOnTheServer(t *testing.T) {
	t.Parallel()
	p := postgres(t)
	f := func(what string, hinder func(table string) func()) {
		t.Helper()
		proxy := lab.StartProxy(t, p.Addr)
		o, table := freshTable(t, p, proxy.Addr, "--psqlbatchtimeout=500ms")
		w := openWriter(t, o)
		b := outputtest.Queries(0, 10)
		release := hinder(table)
		mute := proxy.HoldAnswers()
		if _, err := w.Write(attempt(o), b); err == nil {
			t.Errorf("%s: the attempt succeeds", what)
		}
		await.True(t, what+": it ends", func() bool { return activeSessions(t, p, table) == 0 })
		release()
		mute()
		deliver(t, o, w, b)
		wantNames(t, p, table, 0, 10)
	}
	f("a slow statement", func(table string) func() {
		slowInserts(t, p, table, "3600")
		return func() { p.Exec(t, "DROP TRIGGER slow ON "+table) }
	})
	f("a lock", func(table string) func() { return lockTable(t, p, table) })
}

// A second attempt waits for a first one that still runs on the server.
func TestSecondAttemptWaitsForFirst(t *testing.T) {
	p := postgres(t)
	o, table := freshTable(t, p, p.Addr)
	b := outputtest.Queries(0, 10)
	first, second := openWriter(t, o), openWriter(t, o)
	slowInserts(t, p, table, "0.3")
	var both sync.WaitGroup
	for _, w := range []outputs.Writer{first, second} {
		both.Go(func() {
			if n, err := w.Write(attempt(o), b); n != 0 || err != nil {
				t.Errorf("%d, %v", n, err)
			}
		})
	}
	both.Wait()
	wantNames(t, p, table, 0, 10)
	if n := meter(o, "already_there"); n != 1 {
		t.Errorf("already_there %d, want 1", n)
	}
}

// Concurrent attempts of one block with rows that the table refuses do not deadlock,
// and agree on what is refused.
func TestConcurrentAttemptsBisect(t *testing.T) {
	p := postgres(t)
	o, table := freshTable(t, p, p.Addr)
	writers := []outputs.Writer{openWriter(t, o), openWriter(t, o), openWriter(t, o)}
	p.Exec(t, "CREATE UNIQUE INDEX ON "+table+" (question); ALTER TABLE "+table+" ADD CHECK (question NOT LIKE '%3.example.org.')")
	for i := range 5 {
		b := outputtest.Queries(i*20, 20)
		var all sync.WaitGroup
		for _, w := range writers {
			all.Go(func() {
				if n, err := w.Write(attempt(o), b); n != 2 || err != nil {
					t.Errorf("%d refused, want 2: %v", n, err)
				}
			})
		}
		all.Wait()
	}
	if n := p.Int(t, "SELECT count(*) FROM "+table); n != 90 {
		t.Errorf("%d rows, want 90", n)
	}
	if n := p.Int(t, "SELECT sum(refused) FROM "+table+"_blocks"); n != 10 {
		t.Errorf("the keys say %d refused, want 10", n)
	}
}

// The server ends the connection between the key and the rows: neither is stored.
func TestKilledBetweenKeyAndRows(t *testing.T) {
	p := postgres(t)
	o, table := freshTable(t, p, p.Addr)
	if err := o.Check(context.Background()); err != nil {
		t.Fatal(err)
	}
	p.Exec(t, strings.ReplaceAll(`CREATE SEQUENCE $T_kills; CREATE FUNCTION $T_kill() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
		IF nextval('$T_kills') <= 5 THEN PERFORM pg_terminate_backend(pg_backend_pid()); END IF; RETURN NULL; END $$;
		CREATE TRIGGER kill AFTER INSERT ON $T_blocks EXECUTE FUNCTION $T_kill()`, "$T", table))
	s := newScene(t, o, 2, 10)
	s.offer(100)
	s.end(0)
	wantNames(t, p, table, 0, 100)
	if n := p.Int(t, "SELECT last_value FROM "+table+"_kills"); n < 15 {
		t.Errorf("%d keys were tried, want 15: no connection was killed", n)
	}
}

// TestKilledServer: rows that a server acknowledged exist after its restart, and the
// others are sent again.
func TestKilledServer(t *testing.T) {
	t.Parallel()
	p := lab.StartPostgres(t)
	o, table := freshTable(t, p, p.Addr)
	s := newScene(t, o, 2, 20)
	for range 2 {
		s.offer(1000)
		if err := p.Kill(); err != nil {
			t.Fatal(err)
		}
		s.offer(200)
		if err := p.Start(); err != nil {
			t.Fatal(err)
		}
	}
	s.end(0)
	wantNames(t, p, table, 0, s.n)
}

// TestTroubledNetwork sends records through a network with all kinds of faults.
func TestTroubledNetwork(t *testing.T) {
	t.Parallel()
	troubledNetwork(t, tier.Length(20, 100))
}

// TestSoakTroubledNetwork does so for minutes.
func TestSoakTroubledNetwork(t *testing.T) {
	tier.ByHand(t, tier.Soak)
	troubledNetwork(t, 2000)
}

func troubledNetwork(t *testing.T, rounds int) {
	t.Helper()
	p := postgres(t)
	proxy := lab.StartProxy(t, p.Addr)
	o, table := freshTable(t, p, proxy.Addr, "--psqlbatchtimeout=400ms")
	if err := o.Check(context.Background()); err != nil {
		t.Fatal(err)
	}
	s := newScene(t, o, 3, 25)
	for i := range rounds {
		s.offer(250)
		var heal func()
		switch i % 5 {
		case 0:
			heal = proxy.CutAnswers()
		case 1:
			heal = proxy.Delay(1000)
		case 2:
			heal = proxy.HoldAnswers()
		case 3:
			proxy.Down()
			heal = proxy.Up
		case 4:
			heal = proxy.AddFault(lab.Requests, "limit_data", map[string]any{"bytes": 3000 + rand.IntN(3000)})
		}
		offered := make(chan struct{})
		go func() { // a full queue waits for the end of the fault
			defer close(offered)
			s.offer(250)
		}()
		time.Sleep(time.Duration(rand.IntN(100)) * time.Millisecond)
		heal()
		<-offered
	}
	s.end(0)
	wantNames(t, p, table, 0, s.n)
}

// TestDefaultBatch: with the default options, records that come faster than the server
// commits share transactions.
func TestDefaultBatch(t *testing.T) {
	p := postgres(t)
	o, table := freshTable(t, p, p.Addr)
	log := logTo(o)
	set, err := o.Settings()
	if err != nil || set.BatchSize != 1 {
		t.Fatalf("%+v, %v", set, err)
	}
	r, err := outputs.NewRunner(o, set, false, event.NewIDs(), account.NewDeliveryCounters(), o.Log())
	if err != nil {
		t.Fatal(err)
	}
	s := &scene{t: t, r: r, in: r.Intake(), log: log}
	r.Start(context.Background())
	s.offer(5000)
	s.end(0)
	wantNames(t, p, table, 0, 5000)
	if n := p.Int(t, "SELECT count(*) FROM "+table+"_blocks"); n > 1000 {
		t.Errorf("%d transactions for 5000 records", n)
	}
}

// TestDroppedTable: no record is lost while the tables are dropped and created again,
// and the sensor does not create them itself.
func TestDroppedTable(t *testing.T) {
	p := postgres(t)
	o, table := freshTable(t, p, p.Addr)
	s := newScene(t, o, 1, 10)
	s.offer(50)
	await.True(t, "the first rows", func() bool {
		return p.Int(t, "SELECT count(*) FROM pg_class WHERE relname = '"+table+"_blocks'") == 1 && p.Int(t, "SELECT count(*) FROM "+table) == 50
	})
	p.Exec(t, fmt.Sprintf("DROP TABLE %[1]s, %[1]s_blocks", table))
	s.offer(50)
	await.True(t, "the error", func() bool { return s.log.Lines("output fails", "postgres init") == 1 })
	if p.Int(t, "SELECT count(*) FROM pg_class WHERE relname = '"+table+"'") != 0 {
		t.Error("the table was created again")
	}
	wantAnswer(t, admin(t, p.URL(p.Addr, "postgres"), table, "").runInit, false, "created table")
	s.end(0)
	wantNames(t, p, table, 50, 50)
}

// TestPasswordCorrected: a password that is wrong for a while costs no record, and no
// line of the log shows it.
func TestPasswordCorrected(t *testing.T) {
	p := postgres(t)
	endpoint := newRole(t, p, "typist")
	table := newTable()
	boss := admin(t, p.URL(p.Addr, "postgres"), table, "typist")
	wantAnswer(t, boss.runInit, false)
	o := parsed(t, "--psqloutputtype", "1", "--psqlendpoint", endpoint, "--psqltable", table)
	const workers = 2
	s := newScene(t, o, workers, 10)
	s.offer(100)
	await.True(t, "all workers are logged in", func() bool { // a later one would keep its session with the old password
		return p.Int(t, "SELECT count(*) FROM pg_stat_activity WHERE usename = 'typist' AND state = 'idle'") == workers && p.Int(t, "SELECT count(*) FROM "+table) == 100
	})
	p.Exec(t, "ALTER ROLE typist PASSWORD 'other'; SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'typist'")
	s.offer(100)
	await.True(t, "some attempts", func() bool { return s.retries() >= 4 })
	p.Exec(t, "ALTER ROLE typist PASSWORD 'Hush-Hush'")
	s.offer(100)
	s.end(0)
	wantNames(t, p, table, 0, 300)
	if strings.Contains(s.log.String(), "Hush") {
		t.Errorf("the log shows the password:\n%s", s.log)
	}
}

// One context of five seconds for the whole life of the output made all later inserts
// fail. Here each attempt has a timeout of its own.
func TestDefect27TimeoutPerAttempt(t *testing.T) {
	p := postgres(t)
	o, table := freshTable(t, p, p.Addr, "--psqlbatchtimeout=300ms")
	w := openWriter(t, o)
	for i := range 10 {
		time.Sleep(60 * time.Millisecond) // from the sixth block on the connection is older than the timeout
		b := outputtest.Queries(i, 1)
		for from := time.Now(); ; from = time.Now() {
			_, err := w.Write(attempt(o), b)
			if err == nil {
				break
			}
			if took := time.Since(from); took < o.Timeout { // a busy server may need the whole timeout, and another attempt
				t.Fatalf("block %d: an attempt ended after %s of its %s: %v", i, took, o.Timeout, err)
			}
		}
	}
	wantNames(t, p, table, 0, 10)
}
