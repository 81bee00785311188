//go:build linux

package scenes

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"dnsmonster-sensor/test/lab"
	"dnsmonster-sensor/test/lab/tier"
	"dnsmonster-sensor/test/packets"
	"dnsmonster-sensor/test/program"
)

// recordFiles counts the records of all files in a folder by their question. After a kill
// at the end of a rotation the file may be there beside its compressed copy: then it
// counts once.
func recordFiles(t *testing.T, dir string) map[string]int {
	t.Helper()
	names, torn := recordFilesTorn(t, dir)
	if len(torn) > 0 {
		t.Fatalf("the file ends in part of a record: %q", torn)
	}
	return names
}

// recordFilesTorn is recordFiles for a folder whose sensor was killed. torn is the part of
// the current file after its last whole line; the next start cuts it off.
func recordFilesTorn(t *testing.T, dir string) (names map[string]int, torn []byte) {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(dir, "dnsmonster.log*"))
	if err != nil {
		t.Fatal(err)
	}
	names = make(map[string]int)
	for _, path := range paths {
		stamp := filepath.Ext(path)
		if _, err := os.Stat(filepath.Join(dir, "dnsmonster.log.gz"+stamp)); err == nil && !strings.Contains(path, ".gz.") {
			continue
		}
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(path, ".gz.") {
			r, err := gzip.NewReader(bytes.NewReader(text))
			if err == nil {
				text, err = io.ReadAll(r)
			}
			if err != nil {
				t.Fatalf("%s: %v", path, err)
			}
		}
		if whole := bytes.LastIndexByte(text, '\n') + 1; filepath.Base(path) == "dnsmonster.log" {
			text, torn = text[:whole], text[whole:]
		} else if whole < len(text) {
			t.Fatalf("%s ends in part of a record: %q", path, text[whole:])
		}
		for line := range strings.Lines(string(text)) {
			line = strings.TrimSuffix(line, "\n")
			_, rest, _ := strings.Cut(line, `"Name":"`)
			name, _, ok := strings.Cut(rest, `"`)
			if !ok || !strings.HasPrefix(line, `{"Timestamp":"`) || !strings.HasSuffix(line, "}") {
				t.Fatalf("%s: not a record: %q", path, line)
			}
			names[name]++
		}
	}
	return names, torn
}

// expectEachOnce checks that the questions 0 to n-1 are there once each.
func expectEachOnce(t *testing.T, names map[string]int, n int) {
	t.Helper()
	wrong := 0
	for i := range n {
		if got := names[fmt.Sprintf("h%d.example.org.", i)]; got != 1 {
			if wrong++; wrong <= 3 {
				t.Errorf("record %d is there %d times", i, got)
			}
		}
	}
	if wrong > 0 || len(names) != n {
		t.Errorf("%d of %d records are wrong; %d different ones in all", wrong, n, len(names))
	}
}

// TestFileRotation rotates the file while it is written, and counts the records in all
// files.
func TestFileRotation(t *testing.T) {
	t.Parallel()
	const n = 100_000
	path, dir := packets.TempFile(t, packets.Queries(n)), t.TempDir()
	// --speed spreads the file's tenth of a second over some seconds.
	p := program.Start(t, nil, "replay", path, "--fileoutputtype=1", "--fileoutputpath="+dir, "--fileoutputrotatecron=@every 1s",
		"--fileoutputrotatecount=1000", "--fileoutputworkers=2", "--speed=0.03")
	r := p.Wait(time.Minute)
	r.Expect(t, program.ExitOK)
	expectEachOnce(t, recordFiles(t, dir), n)
	old, err := filepath.Glob(filepath.Join(dir, "dnsmonster.log.gz.*"))
	if rotations := countRotations(t, dir); err != nil || len(old) == 0 || rotations < 2 {
		t.Errorf("%d rotations, %d compressed files (%v), want some", rotations, len(old), err)
	}
	if got := r.Ledgers["delivery file"]["delivered"]; got != n {
		t.Errorf("the ledgers say %d delivered", got)
	}
}

// countRotations returns how often the file in a folder was rotated.
func countRotations(t *testing.T, dir string) int {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(dir, "dnsmonster.log.*"))
	if err != nil {
		t.Fatal(err)
	}
	stamps := make(map[string]bool) // a file and its compressed copy have the same
	for _, path := range paths {
		stamps[filepath.Ext(path)] = true
	}
	return len(stamps)
}

