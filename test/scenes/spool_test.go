//go:build linux

package scenes

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"dnsmonster-sensor/test/lab"
	"dnsmonster-sensor/test/packets"
	"dnsmonster-sensor/test/program"
	"dnsmonster-sensor/userspace/account"
)

// nobody is a PostgreSQL endpoint where nobody listens.
func nobody(t *testing.T) string {
	t.Helper()
	return fmt.Sprintf("postgres://user@127.0.0.1:%d/dns?sslmode=disable", lab.FreePort(t, "tcp"))
}

// spooling is a command line with a spool and an output that cannot deliver.
func spooling(t *testing.T, dir, file string, more ...string) []string {
	t.Helper()
	return append([]string{
		"replay", file, "--psqloutputtype=1", "--psqlendpoint=" + nobody(t), "--psqlbatchsize=100",
		"--spooldir=" + dir, "--spoolfreemb=0", "--grace=300ms", "--stats=100ms", "--metricendpointtype=stderr",
	}, more...)
}

// TestSpoolKeepsWhatIsLeft: what is undelivered at a stop is on disk, and shows in the
// ledgers, in the last line and in the exit status. The next start counts it as in.
func TestSpoolKeepsWhatIsLeft(t *testing.T) {
	t.Parallel()
	dir, file := filepath.Join(t.TempDir(), "spool"), packets.TempFile(t, packets.Queries(3000))
	for round, mode := range []string{"overflow", "always"} {
		p := program.Start(t, nil, spooling(t, dir, file, "--spoolmode="+mode)...)
		want := uint64(3000 * (round + 1))
		p.WaitForWaiting(int(want))
		r := p.Stop()
		r.Expect(t, program.ExitUndelivered)
		if b := r.Ledgers["delivery psql"]; b["in"] != want || b["held"] != want || b["delivered"] != 0 {
			t.Errorf("%s: ledger %v, want %d in and held", mode, b, want)
		}
		for _, text := range []string{`dnsmonster_sensor_spool_limit_bytes{output=\"psql\"}":{"value":1073741824}`, `dnsmonster_sensor_spool_bytes{output=\"psql\"}":{"value":`, account.Counted(want, "record") + " in the spool (psql), to be sent first at the next start", "msg=\"records wait in the spool"} {
			if !strings.Contains(r.Log, text) {
				t.Errorf("%s: the log lacks %q:\n%s", mode, text, r.Log)
			}
		}
	}
	info, err := os.Stat(filepath.Join(dir, "psql"))
	if err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("the spool's folder: %v, %v; want it closed to others", info, err)
	}
}

// TestSpoolCannotBeUsed: a folder that cannot be used is an error before the capture
// starts.
func TestSpoolCannotBeUsed(t *testing.T) {
	t.Parallel()
	file := packets.TempFile(t, packets.Queries(10))
	f := func(want, dir string, args ...string) {
		t.Helper()
		p := program.Start(t, nil, spooling(t, dir, file, args...)...)
		r := p.Wait(20 * time.Second)
		if r.Code != program.ExitUsage || !strings.Contains(r.Log, want) || strings.Contains(r.Log, "ledgers after") {
			t.Errorf("%s: exit status %d, want %d and %q:\n%s", dir, r.Code, program.ExitUsage, want, r.Log)
		}
	}
	f("--spooldir /proc/spool: output psql: make spool: mkdir /proc/spool: no such file or directory (from the command line)", "/proc/spool")
	f("--spooldir "+file+": output psql: make spool: open "+file+": not a directory", file)
	f("--spoolmb 7: use 8 to", t.TempDir(), "--spoolmb=7")

	dir := t.TempDir()
	p := program.Start(t, nil, spooling(t, dir, file)...)
	p.WaitFor("output fails")
	f("psql is in use by another process (pid ", dir)
	p.Cmd.Process.Signal(syscall.SIGKILL)
	<-p.Done
	p = program.Start(t, nil, spooling(t, dir, file)...) // a killed process does not prevent that
	p.WaitForWaiting(10)
	p.Stop().Expect(t, program.ExitUndelivered)
}

