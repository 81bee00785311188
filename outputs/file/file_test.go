//go:build linux

package file

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"dnsmonster-sensor/outputs"
	"dnsmonster-sensor/outputs/format"
	"dnsmonster-sensor/test/await"
	"dnsmonster-sensor/test/outputtest"
	"dnsmonster-sensor/userspace/event"
)

// parsed returns an output with options from a command line.
func parsed(t outputtest.T, args ...string) *Output {
	t.Helper()
	o := New()
	outputtest.Options(t, o, args...)
	return o
}

func TestSettings(t *testing.T) {
	f := func(problem string, args ...string) {
		t.Helper()
		_, err := parsed(t, args...).Settings()
		if problem == "" && err != nil || problem != "" && (err == nil || !strings.Contains(err.Error(), problem)) {
			t.Errorf("%s: error %v, want %q", args, err, problem)
		}
	}
	f("")
	f("", "--fileoutputtype=1", "--fileoutputpath=/x")
	f("", "--fileoutputrotatecount=0")
	f("", "--fileoutputrotatecron=@every 10m")
	f("", "--fileoutputrotatecron=CRON_TZ=Asia/Tokyo 30 4 * * 1")
	f("fileoutputpath: name the folder", "--fileoutputtype=1")
	f("fileoutputtype: 5 is not one of 0 to 4", "--fileoutputtype=5")
	f("fileoutputrotatecount: must be at least 0, not -1", "--fileoutputrotatecount=-1")
	f(`fileoutputrotatecron: "daily": use five fields`, "--fileoutputrotatecron=daily")
	f(`fileoutputrotatecron: "0 0 30 2 *": no such day exists`, "--fileoutputrotatecron=0 0 30 2 *")
	f(`fileoutputrotatecron: "TZ=UTC": use five fields`, "--fileoutputrotatecron=TZ=UTC")
	f(`fileoutputcompress: "xz": use gzip, zstd or none`, "--fileoutputcompress=xz")
	f("fileoutputworkers: must be at least 1, not 0", "--fileoutputworkers=0")
	f(`fileoutputformat: unknown format "xml"`, "--fileoutputformat=xml")
	f("fileoutputgotemplate: ", "--fileoutputformat=gotemplate", "--fileoutputgotemplate={{.NoSuch}}")
	for _, name := range format.Names() {
		f("", "--fileoutputformat="+name)
	}
}

func TestConformance(t *testing.T) {
	outputtest.Run(t, func(t outputtest.T) *outputtest.Target {
		dir, err := os.MkdirTemp("", "file")
		if err != nil {
			t.Fatalf("%v", err)
		}
		t.Cleanup(func() { os.RemoveAll(dir) })
		// Rotated many times a second, so that every promise is tested during rotations.
		o, d := parsed(t, "--fileoutputtype=1", "--fileoutputpath="+dir, "--fileoutputrotatecount=1000"), new(outputtest.Disk)
		if err := o.Check(context.Background()); err != nil {
			t.Fatalf("%v", err)
		}
		folder := o.files.Folder()
		folder.WriteFile = d.Write
		ctx, cancel := context.WithCancel(context.Background())
		t.Cleanup(cancel)
		go func() {
			for now := time.Now(); ctx.Err() == nil; now = now.Add(24 * time.Hour) {
				folder.Tick(now)
				time.Sleep(5 * time.Millisecond)
			}
		}()
		return &outputtest.Target{
			Output:   o,
			Want:     func(e *event.Event) []string { return []string{record(e)} },
			Received: func() []string { return stored(t, dir) },
			Fail:     d.Fail,
			Hang:     d.Hang,
		}
	})
}

func record(e *event.Event) string {
	return strings.TrimSuffix(string(new(format.JSON).Append(nil, e)), "\n")
}

// What is in a folder, by name.
const (
	logName     = "dnsmonster.log"
	lockName    = ".dnsmonster.lock"
	stampLayout = "2006-01-02T15-04-05Z"
)

// oldFile is a rotated file.
type oldFile struct {
	name, suffix string
	time         time.Time
}

var oldName = regexp.MustCompile(`^dnsmonster\.log(\.gz|\.zst)?\.([0-9].*Z)$`)

// oldFilesIn lists the old files of a folder that are ours, the oldest first.
func oldFilesIn(dir string) (list []oldFile, err error) {
	entries, err := os.ReadDir(dir)
	for _, e := range entries {
		m := oldName.FindStringSubmatch(e.Name())
		st, gone := e.Info()
		if m == nil || gone != nil || int(st.Sys().(*syscall.Stat_t).Uid) != os.Geteuid() {
			continue
		}
		at, err := time.Parse(stampLayout, m[2])
		if err != nil {
			return nil, err
		}
		list = append(list, oldFile{e.Name(), m[1], at})
	}
	slices.SortStableFunc(list, func(a, b oldFile) int { return a.time.Compare(b.time) })
	return list, err
}

