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

	"dnsmonster-sensor/outputs/format"
	"dnsmonster-sensor/test/await"
	"dnsmonster-sensor/test/outputtest"
)

func location(t testing.TB, name string) *time.Location {
	t.Helper()
	l, err := time.LoadLocation(name)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// Rotation in local time: a time in the skipped hour comes once, and so does a time in
// the repeated hour.
func TestSchedule(t *testing.T) {
	f := func(cron, place, from string, want ...string) {
		t.Helper()
		s, err := parseSchedule(cron)
		if err != nil {
			t.Fatal(err)
		}
		l := location(t, place)
		// The schedule uses the zone of the process; times carry their own.
		at, err := time.ParseInLocation(time.RFC3339, from, l)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for range want {
			at = s.after(at.In(l))
			got = append(got, at.In(l).Format("01-02 15:04 -07"))
		}
		if !slices.Equal(got, want) {
			t.Errorf("%q in %s from %s:\n%q, want\n%q", cron, place, from, got, want)
		}
	}
	const berlin, york = "Europe/Berlin", "America/New_York"
	f("0 0 * * *", berlin, "2026-03-28T12:00:00+01:00", "03-29 00:00 +01", "03-30 00:00 +02", "03-31 00:00 +02")
	f("30 2 * * *", berlin, "2026-03-28T12:00:00+01:00", "03-29 03:30 +02", "03-30 02:30 +02")
	f("30 2 * * *", berlin, "2026-10-24T12:00:00+02:00", "10-25 02:30 +01", "10-26 02:30 +01")
	f("30 2 * * *", york, "2026-03-07T12:00:00-05:00", "03-08 03:30 -04", "03-09 02:30 -04")
	f("30 1 * * *", york, "2026-10-31T12:00:00-04:00", "11-01 01:30 -04", "11-02 01:30 -05")
	f("30 1 * * *", york, "2026-11-01T01:10:00-05:00", "11-02 01:30 -05") // the second time that it is 1:10
	f("0 * * * *", berlin, "2026-10-25T01:30:00+02:00", "10-25 02:00 +02", "10-25 02:00 +01", "10-25 03:00 +01")
	f("0 * * * *", berlin, "2026-03-29T00:30:00+01:00", "03-29 01:00 +01", "03-29 03:00 +02", "03-29 04:00 +02")
	f("0 0 * * *", "Africa/Cairo", "2026-04-23T12:00:00+02:00", "04-24 01:00 +03", "04-25 00:00 +03") // no midnight that day
	f("@every 90m", berlin, "2026-03-29T01:00:00+01:00", "03-29 03:30 +02", "03-29 05:00 +02")
	f("CRON_TZ=Asia/Tokyo 0 0 * * *", berlin, "2026-03-28T12:00:00+01:00", "03-28 16:00 +01", "03-29 17:00 +02")
	f("15 3 1 * *", berlin, "2026-01-31T00:00:00+01:00", "02-01 03:15 +01", "03-01 03:15 +01", "04-01 03:15 +02")
}

// FuzzSchedule: any text is an error, or a schedule whose times increase.
func FuzzSchedule(f *testing.F) {
	for _, seed := range []string{"0 0 * * *", "*/5 1-3,7 1 jan mon#", "@every 10m", "@daily", "TZ=UTC", "CRON_TZ=Asia/Tokyo 0 0 * * *", "0 0 30 2 *", "@every -1s"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		s, err := parseSchedule(text)
		if err != nil {
			return
		}
		at := time.Date(2026, 3, 28, 12, 0, 0, 0, location(t, "Europe/Berlin"))
		for range 3 {
			next := s.after(at)
			if !next.After(at) {
				t.Fatalf("%q: %s after %s", text, next, at)
			}
			at = next
		}
	})
}

