package sensor

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"dnsmonster-sensor/sensor/lab"
)

// TestPostgresCommands: options from line, environment and file, exit statuses,
// and no password in anything that is printed.
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
		if got := Main(append([]string{"dnsmonster-sensor", "postgres"}, args...), &out, &log); got != code {
			t.Errorf("%q: exit status %d, want %d", args, got, code)
		}
		if text := out.String() + log.String(); !strings.Contains(text, want) || strings.Contains(text, "Hush") {
			t.Errorf("%q: lacks %q, or has a password:\n%s", args, want, text)
		}
	}
	f(1, "use dnsmonster-sensor postgres init, check or sql")
	f(1, "psqlendpoint: set it", "check")
	f(1, "takes no arguments", "sql", "queries")
	f(1, `psqltable: "a-b"`, "sql", "--psqltable=a-b")
	f(0, "GRANT SELECT, INSERT, DELETE ON queries_blocks TO sensor;", "sql", "--config", ini, "--PsqlUser=sensor")
	f(1, "no   table queries is not there", "check", "--config", ini)
	f(1, "permission denied for schema public", "init", "--config", ini)
	f(0, "gave sensor the rights", "init", "--config", ini, "--psqlendpoint", p.URL(p.Addr, "postgres"), "--psqluser=sensor")
	f(0, "OK: records can be written", "check", "--config", ini)
	t.Setenv("DNSMONSTER_PSQLTABLE", "other")
	f(1, "no   table other is not there", "check", "--config", ini)
	if err := p.Stop(); err != nil {
		t.Fatal(err)
	}
	f(2, "connection refused", "check", "--config", ini)
	f(2, "connection refused", "init", "--config", ini)
}
