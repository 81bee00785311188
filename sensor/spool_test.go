package sensor

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// nobody is an endpoint of PostgreSQL where nobody listens.
func nobody(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return "postgres://user@" + l.Addr().String() + "/dns?sslmode=disable"
}

// spooling is a command line of an output that cannot deliver, with a spool.
func spooling(t *testing.T, dir, file string, more ...string) []string {
	t.Helper()
	return append([]string{
		"replay", file, "--psqloutputtype=1", "--psqlendpoint=" + nobody(t), "--psqlbatchsize=100",
		"--spooldir=" + dir, "--spoolfreemb=0", "--grace=300ms", "--stats=100ms",
	}, more...)
}

// TestSpoolKeepsWhatIsLeft: what a stop leaves undelivered is on disk, in the
// books, in the last line and in the exit status, and the next start counts it
// in.
func TestSpoolKeepsWhatIsLeft(t *testing.T) {
	dir, file := filepath.Join(t.TempDir(), "spool"), write(t, queries(3000))
	for round, mode := range []string{"overflow", "always"} {
		p := start(t, nil, spooling(t, dir, file, "--spoolmode="+mode)...)
		want := uint64(3000 * (round + 1))
		p.waitFor(fmt.Sprintf("held %d,", want))
		r := p.stop()
		r.expect(t, exitUndelivered)
		if b := r.books["delivery psql"]; b["in"] != want || b["held"] != want || b["delivered"] != 0 {
			t.Errorf("%s: books %v, want %d in and held", mode, b, want)
		}
		for _, text := range []string{fmt.Sprint(want) + " wait in the spool (psql) and will be sent first at the next start", "msg=\"events wait in the spool"} {
			if !strings.Contains(r.log, text) {
				t.Errorf("%s: the log lacks %q:\n%s", mode, text, r.log)
			}
		}
	}
	info, err := os.Stat(filepath.Join(dir, "psql"))
	if err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("the spool's folder: %v, %v; want it closed to others", info, err)
	}
}

// TestSpoolCannotBeUsed: what is wrong with the folder is an error before
// anything is captured.
func TestSpoolCannotBeUsed(t *testing.T) {
	file := write(t, queries(10))
	f := func(want, dir string, args ...string) {
		t.Helper()
		p := start(t, nil, spooling(t, dir, file, args...)...)
		r := p.wait(20 * time.Second)
		if r.code != exitUsage || !strings.Contains(r.log, want) || strings.Contains(r.log, "books after") {
			t.Errorf("%s: exit status %d, want %d and %q:\n%s", dir, r.code, exitUsage, want, r.log)
		}
	}
	f("--spooldir /proc/spool: output psql: make spool: mkdir /proc/spool: no such file or directory (from the command line)", "/proc/spool")
	f("--spooldir "+file+": output psql: make spool: mkdir "+file+": not a directory", file)
	f("--spoolmb 7: use 8 to", t.TempDir(), "--spoolmb=7")

	dir := t.TempDir()
	p := start(t, nil, spooling(t, dir, file)...)
	p.waitFor("output fails")
	f("psql is in use by another process (pid ", dir)
	p.cmd.Process.Signal(syscall.SIGKILL)
	<-p.ended
	p = start(t, nil, spooling(t, dir, file)...) // a killed process keeps nothing from it
	p.waitFor("output fails")
	p.stop().expect(t, exitUndelivered)
}

// TestPacketLimit bounds what an output keeps in memory by its number.
func TestPacketLimit(t *testing.T) {
	file := write(t, queries(3000))
	p := start(t, nil, "replay", file, "--psqloutputtype=1", "--psqlendpoint="+nobody(t), "--psqlbatchsize=100", "--packetlimit=50", "--workers=1", "--grace=100ms", "--stats=100ms")
	p.waitFor("output fails")
	p.waitFor("held 75,") // two batches wait, and one for room: the lane reads no further
	p.stop().expect(t, exitUndelivered)
	if strings.Contains(p.log(), "held 1") {
		t.Errorf("more is held than the limit of 50 and a batch:\n%s", p.log())
	}
}
