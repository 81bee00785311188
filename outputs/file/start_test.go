//go:build linux

package file

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"dnsmonster-sensor/outputs"
	"dnsmonster-sensor/test/outputtest"
)

// Unusable folders are reported at the start, with advice.
func TestCheckRefuses(t *testing.T) {
	f := func(path, problem string) {
		t.Helper()
		err := parsed(t, "--fileoutputtype=1", "--fileoutputpath="+path).Check(context.Background())
		if err == nil || !strings.Contains(err.Error(), problem) || !strings.HasPrefix(err.Error(), "fileoutputpath: ") {
			t.Errorf("%s: error %v, want %q", path, err, problem)
		}
		if !errors.Is(err, outputs.ErrPermanent) {
			t.Errorf("%s: %v is not permanent", path, err)
		}
	}
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	f(filepath.Join(dir, "no"), "no: no such file or directory: make the folder with: mkdir -p ")
	f(file, "name the folder of dnsmonster.log")
	f(filepath.Join(file, "below"), "not a directory")
	f("/proc", "/proc/.dnsmonster.lock")
	odd := t.TempDir()
	if err := os.Mkdir(filepath.Join(odd, logName), 0o700); err != nil {
		t.Fatal(err)
	}
	f(odd, "dnsmonster.log is not a regular file")
	taken := t.TempDir()
	opened(t, taken)
	f(taken, "another sensor writes there")
}

// The lock ends with the last writer, and not before.
func TestLockReleased(t *testing.T) {
	dir := t.TempDir()
	o, first := opened(t, dir)
	second, err := o.Open(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	first.Close()
	put(t, second, outputtest.Queries(0, 3))
	if err := parsed(t, "--fileoutputpath="+dir).Check(context.Background()); err == nil {
		t.Error("the folder is unlocked though a writer is open")
	}
	second.Close()
	_, third := opened(t, dir)
	put(t, third, outputtest.Queries(3, 3))
	wantRecords(t, dir, 6)
}

// Record files are for the owner and the group, whatever the umask is.
func TestPermissions(t *testing.T) {
	for _, mask := range []int{0, 0o077} {
		dir := t.TempDir()
		was := syscall.Umask(mask)
		o, w := opened(t, dir)
		put(t, w, outputtest.Queries(0, 1))
		o.files.Folder().Tick(time.Now().AddDate(0, 0, 2))
		w.Close()
		syscall.Umask(was)
		for _, name := range names(t, dir) {
			st, err := os.Stat(filepath.Join(dir, name))
			if err != nil {
				t.Fatal(err)
			}
			if st.Mode() != 0o640 {
				t.Errorf("umask %03o: %s has mode %s", mask, name, st.Mode())
			}
		}
	}
}

// The name of a folder is not used as a glob pattern: incomplete files are removed in
// it, and in no other folder.
func TestFolderNameIsNotAPattern(t *testing.T) {
	parent := t.TempDir()
	part := "." + logName + ".gz.2026-01-02T00-00-00Z" + ".part"
	for _, folder := range []string{"log[1", "log[1]", "log1", "log*"} {
		if err := os.Mkdir(filepath.Join(parent, folder), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for _, folder := range []string{"log[1", "log[1]", "log*"} {
		dir := filepath.Join(parent, folder)
		for _, at := range []string{dir, filepath.Join(parent, "log1")} {
			if err := os.WriteFile(filepath.Join(at, part), nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		o, w := opened(t, dir)
		put(t, w, outputtest.Queries(0, 1))
		o.files.Folder().Tick(time.Now().AddDate(0, 0, 2))
		w.Close()
		if got := names(t, dir); len(got) != 2 || meter(o, "compression_failures") != 0 {
			t.Errorf("%s holds %q, %d compressions failed", folder, got, meter(o, "compression_failures"))
		}
		if got := names(t, filepath.Join(parent, "log1")); len(got) != 1 {
			t.Errorf("log1 holds %q, want its own part", got)
		}
	}
}

// A failed start leaves no descriptor open: starts are repeated.
func TestFailedStartLeavesNothingOpen(t *testing.T) {
	dir := t.TempDir()
	_, w := opened(t, dir)
	put(t, w, outputtest.Queries(0, 1))
	w.Close()
	for i := range 60 { // every name for the file without a header is taken
		stamp := time.Now().UTC().Add(time.Duration(i) * time.Second).Format(stampLayout)
		if err := os.Mkdir(filepath.Join(dir, logName+"."+stamp), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := parsed(t, "--fileoutputpath="+dir, "--fileoutputformat=csv").Check(context.Background()); err == nil {
		t.Fatal("the file was rotated")
	}
	open, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Skip(err)
	}
	for _, fd := range open {
		if to, _ := os.Readlink("/proc/self/fd/" + fd.Name()); strings.HasPrefix(to, dir) {
			t.Errorf("%s is open", to)
		}
	}
}

// TestHangingDisk: attempts end with their contexts, and Close soon after them,
// without releasing the folder. Once the disk responds, the block is there whole and
// once.
func TestHangingDisk(t *testing.T) {
	dir, d := t.TempDir(), new(outputtest.Disk)
	o, w := opened(t, dir)
	o.files.Folder().WriteFile = d.Write
	release := d.Hang()
	b := outputtest.Queries(0, 3)
	attempt := func() error {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Millisecond)
		defer cancel()
		_, err := w.Write(ctx, b)
		return err
	}
	for range 3 {
		if err := attempt(); !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), dir) {
			t.Errorf("Write: %v", err)
		}
	}
	release()
	put(t, w, b)
	wantRecords(t, dir, 3)
	defer d.Hang()()
	b = outputtest.Queries(3, 2)
	if err := attempt(); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Write: %v", err)
	}
	began := time.Now()
	if err := w.Close(); err == nil || !strings.Contains(err.Error(), "the disk does not respond") || time.Since(began) > 20*time.Second {
		t.Errorf("Close: %v after %s", err, time.Since(began))
	}
	if err := w.Close(); err != nil {
		t.Errorf("a second Close: %v", err)
	}
}