// stored returns the lines of all files in a folder, the oldest first. A file that is
// there both uncompressed and compressed at that moment counts once.
func stored(t outputtest.T, dir string) (lines []string) {
	t.Helper()
	var all []byte
	var err error
	if !await.Within(await.Limit, func() bool {
		all, err = snapshot(dir)
		return err == nil
	}) {
		t.Fatalf("%v", err)
	}
	lines = strings.Split(string(all), "\n")
	if last := lines[len(lines)-1]; last != "" {
		t.Errorf("a file ends with an incomplete line: %q", last)
	}
	return lines[:len(lines)-1]
}

// snapshot returns the content of all files in a folder. A rotation meanwhile is an error.
func snapshot(dir string) (all []byte, err error) {
	list, err := oldFilesIn(dir)
	if err != nil {
		return nil, err
	}
	seen := make(map[time.Time]bool)
	for _, o := range append(list, oldFile{name: logName, time: time.Now().AddDate(100, 0, 0)}) {
		if seen[o.time] {
			continue
		}
		data, err := content(filepath.Join(dir, o.name))
		if err != nil {
			return nil, err
		}
		seen[o.time] = true
		all = append(all, data...)
	}
	if after, err := oldFilesIn(dir); err != nil || !slices.Equal(after, list) {
		return nil, fmt.Errorf("%s has changed meanwhile: %v", dir, err)
	}
	return all, nil
}

// content returns the content of a file, uncompressed.
func content(path string) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	switch {
	case strings.Contains(filepath.Base(path), ".gz."):
		z, err := gzip.NewReader(file)
		if err != nil {
			return nil, err
		}
		return io.ReadAll(z)
	case strings.Contains(filepath.Base(path), ".zst."):
		z, err := zstd.NewReader(file)
		if err != nil {
			return nil, err
		}
		defer z.Close()
		return io.ReadAll(z)
	}
	return io.ReadAll(file)
}

// opened returns an output and a writer to a folder, which is closed when the test ends.
func opened(t *testing.T, dir string, args ...string) (*Output, outputs.Writer) {
	t.Helper()
	o := parsed(t, append([]string{"--fileoutputtype=1", "--fileoutputpath=" + dir}, args...)...)
	if err := o.Check(context.Background()); err != nil {
		t.Fatal(err)
	}
	w, err := o.Open(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.Close() })
	return o, w
}

func put(t *testing.T, w outputs.Writer, b *event.Block) {
	t.Helper()
	if _, err := w.Write(context.Background(), b); err != nil {
		t.Fatal(err)
	}
}

// wantRecords checks that a folder has the records 0 to n-1, once each.
func wantRecords(t *testing.T, dir string, n int) {
	t.Helper()
	seen := make(map[string]int)
	for _, line := range stored(t, dir) {
		seen[line]++
	}
	for i := range n {
		if got := seen[record(outputtest.Query(i))]; got != 1 {
			t.Errorf("record %d exists %d times", i, got)
		}
	}
	if len(seen) != n {
		t.Errorf("%d different records, want %d", len(seen), n)
	}
}

// names lists the files of a folder, except the lock.
func names(t *testing.T, dir string) (list []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if e.Name() != lockName {
			list = append(list, e.Name())
		}
	}
	return list
}

// An existing file is continued; an incomplete record that a crash left is cut off.
func TestTornTail(t *testing.T) {
	whole := text(new(format.JSON), outputtest.Queries(0, 5))
	half := record(outputtest.Query(5))[:20]
	f := func(what, content string, cut uint64) {
		t.Helper()
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, logName), []byte(content), 0o640); err != nil {
			t.Fatal(err)
		}
		o, w := opened(t, dir)
		put(t, w, outputtest.Queries(5, 3))
		if got := meter(o, "torn_bytes"); got != cut {
			t.Errorf("%s: %d bytes cut, want %d", what, got, cut)
		}
		wantRecords(t, dir, 8)
	}
	f("whole", whole, 0)
	f("half a record", whole+half, 20)
	f("zeros", whole+strings.Repeat("\x00", 200_000), 200_000)
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, logName), []byte(half), 0o640); err != nil {
		t.Fatal(err)
	}
	_, w := opened(t, dir)
	put(t, w, outputtest.Queries(0, 3))
	wantRecords(t, dir, 3)
}