// Names sort by time, contain no colon, and no two are the same, whatever the clock
// does.
func TestDefect36RotationNames(t *testing.T) {
	dir := t.TempDir()
	o, w := opened(t, dir, "--fileoutputrotatecount=100")
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.FixedZone("", 3600))
	for i, later := range []time.Duration{0, 0, 300 * time.Millisecond, -24 * time.Hour, time.Hour, 0} {
		put(t, w, outputtest.Queries(3*i, 3))
		o.folder.mu.Lock()
		if err := o.folder.rotate(now.Add(later)); err != nil {
			t.Error(err)
		}
		o.folder.mu.Unlock()
	}
	w.Close()
	want := []string{
		"dnsmonster.log",
		"dnsmonster.log.gz.2026-01-02T02-04-05Z", "dnsmonster.log.gz.2026-01-02T02-04-06Z", "dnsmonster.log.gz.2026-01-02T02-04-07Z",
		"dnsmonster.log.gz.2026-01-02T02-04-08Z", "dnsmonster.log.gz.2026-01-02T03-04-05Z", "dnsmonster.log.gz.2026-01-02T03-04-06Z",
	}
	if got := names(t, dir); !slices.Equal(got, want) {
		t.Errorf("files %q, want %q", got, want)
	}
	wantRecords(t, dir, 18)
	list, _ := oldFilesIn(dir)
	for i, old := range list { // in the order in which they were written
		b, err := content(filepath.Join(dir, old.name))
		if want := text(new(format.JSON), outputtest.Queries(3*i, 3)); err != nil || string(b) != want {
			t.Errorf("%s holds %q (%v)", old.name, b, err)
		}
	}
}

func TestParseOld(t *testing.T) {
	f := func(name string, ok bool, suffix string) {
		t.Helper()
		o, got := parseOld(name)
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

func TestCountAndCompression(t *testing.T) {
	for kind, suffix := range map[string]string{"gzip": ".gz", "zstd": ".zst", "none": ""} {
		dir := t.TempDir()
		o, w := opened(t, dir, "--fileoutputrotatecount=3", "--fileoutputcompress="+kind)
		for i := range 7 {
			put(t, w, outputtest.Queries(i, 1))
			o.folder.tick(time.Now().AddDate(0, 0, 1+i))
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
		if got := o.meters.rotations.Load(); got != 7 {
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
		if o.folder.keep > 0 { // otherwise tick is not called
			o.folder.tick(time.Now().AddDate(0, 0, 1))
			o.folder.tick(time.Now().AddDate(0, 0, 2))
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
		z, err := compressions[0].newWriter(&b)
		if err == nil {
			_, err = z.Write([]byte(lines(from, n)))
		}
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
	if got := o.meters.rotations.Load(); got != 1 {
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
	if got := o.meters.rotations.Load(); got != 0 {
		t.Errorf("a file of today was rotated")
	}
	o, w = opened(t, dir, "--fileoutputformat=csv")
	put(t, w, outputtest.Queries(8, 1))
	if got := o.meters.rotations.Load(); got != 1 {
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

// A compression that fails leaves the file as it was, is counted, and is repeated
// later.
func TestCompressionFails(t *testing.T) {
	dir := t.TempDir()
	o, w := opened(t, dir)
	put(t, w, outputtest.Queries(0, 3))
	// A folder has the name that the compressed file gets.
	const stamp = "2096-01-01T00-00-00Z"
	blocker := filepath.Join(dir, "dnsmonster.log.gz."+stamp)
	if err := os.Mkdir(blocker, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(o.folder.logPath(), filepath.Join(dir, "dnsmonster.log."+stamp)); err != nil {
		t.Fatal(err)
	}
	o.folder.wakeTidyUp()
	await.True(t, "the failure is counted", func() bool { return o.meters.compressionFailures.Load() > 0 })
	if b, err := content(filepath.Join(dir, "dnsmonster.log."+stamp)); err != nil || strings.Count(string(b), "\n") != 3 {
		t.Errorf("the old file holds %q (%v), want it as it was", b, err)
	}
	if err := os.Remove(blocker); err != nil {
		t.Fatal(err)
	}
	o.folder.wakeTidyUp()
	put(t, w, outputtest.Queries(3, 3))
	w.Close()
	if got := names(t, dir); !slices.Equal(got, []string{logName, "dnsmonster.log.gz." + stamp}) {
		t.Errorf("files %q", got)
	}
	wantRecords(t, dir, 6)
}

// A clock that is set back does not delay the next rotation.
func TestClockSetBack(t *testing.T) {
	dir := t.TempDir()
	o, w := opened(t, dir, "--fileoutputrotatecron=0 * * * *")
	put(t, w, outputtest.Queries(0, 1))
	f := o.folder
	f.mu.Lock()
	f.next = time.Now().AddDate(1, 0, 0) // computed before the clock was set back
	f.mu.Unlock()
	f.tick(time.Now())
	f.mu.Lock()
	defer f.mu.Unlock()
	if wait := time.Until(f.next); wait > time.Hour {
		t.Errorf("the next rotation is in %s, want an hour at most", wait)
	}
}
