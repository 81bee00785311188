//go:build linux

package psql

import (
	"context"
	"fmt"
	"math"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"dnsmonster-sensor/outputs"
	"dnsmonster-sensor/test/lab"
	"dnsmonster-sensor/test/outputtest"
	"dnsmonster-sensor/userspace/event"
)

// parsed returns an output with options from a command line.
func parsed(t outputtest.T, args ...string) *Output {
	t.Helper()
	o := New()
	o.doubtPeriod = 0 // refused rows are dropped at once, except in the tests of doubt
	o.SetCommon(outputs.Common{Server: "sensor1"})
	outputtest.Options(t, o, args...)
	return o
}

func TestSettings(t *testing.T) {
	f := func(args, problem string) {
		t.Helper()
		_, err := parsed(t, strings.Fields(args)...).Settings()
		if problem == "" && err != nil || problem != "" && (err == nil || !strings.Contains(err.Error(), problem)) {
			t.Errorf("%s: error %v, want %q", args, err, problem)
		}
	}
	const on = "--psqloutputtype 1 --psqlendpoint postgres://user:secret@db.example.org/dns "
	f("", "")
	f(on, "")
	f(on+"--psqltable Logs.DNS_log2", "")
	f("--psqloutputtype 5", "psqloutputtype: 5 is not one of 0 to 4")
	f("--psqloutputtype 1", "psqlendpoint is not set: use a URI")
	f("--psqloutputtype 1 --psqlendpoint postgres://user:secret@:x/", "psqlendpoint: ")
	f(on+"--psqlworkers 0", "psqlworkers: must be at least 1, not 0")
	f(on+"--psqlbatchsize 0", "psqlbatchsize: must be at least 1, not 0")
	f(on+"--psqlbatchdelay -1s", "psqlbatchdelay: must be 0 or more, not -1s")
	f(on+"--psqlbatchtimeout 0s", "psqlbatchtimeout: must be at least 1ms, not 0s")
	f(on+"--psqltable a.b.c", "psqltable: ")
	f(on+"--psqltable a-b", "psqltable: ")
	f(on+`--psqltable "a"`, "psqltable: ")
	f(on+"--psqltable "+strings.Repeat("a", 57), "psqltable: ")
	_, err := parsed(t, "--psqloutputtype", "1", "--psqlendpoint", "postgres://user:secret@:x/").Settings()
	if strings.Contains(err.Error(), "secret") {
		t.Errorf("the password is in the error: %v", err)
	}
}

func TestDefaultsAndEnvironment(t *testing.T) {
	s, err := parsed(t).Settings()
	if err != nil || s.Type != outputs.Off || s.Workers != 1 || s.BatchSize != 1 || s.BatchDelay != 0 || s.Timeout != 5*time.Second {
		t.Errorf("defaults: %+v, %v", s, err)
	}
	for name, value := range map[string]string{
		"PSQLOUTPUTTYPE": "1", "PSQLOUTPUTENDPOINT": "postgres://db.example.org/dns", "PSQLWORKERS": "3", "PSQLBATCHSIZE": "100",
		"PSQLBATCHDELAY": "2s", "PSQLBATCHTIMEOUT": "7s", "PSQLSAVEFULLQUERY": "true", "PSQLTABLE": "x.y",
	} {
		t.Setenv("DNSMONSTER_"+name, value)
	}
	o := parsed(t)
	s, err = o.Settings()
	if err != nil || s.Type != outputs.All || s.Workers != 3 || s.BatchSize != 0 || s.BatchDelay != 2*time.Second || s.Timeout != 7*time.Second {
		t.Errorf("from the environment: %+v, %v", s, err)
	}
	if o.endpoint != "postgres://db.example.org/dns" || !o.fullQuery || o.table != "x.y" {
		t.Errorf("from the environment: %s, %t, %s", o.endpoint, o.fullQuery, o.table)
	}
	t.Setenv("DNSMONSTER_PSQLENDPOINT", "postgres://other.example.org/dns")
	if o := parsed(t); o.endpoint != "postgres://other.example.org/dns" {
		t.Errorf("PSQLENDPOINT does not count before PSQLOUTPUTENDPOINT: %s", o.endpoint)
	}
}

// freshTable returns an output with a table of its own.
func freshTable(t outputtest.T, p *lab.Postgres, addr string, args ...string) (o *Output, table string) {
	table = newTable()
	args = append([]string{"--psqloutputtype", "1", "--psqlendpoint", p.URL(addr, "postgres"), "--psqltable", table}, args...)
	return parsed(t, args...), table
}