// A block that does not fit leaves nothing behind.
func TestDefect36FullDiskTearsNothing(t *testing.T) {
	dir := t.TempDir()
	o, w := opened(t, dir)
	d := new(outputtest.Disk)
	o.files.Folder().WriteFile = d.Write
	put(t, w, outputtest.Queries(0, 50))
	for range 3 {
		d.Fail(1)
		if _, err := w.Write(context.Background(), outputtest.Queries(50, 50)); err == nil || !strings.Contains(err.Error(), "no space left") {
			t.Fatalf("error %v, want that of a full disk", err)
		}
		wantRecords(t, dir, 50)
	}
	put(t, w, outputtest.Queries(50, 50))
	wantRecords(t, dir, 100)
}

// With --fileoutputsync, records that do not reach the medium are not delivered and
// are removed from the file; without it, nothing is synced.
func TestSync(t *testing.T) {
	f := func(forced int, args ...string) {
		t.Helper()
		dir := t.TempDir()
		o, w := opened(t, dir, args...)
		calls := 0
		o.files.Folder().SyncFile = func(file *os.File) error {
			if calls++; calls == 2 {
				return syscall.EIO
			}
			return file.Sync()
		}
		put(t, w, outputtest.Queries(0, 5))
		if forced > 0 {
			if _, err := w.Write(context.Background(), outputtest.Queries(5, 5)); err == nil {
				t.Error("no error though the medium failed")
			}
			wantRecords(t, dir, 5)
		}
		put(t, w, outputtest.Queries(5, 5))
		wantRecords(t, dir, 10)
		if calls != forced {
			t.Errorf("%q: synced %d times, want %d", args, calls, forced)
		}
	}
	f(0)
	f(3, "--fileoutputsync")
}

// The file is moved, removed or truncated: later records go to a new file, and a moved
// file keeps its records.
func TestFileMovedAway(t *testing.T) {
	dir := t.TempDir()
	_, w := opened(t, dir, "--fileoutputformat=csv")
	at := func(name string) string { return filepath.Join(dir, name) }
	put(t, w, outputtest.Queries(0, 2))
	if err := os.Rename(at(logName), at("dnsmonster.log.1")); err != nil {
		t.Fatal(err)
	}
	put(t, w, outputtest.Queries(2, 3))
	if err := os.Remove(at(logName)); err != nil {
		t.Fatal(err)
	}
	put(t, w, outputtest.Queries(5, 4))
	lineCount := func(name string) int {
		b, err := os.ReadFile(at(name))
		if err != nil {
			t.Fatal(err)
		}
		if !strings.HasPrefix(string(b), "Year,Month,") || strings.Count(string(b), "Year") != 1 {
			t.Errorf("%s does not have exactly one header, at its start: %q", name, b)
		}
		return strings.Count(string(b), "\n")
	}
	if a, b := lineCount("dnsmonster.log.1"), lineCount(logName); a != 3 || b != 5 {
		t.Errorf("%d and %d lines, want 3 and 5", a, b)
	}
	if err := os.Truncate(at(logName), 0); err != nil { // copytruncate
		t.Fatal(err)
	}
	put(t, w, outputtest.Queries(9, 5))
	if n := lineCount(logName); n != 6 {
		t.Errorf("%d lines, want 6", n)
	}
}

func TestFormatsAndHeaders(t *testing.T) {
	for _, name := range format.Names() {
		f, err := format.Choice{Name: name, Template: "{{.SrcIP}}"}.Format("file", format.Options{})
		if err != nil {
			t.Fatal(err)
		}
		want := f.Header + text(f.NewEncoder(), outputtest.Queries(0, 3))
		dir := t.TempDir()
		o, w := opened(t, dir, "--fileoutputformat="+name, "--fileoutputgotemplate={{.SrcIP}}")
		put(t, w, outputtest.Queries(0, 3))
		o.files.Folder().Tick(time.Now().AddDate(0, 0, 2))
		put(t, w, outputtest.Queries(0, 3))
		w.Close()
		list := names(t, dir)
		if len(list) != 2 {
			t.Fatalf("%s: files %q, want two", name, list)
		}
		for _, file := range list {
			if got, err := content(filepath.Join(dir, file)); err != nil || string(got) != want {
				t.Errorf("%s: %s holds %q (%v), want %q", name, file, got, err, want)
			}
		}
	}
}

// text formats a block.
func text(enc format.Encoder, b *event.Block) string {
	t, _ := format.AppendBlock(nil, enc, b)
	return string(t)
}

// meter is one of an output's numbers.
func meter(o *Output, name string) uint64 {
	for _, m := range o.Meters() {
		if m.Name == name {
			return m.Value
		}
	}
	panic("no meter " + name)
}
