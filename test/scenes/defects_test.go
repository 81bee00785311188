//go:build linux

package scenes

import (
	"encoding/csv"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"dnsmonster-sensor/test/lab"
	"dnsmonster-sensor/test/packets"
	"dnsmonster-sensor/test/program"
)

// TestDefect18 stops the sensor with batches in memory: they are delivered. And it cuts
// connections: the sensor reconnects.
func TestDefect18(t *testing.T) {
	t.Parallel()
	server := lab.StartPostgres(t)
	t.Run("SIGTERM", func(t *testing.T) {
		s := newDeliveryScene(t, server)
		s.capture("--psqlbatchdelay=1h")
		s.sendQueries(500, 5000)
		s.sensor.WaitForWaiting(500) // in a batch that is still being filled
		if s.rows() != 0 {
			t.Error("the batch is gone before the signal: this test shows nothing")
		}
		s.stop(program.ExitOK)
		s.expectAllRows()
	})
	t.Run("a peer closes", func(t *testing.T) {
		s := newDeliveryScene(t, server)
		restore := s.slowDown()
		s.replay(6000)
		for range 5 {
			s.waitForRows()
			s.server.Exec(t, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'dnsmonster-sensor'")
		}
		restore()
		s.waitForEnd(program.ExitOK)
		s.expectAllRows()
	})
}

// TestDefect24 writes names with commas and quotes as CSV. Only the format csv has a
// header.
func TestDefect24(t *testing.T) {
	content := packets.Queries(2)
	copy(content[24+16+28+12:], "\x02,\"") // in place of the first name's first label, h0
	file, dir := packets.TempFile(t, content), t.TempDir()
	csvFile := filepath.Join(dir, "dnsmonster.log")
	out := program.Output(t, program.ExitOK, "", "replay", file, "--workers=1", "--stdoutoutputformat=csv", "--fileoutputtype=1", "--fileoutputpath="+dir, "--fileoutputformat=csv")
	if out != "" {
		t.Errorf("stdout is off, and has %q", out)
	}
	text, err := os.ReadFile(csvFile)
	if err != nil {
		t.Fatal(err)
	}
	rows, err := csv.NewReader(strings.NewReader(string(text))).ReadAll()
	if err != nil || len(rows) != 3 || rows[0][0] != "Year" {
		t.Fatalf("%v: %q, want a header and two rows", err, rows)
	}
	for i, want := range []string{`,\".example.org.`, "h1.example.org."} {
		if got := rows[1+i]; len(got) != 22 || got[17] != want {
			t.Errorf("row %d has %d fields and the question %q, want 22 and %s", i, len(got), got[17], want)
		}
	}
	out = program.Output(t, program.ExitOK, "", "replay", file, "--stdoutoutputtype=1", "--stdoutoutputformat=csv_no_header")
	if strings.Contains(out, "Year,") || strings.Count(out, "\n") != 2 {
		t.Errorf("csv_no_header: %s", out)
	}
}

// TestDefect27 writes to PostgreSQL for longer than the timeout of an attempt.
func TestDefect27(t *testing.T) {
	t.Parallel()
	s := newDeliveryScene(t, lab.StartPostgres(t))
	s.capture("--psqlbatchtimeout=1s")
	begun := time.Now()
	for time.Since(begun) < 2500*time.Millisecond {
		s.sendQueries(100, 1000)
		s.waitUntil(fmt.Sprint(s.asked, " rows"), func() bool { return s.rows() == s.asked })
	}
	s.stop(program.ExitOK)
	s.expectAllRows()
	if failed, recovered := s.timesLogged("output fails"), s.timesLogged("output has recovered"); failed != recovered { // on a busy machine an attempt may once take longer than a second
		t.Errorf("attempts fail for good:\n%s", s.sensor.Log())
	}
}