// rowsOf returns all rows of e as rowsIn reads them: as text without absent values.
func rowsOf(e *event.Event) (list []string) {
	bit := map[bool]int{true: 1}
	addr := func(a netip.Addr) string {
		if !a.IsValid() {
			return ""
		}
		return a.String() + "|"
	}
	var row event.Row
	for rows := e.Rows(); rows.Next(&row); {
		list = append(list, fmt.Sprintf("%s|sensor1|%d|%s%s%s|%d|%d|%d|%d|%d|%d|%d|%s|%d",
			time.Unix(0, e.Time).UTC().Format("2006-01-02 15:04:05.000000"), e.IPVersion(), addr(e.Src.Addr()), addr(e.Dst.Addr()), e.Proto,
			bit[e.DNS.Response()], e.DNS.Opcode(), row.Class, row.Type, bit[e.DNS.EDNS.Present], bit[e.DNS.EDNS.DO],
			e.DNS.Rcode(), rows.AppendName(nil, &row), e.Length()))
	}
	return list
}

func rowsIn(t testing.TB, p *lab.Postgres, table string) []string {
	t.Helper()
	return p.Strings(t, `SELECT concat_ws('|', to_char(packettime AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.US'), server, ipversion, host(srcip), host(dstip),
		protocol, qr, opcode, class, type, edns0present, dobit, responsecode, question, size) FROM `+table)
}

// TestConformance uses a server that fails by a trigger, hangs by a lock, and refuses
// by another trigger.
func TestConformance(t *testing.T) {
	p := postgres(t)
	outputtest.Run(t, func(ct outputtest.T) *outputtest.Target {
		o, table := freshTable(ct, p, p.Addr)
		if err := o.Check(context.Background()); err != nil {
			ct.Fatalf("%v", err)
		}
		p.Exec(t, strings.ReplaceAll(`
			CREATE SEQUENCE $T_failures;
			CREATE TABLE $T_plan (until bigint, refuse text);
			INSERT INTO $T_plan VALUES (0, NULL);
			CREATE FUNCTION $T_fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
				IF (SELECT until FROM $T_plan) >= nextval('$T_failures') THEN RAISE EXCEPTION 'out of luck' USING ERRCODE = '53000'; END IF;
				RETURN NULL;
			END $$;
			CREATE FUNCTION $T_refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
				IF NEW.question = (SELECT refuse FROM $T_plan) THEN RAISE EXCEPTION 'bad row' USING ERRCODE = '23514'; END IF;
				RETURN NEW;
			END $$;
			CREATE TRIGGER refuse BEFORE INSERT ON $T FOR EACH ROW EXECUTE FUNCTION $T_refuse();
			CREATE TRIGGER fail BEFORE INSERT ON $T EXECUTE FUNCTION $T_fail();
		`, "$T", table))
		return &outputtest.Target{
			Output:   o,
			Want:     rowsOf,
			Received: func() []string { return rowsIn(t, p, table) },
			Fail: func(n int) {
				p.Exec(t, fmt.Sprintf("UPDATE %s_plan SET until = %d + (SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM %s_failures)", table, n, table))
			},
			Hang: func() func() { return lockTable(t, p, table) },
			Refuse: func(want string) {
				p.Exec(t, fmt.Sprintf("UPDATE %s_plan SET refuse = '%s'", table, strings.Split(want, "|")[13]))
			},
		}
	})
}

// lockTable locks a table against everybody else until release is called.
func lockTable(t testing.TB, p *lab.Postgres, table string) (release func()) {
	t.Helper()
	ctx := context.Background()
	c, err := pgx.Connect(ctx, p.URL(p.Addr, "postgres"))
	if err == nil {
		_, err = c.PgConn().Exec(ctx, "BEGIN; LOCK TABLE "+table+" IN ACCESS EXCLUSIVE MODE").ReadAll()
	}
	if err != nil {
		t.Fatal(err)
	}
	return sync.OnceFunc(func() { c.Close(ctx) })
}

// TestTimeLimits: whatever the timeout, the settings of a transaction are numbers that the
// server accepts.
func TestTimeLimits(t *testing.T) {
	for _, timeout := range []time.Duration{time.Millisecond, 5 * time.Second, 7 * 24 * time.Hour, math.MaxInt64} {
		o := &Output{Basics: outputs.Basics{Timeout: timeout}}
		for _, setting := range strings.Split(strings.TrimSuffix(o.timeLimitsSQL(), "; "), "; ") {
			_, value, _ := strings.Cut(setting, " = ")
			if n, err := strconv.ParseInt(value, 10, 32); err != nil || n < 1 {
				t.Errorf("timeout %s: %s", timeout, setting)
			}
		}
	}
	p := postgres(t)
	o, _ := freshTable(t, p, p.Addr, "--psqlbatchtimeout", "9000h")
	s := newScene(t, o, 1, 10)
	s.offer(10)
	s.end(0)
}
