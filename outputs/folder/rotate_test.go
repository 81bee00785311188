package folder

import (
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/gzip"

	"dnsmonster-sensor/test/await"
)

const logName = "dnsmonster.log"

// opened opens a folder of lines, which is closed when the test ends.
func opened(t *testing.T, dir, cron string, count int) (*Files, *Folder) {
	t.Helper()
	files := new(Files)
	o := Options{
		Framing: Lines(""), Rotation: Rotation{Cron: cron, Count: count, Compress: "gzip"}, Path: dir, Log: slog.New(slog.DiscardHandler),
	}
	w, err := files.Open(o, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.Close() })
	return files, files.Folder()
}

func put(t *testing.T, f *Folder, text string) {
	t.Helper()
	if err := f.Append([]byte(text)); err != nil {
		t.Fatal(err)
	}
}

// content returns the content of a file, uncompressed.
func content(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(filepath.Base(path), ".gz.") {
		z, err := gzip.NewReader(bytes.NewReader(b))
		if err != nil {
			t.Fatal(err)
		}
		if b, err = io.ReadAll(z); err != nil {
			t.Fatal(err)
		}
	}
	return string(b)
}

// names lists the files of a folder, except the lock.
func names(t *testing.T, dir string) (list []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if e.Name() != ".dnsmonster.lock" {
			list = append(list, e.Name())
		}
	}
	return list
}

// Names sort by time, contain no colon, and no two are the same, whatever the clock
// does.
func TestDefect36RotationNames(t *testing.T) {
	dir := t.TempDir()
	_, f := opened(t, dir, "0 0 * * *", 100)
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.FixedZone("", 3600))
	for i, later := range []time.Duration{0, 0, 300 * time.Millisecond, -24 * time.Hour, time.Hour, 0} {
		put(t, f, fmt.Sprintln("line", i))
		f.mu.Lock()
		if err := f.rotate(now.Add(later)); err != nil {
			t.Error(err)
		}
		f.mu.Unlock()
	}
	await.True(t, "all old files are compressed", func() bool {
		list := names(t, dir)
		return len(list) == 7 && !slices.ContainsFunc(list[1:], func(n string) bool { return !strings.HasPrefix(n, logName+".gz.") })
	})
	want := []string{
		"dnsmonster.log",
		"dnsmonster.log.gz.2026-01-02T02-04-05Z", "dnsmonster.log.gz.2026-01-02T02-04-06Z", "dnsmonster.log.gz.2026-01-02T02-04-07Z",
		"dnsmonster.log.gz.2026-01-02T02-04-08Z", "dnsmonster.log.gz.2026-01-02T03-04-05Z", "dnsmonster.log.gz.2026-01-02T03-04-06Z",
	}
	list := names(t, dir)
	if !slices.Equal(list, want) {
		t.Fatalf("files %q, want %q", list, want)
	}
	for i, name := range list[1:] { // in the order in which they were written
		if got, want := content(t, filepath.Join(dir, name)), fmt.Sprintln("line", i); got != want {
			t.Errorf("%s holds %q, want %q", name, got, want)
		}
	}
}

func TestParseOld(t *testing.T) {
	f := func(name string, ok bool, suffix string) {
		t.Helper()
		o, got := parseOld(logName, name)
		if got != ok || ok && o.suffix != suffix {
			t.Errorf("%s: %v %q, want %v %q", name, got, o.suffix, ok, suffix)
		}
	}
	f("dnsmonster.log.gz.2026-01-02T03-04-05Z", true, ".gz")
	f("dnsmonster.log.zst.2026-01-02T03-04-05Z", true, ".zst")
	f("dnsmonster.log.2026-01-02T03-04-05Z", true, "")
	f("dnsmonster.log", false, "")
	f("dnsmonster.log.1", false, "")
	f("dnsmonster.log.1.gz", false, "")
	f("dnsmonster.log.gz.2026-01-02T03:04:05Z", false, "") // of dnsmonster: must not be removed
	f("dnsmonster.log.gz2026-01-02T03-04-05Z", false, "")
	f("dnsmonster.log-2026-01-02T03-04-05Z", false, "")
	f("other", false, "")
}

// If undoing a failed block fails too, the next attempt does it first, unless the
// file was truncated meanwhile.
func TestTornBlockUndoneLater(t *testing.T) {
	for _, emptied := range []bool{false, true} {
		dir := t.TempDir()
		_, f := opened(t, dir, "0 0 * * *", 4)
		put(t, f, "one\n")
		f.mu.Lock()
		st, err := f.file.Stat()
		if err == nil {
			f.torn, f.wholeSize = true, st.Size()
			_, err = f.file.WriteString("part of a block")
		}
		if err == nil && emptied {
			err = f.file.Truncate(0)
		}
		f.mu.Unlock()
		if err != nil {
			t.Fatal(err)
		}
		want := "one\ntwo\n"
		if emptied {
			want = "two\n"
		}
		put(t, f, "two\n")
		if got := content(t, f.Current()); got != want {
			t.Errorf("emptied %v: %q, want %q", emptied, got, want)
		}
	}
}

// A compression that fails leaves the file as it was, is counted, and is repeated
// later.
func TestCompressionFails(t *testing.T) {
	dir := t.TempDir()
	files, f := opened(t, dir, "0 0 * * *", 4)
	put(t, f, "one\n")
	// A folder has the name that the compressed file gets.
	const stamp = "2096-01-01T00-00-00Z"
	blocker, old := filepath.Join(dir, logName+".gz."+stamp), filepath.Join(dir, logName+"."+stamp)
	if err := os.Mkdir(blocker, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(f.Current(), old); err != nil {
		t.Fatal(err)
	}
	f.wakeTidyUp()
	await.True(t, "the failure is counted", func() bool { return files.meters.compressionFailures.Load() > 0 })
	if got := content(t, old); got != "one\n" {
		t.Errorf("the old file holds %q, want it as it was", got)
	}
	if err := os.Remove(blocker); err != nil {
		t.Fatal(err)
	}
	f.wakeTidyUp()
	await.True(t, "the file is compressed", func() bool {
		_, err := os.Stat(old)
		return os.IsNotExist(err)
	})
	if got := content(t, blocker); got != "one\n" {
		t.Errorf("the compressed file holds %q", got)
	}
}

// A clock that is set back does not delay the next rotation.
func TestClockSetBack(t *testing.T) {
	_, f := opened(t, t.TempDir(), "0 * * * *", 4)
	put(t, f, "one\n")
	f.mu.Lock()
	f.next = time.Now().AddDate(1, 0, 0) // computed before the clock was set back
	f.mu.Unlock()
	f.Tick(time.Now())
	f.mu.Lock()
	defer f.mu.Unlock()
	if wait := time.Until(f.next); wait > time.Hour {
		t.Errorf("the next rotation is in %s, want an hour at most", wait)
	}
}
