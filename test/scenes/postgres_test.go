//go:build linux

package scenes

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"dnsmonster-sensor/sensor/cli"
	"dnsmonster-sensor/test/lab"
	"dnsmonster-sensor/test/packets"
	"dnsmonster-sensor/test/program"
)

// TestPostgresCommands: options from command line, environment and file, exit statuses,
// and no password in the output.
func TestPostgresCommands(t *testing.T) {
	p := lab.StartPostgres(t)
	p.Exec(t, "CREATE ROLE sensor LOGIN PASSWORD 'Hush-Hush'")
	ini := filepath.Join(t.TempDir(), "dnsmonster.ini")
	uri := strings.Replace(p.URL(p.Addr, "sensor"), "@", ":Hush-Hush@", 1)
	if err := os.WriteFile(ini, []byte("[capture]\ndevname = eth9\n[psql_output]\npsqlOutputType = 1\npsqlEndpoint = "+uri+"\npsqlTable = Queries\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	f := func(code int, want string, args ...string) {
		t.Helper()
		var out, log bytes.Buffer
		if got := cli.Main(append([]string{"dnsmonster-sensor", "postgres"}, args...), &out, &log); got != code {
			t.Errorf("%q: exit status %d, want %d", args, got, code)
		}
		if text := out.String() + log.String(); !strings.Contains(text, want) || strings.Contains(text, "Hush") {
			t.Errorf("%q: lacks %q, or has a password:\n%s", args, want, text)
		}
	}
	f(program.ExitUsage, "use dnsmonster-sensor postgres init, check or sql")
	f(program.ExitUsage, "psqlendpoint is not set: use a URI", "check")
	f(program.ExitUsage, "takes no arguments", "sql", "queries")
	f(program.ExitUsage, `psqltable: "a-b"`, "sql", "--psqltable=a-b")
	f(program.ExitOK, "GRANT SELECT, INSERT, DELETE ON queries_blocks TO sensor;", "sql", "--config", ini, "--PsqlUser=sensor")
	f(program.ExitUsage, "no   table queries does not exist", "check", "--config", ini)
	f(program.ExitUsage, "permission denied for schema public", "init", "--config", ini)
	f(program.ExitOK, "granted sensor the rights", "init", "--config", ini, "--psqlendpoint", p.URL(p.Addr, "postgres"), "--psqluser=sensor")
	f(program.ExitOK, "OK: records can be written", "check", "--config", ini)
	t.Setenv("DNSMONSTER_PSQLTABLE", "other")
	f(program.ExitUsage, "no   table other does not exist", "check", "--config", ini)
	if err := p.Stop(); err != nil {
		t.Fatal(err)
	}
	f(program.ExitFailure, "connection refused", "check", "--config", ini)
	f(program.ExitFailure, "connection refused", "init", "--config", ini)
}

// TestPostgresAtTheStart: an error that somebody has to fix ends the program with one
// line; the sensor waits for a server that is down.
func TestPostgresAtTheStart(t *testing.T) {
	t.Parallel()
	p := lab.StartPostgres(t)
	p.Exec(t, "CREATE ROLE sensor LOGIN PASSWORD 'Hush-Hush'")
	file := packets.TempFile(t, packets.Queries(100))
	f := func(user, query, table, want string) {
		t.Helper()
		uri := "postgres://" + user + "@" + p.Addr + "/postgres" + query
		r := program.Start(t, nil, "--logLevel=1", "--pcapFile", file, "--psqlOutputType=1", "--psqlTable", table, "--psqlEndpoint", uri).Wait(time.Minute)
		if r.Code != program.ExitUsage || !strings.Contains(r.Log, want) || strings.Count(r.Log, "\n") != 1 || strings.Contains(r.Log, "Hush") {
			t.Errorf("%s%s: exit status %d, want 1, and one line with %q:\n%s", user, query, r.Code, want, r.Log)
		}
	}
	f("sensor:HushHush", "", "t", "correct user and password in --psqlendpoint")
	f("sensor:Hush-Hush", "", "t", "dnsmonster-sensor postgres sql --psqluser=sensor")
	f("sensor:Hush-Hush", "", "no.t", "CREATE SCHEMA no")
	f("sensor:Hush-Hush", "?sslmode=verify-full", "t", "the server has no TLS")

	if err := p.Stop(); err != nil {
		t.Fatal(err)
	}
	s := program.Start(t, nil, "--pcapFile", file, "--psqlOutputType=1", "--psqlEndpoint", p.URL(p.Addr, "postgres"), "--skipTLSVerification", "--psqlBatchSize=10")
	s.WaitFor("trying again")
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	r := s.Wait(time.Minute)
	r.Expect(t, program.ExitOK)
	for _, want := range []string{"skiptlsverification: certificates are not checked", "output has recovered"} {
		if !strings.Contains(r.Log, want) {
			t.Errorf("the log lacks %q:\n%s", want, r.Log)
		}
	}
	if n := p.Int(t, "SELECT count(DISTINCT question) + count(*) FROM dns_log"); n != 200 {
		t.Errorf("rows and names: %d, want 200", n)
	}
	orderedRows(t, p)
}