// deliveredLine finds a number of delivered records above 0 in the metrics on stderr.
var deliveredLine = regexp.MustCompile(`outcome=\\"delivered\\",part=\\"file\\"}":{"count":([1-9]\d*)}`)

// TestFileKilled kills the sensor several times while it rotates, and then lets it finish.
// All records reported as delivered are there, no run has written a record twice, and
// rotations that had begun are finished.
func TestFileKilled(t *testing.T) {
	t.Parallel()
	killDuringRotation(t, tier.Length(2, 20))
}

// TestSoakFileKilled kills it ten times as often.
func TestSoakFileKilled(t *testing.T) {
	tier.ByHand(t, tier.Soak)
	killDuringRotation(t, 200)
}

func killDuringRotation(t *testing.T, kills int) {
	t.Helper()
	const n = 100_000
	path, dir := packets.TempFile(t, packets.Queries(n)), t.TempDir()
	args := []string{"--fileoutputtype=1", "--fileoutputpath=" + dir, "--fileoutputrotatecron=@every 1s", "--fileoutputrotatecount=1000",
		"--metricflushinterval=100ms"}
	before := 0
	for i := range kills {
		old := countRotations(t, dir)
		p := program.Start(t, nil, append([]string{"replay", path, "--speed=0.02"}, args...)...)
		p.Until("it has rotated twice, and reported delivered records", func() bool {
			return countRotations(t, dir) >= old+2 && deliveredLine.MatchString(p.Log())
		})
		time.Sleep(time.Duration(i) * time.Millisecond) // at another moment each time
		p.Cmd.Process.Kill()
		<-p.Done
		records := 0
		names, torn := recordFilesTorn(t, dir)
		for name, times := range names {
			if times > i+1 { // each run starts from the beginning
				t.Fatalf("%s is there %d times after %d runs", name, times, i+1)
			}
			records += times
		}
		said := deliveredLine.FindAllStringSubmatch(p.Log(), -1)
		least, _ := strconv.Atoi(said[len(said)-1][1])
		if records-before < least {
			t.Errorf("%d records of this run, %d were delivered", records-before, least)
		}
		if len(torn) > 0 {
			t.Logf("%d bytes of a torn record", len(torn))
		}
		before = records
	}
	uncompressed := func() []string {
		t.Helper()
		plain, err := filepath.Glob(filepath.Join(dir, "dnsmonster.log.2*"))
		if err != nil {
			t.Fatal(err)
		}
		return plain
	}
	p, in := program.Feed(t, packets.Queries(n), args...)
	p.Until("all is written and compressed", func() bool { // a stop waits for that only for seconds
		said := deliveredLine.FindAllStringSubmatch(p.Log(), -1)
		now, err := os.Stat(filepath.Join(dir, "dnsmonster.log"))
		return len(said) > 0 && said[len(said)-1][1] == strconv.Itoa(n) && err == nil && now.Size() == 0 && len(uncompressed()) == 0
	})
	in.Close()
	p.Wait(time.Minute).Expect(t, program.ExitOK)
	names := recordFiles(t, dir)
	for i := range n {
		if got := names[fmt.Sprintf("h%d.example.org.", i)]; got < 1 || got > kills+1 {
			t.Fatalf("record %d is there %d times after %d runs", i, got, kills+1)
		}
	}
	left, err := filepath.Glob(filepath.Join(dir, ".dnsmonster.log*"))
	if err != nil || len(left) > 0 {
		t.Errorf("left behind: %q (%v)", left, err)
	}
	if plain := uncompressed(); len(plain) > 0 {
		t.Errorf("not compressed: %q", plain)
	}
}

// retriesLine finds three or more retries in the metrics on stderr.
var retriesLine = regexp.MustCompile(`meter=\\"retries\\",part=\\"file\\"}":{"count":([3-9]|\d\d+)}`)

