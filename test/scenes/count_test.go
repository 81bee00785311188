//go:build linux

package scenes

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"dnsmonster-sensor/test/await"
	"dnsmonster-sensor/test/lab"
	"dnsmonster-sensor/test/packets"
	"dnsmonster-sensor/test/program"
)

// expectCount checks that a run ended well with n records, and that each record beyond
// them has its outcome.
func expectCount(t *testing.T, what string, r program.Result, lines []string, n int) {
	t.Helper()
	r.Expect(t, program.ExitOK)
	if lines = slices.DeleteFunc(lines, func(line string) bool { return line == "" }); len(lines) != n {
		t.Errorf("%s: %d records, want %d", what, len(lines), n)
	}
	if in := r.Sum("limit", "in"); in == 0 || in != r.Sum("limit", "passed")+r.Sum("limit", "beyond_count") {
		t.Errorf("%s: the ledger of the limit does not tell what came in:\n%s", what, r.Log)
	}
}

// TestCountOfFile: the first records of a file, in their order, however large it is; with
// several workers as many.
func TestCountOfFile(t *testing.T) {
	t.Parallel()
	small, large := packets.TempFile(t, mixed(3000)), packets.TempFile(t, packets.Queries(300_000))
	f := func(n int, ordered bool, args ...string) {
		t.Helper()
		what := strings.Join(args, " ")
		p := program.Start(t, nil, append([]string{"replay"}, args...)...)
		r := p.Wait(time.Minute)
		expectCount(t, what, r, p.Records(), n)
		if ordered {
			inOrder(t, what, p.Records(), n)
		}
		if read := r.Ledgers["packet"]["in"]; strings.Contains(what, large) && n < 100 && read == 300_000 {
			t.Errorf("%s: the file was read to its end", what)
		}
	}
	f(1, true, "-c1", small)
	f(7, true, "-c", "7", "-r", small)
	f(7, true, large, "--count=7")
	f(7, true, large, "--count=7", "--ordered", "--workers=4")
	f(7, false, large, "--count=7", "--workers=4")
	f(1000, false, large, "--count=1000", "--workers=2", "--stdoutoutputworkercount=2")
	f(3000, true, small, "-c", "3000")
	f(3000, true, small, "-c", "5000") // the file has no more
	f(12, true, "-vvc12", large, "--speed=1")
}

// TestCountOfOutputs: each output gets the same records. With domain lists, those that an
// output takes count. A spool keeps none of the others.
func TestCountOfOutputs(t *testing.T) {
	t.Parallel()
	dir, spool := t.TempDir(), t.TempDir()
	file := packets.TempFile(t, packets.Queries(2000))
	p := program.Start(t, nil, "replay", file, "-c20", "--stdoutoutputtype=1", "--fileoutputtype=1", "--fileoutputpath="+dir, "--spooldir="+spool, "--spoolmode=always")
	expectCount(t, "two outputs", p.Wait(time.Minute), p.Records(), 20)
	written, err := os.ReadFile(filepath.Join(dir, "dnsmonster.log"))
	if err != nil {
		t.Fatal(err)
	}
	inOrder(t, "file", slices.Collect(strings.Lines(string(written))), 20)
	inOrder(t, "stdout", p.Records(), 20)

	var asked []string
	for i := range 300 {
		asked = append(asked, fmt.Sprintf("www%d.%s.example", i, []string{"skip", "other"}[i%2]))
	}
	list := writeList(t, "skip.example.,suffix\n")
	for _, workers := range []string{"1", "4"} {
		p := program.Start(t, nil, "replay", packets.TempFile(t, packets.Asking(asked...)), "-c20", "--workers="+workers, "--stdoutoutputtype=2", "--skipdomainsfile="+list)
		r := p.Wait(time.Minute)
		expectCount(t, "skipped domains", r, p.Records(), 20)
		if text := questionsOf(t, p.Records()); strings.Contains(text, "skip") || r.Ledgers["delivery stdout"]["delivered"] != 20 {
			t.Errorf("records: %s\n%s", text, r.Log)
		}
	}
}

// TestCountEndsAPipe that does not end by itself. A signal before the last record ends the
// run as ever, and a configuration is read again meanwhile.
func TestCountEndsAPipe(t *testing.T) {
	t.Parallel()
	p, in := program.Feed(t, packets.Queries(40), "-c5")
	defer in.Close()
	expectCount(t, "pipe", p.Wait(await.Limit), p.Records(), 5)

	p, in = program.Feed(t, packets.Queries(3), "-c5")
	p.WaitForRecords(3)
	p.Reload()
	p.WaitFor("reloaded")
	if _, err := in.Write(packets.QueriesFrom(3, 9)[packets.FileHeaderSize:]); err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	expectCount(t, "pipe after a reload", p.Wait(await.Limit), p.Records(), 5)

	p, in = program.Feed(t, packets.Queries(3), "-c5")
	p.WaitForRecords(3)
	p.Signal(syscall.SIGINT)
	in.Close()
	r := p.Wait(await.Limit)
	expectCount(t, "interrupted pipe", r, p.Records(), 3)

	p, in = program.Feed(t, packets.Queries(3), "-c5", packets.TempFile(t, packets.Queries(9)))
	defer in.Close()
	p.WaitForRecords(3)
	p.Signal(syscall.SIGINT)
	time.Sleep(nextSignal)
	p.Signal(syscall.SIGINT)
	p.Wait(await.Limit).Expect(t, program.ExitUndelivered) // the file was not read
}

// TestCountEndsACapture: the last record ends it at once, though no more packets come.
func TestCountEndsACapture(t *testing.T) {
	l := lab.New(t)
	l.Server.Sink(t, 53)
	send := func(n int) {
		t.Helper()
		f := lab.Flow{From: l.Client, To: netip.AddrPortFrom(l.Server.V4, 53), Messages: lab.Messages(lab.Zone{Names: 10}.Queries(10, 1)), Count: n, Rate: 1000}
		if _, err := f.Send(context.Background()); err != nil {
			t.Fatal(err)
		}
	}
	p := program.Start(t, l.Server, "attach", "-nni", l.Server.Iface, "-c", "10")
	p.WaitForCapture()
	send(9)
	p.WaitForRecords(9)
	select {
	case <-p.Done:
		t.Fatalf("it ended before the last record:\n%s", p.Log())
	default:
	}
	send(1)
	begun := time.Now()
	expectCount(t, "interface", p.Wait(await.Limit), p.Records(), 10)
	t.Logf("it ended %s after the last record", time.Since(begun).Round(time.Millisecond))

	p = program.Start(t, l.Server, "attach", "any", "-c3", "--workers=4")
	p.WaitForCapture()
	send(50)
	expectCount(t, "any", p.Wait(await.Limit), p.Records(), 3)
}
