//go:build linux

package file

import (
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/gzip"

	"dnsmonster-sensor/outputs/format"
	"dnsmonster-sensor/test/outputtest"
)

func TestCountAndCompression(t *testing.T) {
	for kind, suffix := range map[string]string{"gzip": ".gz", "zstd": ".zst", "none": ""} {
		dir := t.TempDir()
		o, w := opened(t, dir, "--fileoutputrotatecount=3", "--fileoutputcompress="+kind)
		for i := range 7 {
			put(t, w, outputtest.Queries(i, 1))
			o.files.Folder().Tick(time.Now().AddDate(0, 0, 1+i))
		}
		w.Close()
		list, err := oldFilesIn(dir)
		if err != nil || len(list) != 3 {
			t.Fatalf("%s: old files %+v (%v), want 3", kind, list, err)
		}
		for i, old := range list {
			b, err := content(filepath.Join(dir, old.name))
			if want := record(outputtest.Query(4+i)) + "\n"; err != nil || string(b) != want || old.suffix != suffix {
				t.Errorf("%s: %s holds %q (%v), want %q", kind, old.name, b, err, want)
			}
		}
		if got := meter(o, "rotations"); got != 7 {
			t.Errorf("%s: %d rotations, want 7", kind, got)
		}
	}
}

// A file without records is not rotated, and with a count of 0 nothing is.
func TestNoRotation(t *testing.T) {
	f := func(args []string, records int, want ...string) {
		t.Helper()
		dir := t.TempDir()
		o, w := opened(t, dir, args...)
		if records > 0 {
			put(t, w, outputtest.Queries(0, records))
		}
		if o.rotation.Count > 0 { // otherwise tick is not called
			o.files.Folder().Tick(time.Now().AddDate(0, 0, 1))
			o.files.Folder().Tick(time.Now().AddDate(0, 0, 2))
		}
		w.Close()
		if got := names(t, dir); !slices.Equal(got, want) {
			t.Errorf("%q: files %q, want %q", args, got, want)
		}
	}
	f([]string{"--fileoutputformat=csv"}, 0, logName)
	f([]string{"--fileoutputrotatecount=0", "--fileoutputrotatecron=@every 1s"}, 5, logName)
}

// An earlier run left a file from before the last rotation, one in another format, and
// incomplete compressed files.
func TestStartFinishesRotation(t *testing.T) {
	lines := func(from, n int) string {
		return text(new(format.JSON), outputtest.Queries(from, n))
	}
	dir := t.TempDir()
	in := func(name string) string { return filepath.Join(dir, name) }
	lay := func(name, text string, age time.Duration) {
		t.Helper()
		if err := os.WriteFile(in(name), []byte(text), 0o640); err != nil {
			t.Fatal(err)
		}
		then := time.Now().Add(-age)
		if err := os.Chtimes(in(name), then, then); err != nil {
			t.Fatal(err)
		}
	}
	compressed := func(from, n int) string {
		var b strings.Builder
		z := gzip.NewWriter(&b)
		_, err := z.Write([]byte(lines(from, n)))
		if err = errors.Join(err, z.Close()); err != nil {
			t.Fatal(err)
		}
		return b.String()
	}
	// killed between the new name and the removal
	lay("dnsmonster.log.2026-01-01T00-00-00Z", lines(0, 2), 0)
	lay("dnsmonster.log.gz.2026-01-01T00-00-00Z", compressed(0, 2), 0)
	// killed during the compression
	lay("dnsmonster.log.2026-01-02T00-00-00Z", lines(2, 2), 3*time.Hour)
	lay(".dnsmonster.log.gz.2026-01-02T00-00-00Z.part", compressed(2, 2)[:20], 0)
	// killed, and started again two days later
	lay(logName, lines(4, 2), 49*time.Hour)
	o, w := opened(t, dir)
	put(t, w, outputtest.Queries(6, 2))
	w.Close()
	list := names(t, dir)
	if len(list) != 4 || slices.ContainsFunc(list[1:], func(n string) bool { return !strings.HasPrefix(n, "dnsmonster.log.gz.") }) {
		t.Errorf("files %q, want the current one and three compressed ones", list)
	}
	wantRecords(t, dir, 8)
	if got := meter(o, "rotations"); got != 1 {
		t.Errorf("%d rotations, want 1", got)
	}
	if st, err := os.Stat(in("dnsmonster.log.gz.2026-01-01T00-00-00Z")); err != nil || st.Size() == 0 {
		t.Errorf("the compressed file is gone: %v", err)
	}
	if st, err := os.Stat(in("dnsmonster.log.gz.2026-01-02T00-00-00Z")); err != nil || time.Since(st.ModTime()).Round(time.Hour) != 3*time.Hour {
		t.Errorf("the compressed file does not have the time of its records: %v, %v", st, err)
	}

	// A file of today is continued, but not one without the header of its format.
	o, w = opened(t, dir)
	w.Close()
	if got := meter(o, "rotations"); got != 0 {
		t.Errorf("a file of today was rotated")
	}
	o, w = opened(t, dir, "--fileoutputformat=csv")
	put(t, w, outputtest.Queries(8, 1))
	if got := meter(o, "rotations"); got != 1 {
		t.Errorf("%d rotations for another format, want 1", got)
	}
}

// Without rotation, a file of another format is continued, and the log says so.
func TestOtherFormatWithoutRotation(t *testing.T) {
	dir := t.TempDir()
	_, w := opened(t, dir, "--fileoutputrotatecount=0")
	put(t, w, outputtest.Queries(0, 3))
	w.Close()
	o := parsed(t, "--fileoutputtype=1", "--fileoutputpath="+dir, "--fileoutputrotatecount=0", "--fileoutputformat=csv")
	var log strings.Builder
	o.Common.Log = slog.New(slog.NewTextHandler(&log, nil))
	if err := o.Check(t.Context()); err != nil {
		t.Fatal(err)
	}
	w, err := o.Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	put(t, w, outputtest.Queries(3, 2))
	w.Close()
	b, err := content(filepath.Join(dir, logName))
	if err != nil || strings.Count(string(b), "\n") != 5 || strings.Count(string(b), "{\"Timestamp\"") != 3 {
		t.Errorf("the file holds %q (%v), want three JSON records and two rows", b, err)
	}
	if want := "is continued: rotation is off"; strings.Count(log.String(), want) != 1 {
		t.Errorf("the log has %q, want %q once", log.String(), want)
	}
}