// TestDefect36FileDiskFull fills a small disk, frees space, and counts the records.
func TestDefect36FileDiskFull(t *testing.T) {
	t.Parallel()
	dir := lab.Tmpfs(t, 8)
	ballast := filepath.Join(dir, "ballast")
	if err := os.WriteFile(ballast, make([]byte, 6<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	const n = 10_000 // about 4 MB of records
	p := program.Start(t, nil, "replay", packets.TempFile(t, packets.Queries(n)), "--fileoutputtype=1", "--fileoutputpath="+dir, "--metricflushinterval=100ms")
	p.WaitFor("no space left on device")
	p.Until("there were more attempts", func() bool { return retriesLine.MatchString(p.Log()) })
	names := recordFiles(t, dir)
	if len(names) == 0 || len(names) == n {
		t.Errorf("%d records on the full disk", len(names))
	}
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	r := p.Wait(time.Minute)
	r.Expect(t, program.ExitOK)
	expectEachOnce(t, recordFiles(t, dir), n)
	if lines := strings.Count(r.Log, "level=WARN"); lines != 1 || !strings.Contains(r.Log, "output has recovered") {
		t.Errorf("%d warnings, want one, and a line when it is over:\n%s", lines, r.Log)
	}
}

// TestFileStopOnFullDisk: after SIGTERM on a full disk the sensor ends within the grace
// time. Written records are whole, and the ledgers have the rest.
func TestFileStopOnFullDisk(t *testing.T) {
	t.Parallel()
	dir := lab.Tmpfs(t, 1)
	const n = 10_000
	p := program.Start(t, nil, "replay", packets.TempFile(t, packets.Queries(n)), "--fileoutputtype=1", "--fileoutputpath="+dir, "--grace=300ms")
	p.WaitFor("no space left on device")
	if err := p.Cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	r := p.Wait(20 * time.Second)
	r.Expect(t, program.ExitUndelivered)
	delivered, abandoned := r.Ledgers["delivery file"]["delivered"], r.Ledgers["delivery file"]["abandoned"]
	if got := uint64(len(recordFiles(t, dir))); got != delivered || delivered+abandoned != r.Ledgers["message"]["event"] {
		t.Errorf("%d records in the file; the ledgers say %d delivered, %d abandoned", got, delivered, abandoned)
	}
}

// TestFileFolder: a folder that cannot work is an error at the start, exit status 1, and
// nothing is captured.
func TestFileFolder(t *testing.T) {
	t.Parallel()
	path := packets.TempFile(t, packets.Queries(10))
	f := func(dir, want string) {
		t.Helper()
		p := program.Start(t, nil, "replay", path, "--fileoutputtype=1", "--fileoutputpath="+dir)
		r := p.Wait(10 * time.Second)
		if r.Code != program.ExitUsage || !strings.Contains(r.Log, want) || strings.Contains(r.Log, "ledgers after") {
			t.Errorf("%s: exit status %d, want %d and %q:\n%s", dir, r.Code, program.ExitUsage, want, r.Log)
		}
	}
	dir := t.TempDir()
	f("", "fileoutputpath: name the folder of the files")
	f(filepath.Join(dir, "no"), "make the folder with: mkdir -p "+filepath.Join(dir, "no")+" (from the command line)")
	f(path, "name the folder of dnsmonster.log")
	taken := program.Start(t, nil, "replay", path, path, "--fileoutputtype=1", "--fileoutputpath="+dir, "--speed=1e-9") // for hours
	taken.Until("the file has records", func() bool {
		b, err := os.ReadFile(filepath.Join(dir, "dnsmonster.log"))
		return err == nil && len(b) > 0
	})
	f(dir, "another sensor writes there: give each its own folder")
	from := time.Now()
	taken.Stop().Expect(t, program.ExitUndelivered) // it had not read its files
	if took := time.Since(from); took > 5*time.Second {
		t.Errorf("SIGTERM took %s", took)
	}
	program.Run(t, "replay", path, "--fileoutputtype=1", "--fileoutputpath="+dir)
}

// TestDefect24HeaderOfWhatIsOff: an output that is off prints nothing, whatever
// its format is.
func TestDefect24HeaderOfWhatIsOff(t *testing.T) {
	dir := t.TempDir()
	p := program.Run(t, "run", "--pcapfile", packets.TempFile(t, packets.Queries(10)), "--stdoutoutputformat=csv",
		"--fileoutputtype=1", "--fileoutputformat=csv", "--fileoutputpath="+dir)
	if b, err := os.ReadFile(p.RecordsFile); err != nil || len(b) > 0 {
		t.Errorf("stdout got %q (%v)", b, err)
	}
	b, err := os.ReadFile(filepath.Join(dir, "dnsmonster.log"))
	if err != nil || strings.Count(string(b), "\n") != 11 || strings.Count(string(b), "Year,") != 1 {
		t.Errorf("the file holds %q (%v)", b, err)
	}
}
