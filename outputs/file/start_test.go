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
)

// Folders that cannot work are named at the start, with the way out.
func TestCheckRefuses(t *testing.T) {
	f := func(path, problem string) {
		t.Helper()
		err := parsed(t, "--fileoutputtype=1", "--fileoutputpath="+path).Check(context.Background())
		if err == nil || !strings.Contains(err.Error(), problem) || !strings.HasPrefix(err.Error(), "fileoutputpath: ") {
			t.Errorf("%s: error %v, want %q", path, err, problem)
		}
		if !errors.Is(err, outputs.ErrPermanent) {
			t.Errorf("%s: %v may pass", path, err)
		}
	}
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	f(filepath.Join(dir, "no"), "make it first, with mkdir -p")
	f(file, "name the one that shall hold dnsmonster.log")
	f(filepath.Join(file, "below"), "not a directory")
	f("/proc", "/proc/.dnsmonster.lock")
	odd := t.TempDir()
	if err := os.Mkdir(filepath.Join(odd, logName), 0o700); err != nil {
		t.Fatal(err)
	}
	f(odd, "dnsmonster.log: not a regular file")
	taken := t.TempDir()
	opened(t, taken)
	f(taken, "another sensor writes there")
}

// The lock ends with the last writer, and not before.
func TestFolderIsGivenBack(t *testing.T) {
	dir := t.TempDir()
	o, first := opened(t, dir)
	second, err := o.Open(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	first.Close()
	put(t, second, block(0, 3))
	if err := parsed(t, "--fileoutputpath="+dir).Check(context.Background()); err == nil {
		t.Error("the folder is free while a writer is left")
	}
	second.Close()
	_, third := opened(t, dir)
	put(t, third, block(3, 3))
	holds(t, dir, 6)
}

// Records are for the owner and the group, whatever the umask is.
func TestPermissions(t *testing.T) {
	for _, mask := range []int{0, 0o077} {
		was := syscall.Umask(mask)
		dir := t.TempDir()
		o, w := opened(t, dir)
		put(t, w, block(0, 1))
		o.folder.tick(time.Now().AddDate(0, 0, 2))
		w.Close()
		syscall.Umask(was)
		for _, name := range names(t, dir) {
			st, err := os.Stat(filepath.Join(dir, name))
			if err != nil {
				t.Fatal(err)
			}
			if st.Mode() != fileMode {
				t.Errorf("umask %03o: %s has mode %s", mask, name, st.Mode())
			}
		}
	}
}