// TestPacketLimit bounds how many records an output holds in memory.
func TestPacketLimit(t *testing.T) {
	file := packets.TempFile(t, packets.Queries(3000))
	p := program.Start(t, nil, "replay", file, "--psqloutputtype=1", "--psqlendpoint="+nobody(t), "--psqlbatchsize=100", "--packetlimit=50", "--workers=1", "--grace=100ms", "--stats=100ms")
	p.WaitFor("output fails")
	p.WaitForWaiting(75) // two batches wait, a third one for space: the lane stops reading
	p.Stop().Expect(t, program.ExitUndelivered)
	if slices.ContainsFunc(program.ParseStats(p.Log()), func(s program.Stats) bool { return s.Waiting >= 100 }) {
		t.Errorf("more is held than the limit of 50 and a batch:\n%s", p.Log())
	}
}

// TestSpoolCommand: while the sensor is stopped, spooled records can be listed, exported
// in every format, and dropped. A running sensor is not disturbed.
func TestSpoolCommand(t *testing.T) {
	t.Parallel()
	dir, file := filepath.Join(t.TempDir(), "spool"), packets.TempFile(t, packets.Queries(3000))
	at := "--spooldir=" + dir
	p := program.Start(t, nil, spooling(t, dir, file, "--spoolmode=always", "--workers=1")...)
	p.WaitForWaiting(3000)
	program.Output(t, program.ExitOK, "in use by a running sensor", "spool", "ls", at)
	inUse := "psql is in use by another process (pid "
	program.Output(t, program.ExitUsage, inUse, "spool", "export", "psql", at)
	program.Output(t, program.ExitUsage, inUse, "spool", "drop", "psql", at, "--yes")
	p.Stop().Expect(t, program.ExitUndelivered)

	ls := strings.Fields(strings.Split(program.Output(t, program.ExitOK, "OUTPUT  SEGMENTS", "spool", "ls", at), "\n")[1])
	if len(ls) != 8 || strings.Join(ls[:4], " ") != "psql 1 30 3000" || ls[7] != "none" {
		t.Errorf("ls says %q", ls)
	}
	if when, err := time.Parse(time.RFC3339, ls[5]); err != nil || time.Since(when) > time.Hour || ls[6] < ls[5] {
		t.Errorf("ls says %q", ls)
	}
	config := filepath.Join(t.TempDir(), "c.ini")
	if err := os.WriteFile(config, []byte("spooldir = "+dir+"\ndevname = eth0\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for range 2 { // an export removes nothing
		lines := strings.Split(strings.TrimSpace(program.Output(t, program.ExitOK, "exported 3,000 records, which stay", "spool", "export", "--config", config, "psql")), "\n")
		if len(lines) != 3000 {
			t.Fatalf("%d lines exported, want 3000", len(lines))
		}
		for i, line := range lines {
			if want := fmt.Sprintf(`"Question":[{"Name":"h%d.example.org."`, i); !strings.Contains(line, want) {
				t.Fatalf("line %d lacks %s: %s", i, want, line)
			}
		}
	}
	f := func(lines int, first string, args ...string) {
		t.Helper()
		out := strings.Split(strings.TrimSpace(program.Output(t, program.ExitOK, "", append([]string{"spool", "export", "psql", at}, args...)...)), "\n")
		if len(out) != lines || !strings.HasPrefix(out[0], first) {
			t.Errorf("%q: %d lines, want %d and %q first, not %q", args, len(out), lines, first, out[0])
		}
	}
	f(3001, "Year,Month,Day,", "--format=csv")
	f(3000, "2023,11,14,22,13,20,0,sensor7,", "--format=csv_no_header", "--servername=sensor7")
	f(3000, `{"timestamp":"2023-11-14T22:13:20Z"`, "--format=json-flat")
	f(3000, `{"activity_id":1,`, "--format=json-ocsf")
	f(3000, "22:13:20.000000 192.0.2.0:1024 > 192.0.2.53:53 udp 0 rd A? h0.example.org.", "--format=text")
	f(3000, "192.0.2.0 h0.example.org.", "--format=gotemplate", "--template={{.SrcIP}} {{(index .DNS.Question 0).Name}}")

	program.Output(t, program.ExitOK, `msg="the spool holds records for an output that is switched off; they stay there" output=psql events=3000`,
		"replay", file, at)
	program.Output(t, program.ExitUsage, "--spooldir: name the folder of the spool", "spool", "ls")
	program.Output(t, program.ExitUsage, "no such file or directory", "spool", "ls", at+"/no")
	program.Output(t, program.ExitUsage, `no spool of output "pslq" in `+dir+` (there are: psql`, "spool", "ls", "pslq", at)
	program.Output(t, program.ExitUsage, "spool export: name one output: psql", "spool", "export", at)
	program.Output(t, program.ExitUsage, "--format: unknown format \"xml\"", "spool", "export", "psql", at, "--format=xml")
	program.Output(t, program.ExitUsage, "--template: ", "spool", "export", "psql", at, "--format=gotemplate", "--template={{")
	program.Output(t, program.ExitUsage, "unknown option --spooldri: did you mean --spooldir?", "spool", "ls", "--spooldri=x")
	program.Output(t, program.ExitUsage, "spool: use dnsmonster-sensor spool ls, export or drop", "spool")
	program.Output(t, program.ExitOK, "EXAMPLES", "spool", "drop", "--help")

	spoil(t, dir)
	if out := program.Output(t, program.ExitUndelivered, "exported 2,900 records, but not all: 1 damaged place, at least 100 records lost", "spool", "export", "psql", at); strings.Count(out, "\n") != 2900 {
		t.Errorf("%d lines of a damaged spool, want 2900", strings.Count(out, "\n"))
	}
	program.Output(t, program.ExitOK, "1 damaged place, 100 records lost", "spool", "ls", at)

	program.Output(t, program.ExitUsage, "spool drop: name the outputs: psql", "spool", "drop", at, "--yes")
	program.Output(t, program.ExitUsage, "spool drop psql: nothing is deleted; --yes deletes 2,900 records", "spool", "drop", "psql", at)
	program.Output(t, program.ExitOK, "psql: deleted 2,900 records", "spool", "drop", "psql", at, "--yes")
	program.Output(t, program.ExitOK, "psql    0         0       0        0      -       -       none", "spool", "ls", at)
}

// TestSpoolDamagedBetweenRuns: the run that finds damage done while no sensor ran shows it
// in its ledgers, its log and its exit status, once.
func TestSpoolDamagedBetweenRuns(t *testing.T) {
	t.Parallel()
	dir, file := filepath.Join(t.TempDir(), "spool"), packets.TempFile(t, packets.Queries(3000))
	p := program.Start(t, nil, spooling(t, dir, file, "--workers=1")...)
	p.WaitForWaiting(3000)
	p.Stop().Expect(t, program.ExitUndelivered)
	spoil(t, dir)
	if err := os.Rename(filepath.Join(dir, "psql"), filepath.Join(dir, "file")); err != nil { // the spool of an output that works
		t.Fatal(err)
	}
	out := t.TempDir()
	again := func(code int, in, delivered, damaged uint64) {
		t.Helper()
		r := program.Start(t, nil, "replay", packets.TempFile(t, packets.Queries(1)), "--spooldir="+dir, "--spoolfreemb=0", "--fileoutputtype=1", "--fileoutputpath="+out).Wait(20 * time.Second)
		if b := r.Ledgers["delivery file"]; r.Code != code || b["in"] != in || b["delivered"] != delivered || b["spool_damaged"] != damaged || b["unaccounted"] != 0 {
			t.Errorf("exit status %d, ledger %v; want %d, in %d, delivered %d, damaged %d:\n%s", r.Code, b, code, in, delivered, damaged, r.Log)
		}
		if damaged > 0 != strings.Contains(r.Log, "level=ERROR msg=\"the spool is damaged") {
			t.Errorf("%d damaged; the log:\n%s", damaged, r.Log)
		}
	}
	if err := os.Chmod(out, 0o777); err != nil { // a start that fails must not count anything
		t.Fatal(err)
	}
	program.Output(t, program.ExitUsage, "use --force", "replay", file, "--spooldir="+dir, "--fileoutputtype=1", "--fileoutputpath="+out)
	if err := os.Chmod(out, 0o755); err != nil {
		t.Fatal(err)
	}
	again(program.ExitUndelivered, 3001, 2901, 100)
	again(program.ExitOK, 1, 1, 0)
}

// spoil flips a bit in the middle of the one segment of the psql output.
func spoil(t *testing.T, dir string) {
	t.Helper()
	segments, _ := filepath.Glob(filepath.Join(dir, "psql", "*.blocks"))
	if len(segments) != 1 {
		t.Fatalf("segments: %v, want one", segments)
	}
	data, err := os.ReadFile(segments[0])
	if err != nil {
		t.Fatal(err)
	}
	data[len(data)/2] ^= 1
	if err := os.WriteFile(segments[0], data, 0o600); err != nil {
		t.Fatal(err)
	}
}
