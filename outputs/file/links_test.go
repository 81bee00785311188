//go:build linux

package file

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"dnsmonster-sensor/outputs"
	"dnsmonster-sensor/outputs/folder"
	"dnsmonster-sensor/outputs/safefs"
	"dnsmonster-sensor/test/outputtest"
)

const theirs = "root:x:0:0:root:/root:/bin/sh" // without a line end, like an incomplete line

// wantUntouched checks that a file was not written to, truncated or given another
// mode.
func wantUntouched(t *testing.T, path string) {
	t.Helper()
	text, err := os.ReadFile(path)
	st, err2 := os.Stat(path)
	if err = errors.Join(err, err2); err != nil || string(text) != theirs || st.Mode() != 0o600 {
		t.Errorf("%s holds %q, %v", path, text, err)
	}
}

func victim(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "victim")
	if err := os.WriteFile(path, []byte(theirs), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// A link, pipe or device in the place of the record file or of the lock is refused at
// the start, and what it leads to stays untouched.
func TestLinksRefused(t *testing.T) {
	f := func(what, want string, plant func(victim, at string) error) {
		t.Helper()
		for _, name := range []string{logName, lockName} {
			dir, victim := t.TempDir(), victim(t)
			must(t, os.Chmod(dir, 0o775)) // the group can create files in it
			must(t, plant(victim, filepath.Join(dir, name)))
			o := parsed(t, "--fileoutputtype=1", "--fileoutputpath="+dir)
			err := o.Check(context.Background())
			if !errors.Is(err, outputs.ErrPermanent) || !strings.Contains(err.Error(), name+" "+want) {
				t.Errorf("%s for %s: error %v, want %q", what, name, err, want)
			}
			wantUntouched(t, victim)
			if entries, err := os.ReadDir(filepath.Dir(victim)); err != nil || len(entries) != 1 {
				t.Errorf("%s for %s: there are now %v, %v", what, name, entries, err)
			}
		}
	}
	f("a link", "is a symbolic link", os.Symlink)
	f("a link to nothing", "is a symbolic link", func(victim, at string) error { return os.Symlink(victim+".new", at) })
	f("a second name", "has a second name", os.Link)
	f("a pipe", "is not a regular file", func(_, at string) error { return unix.Mkfifo(at, 0o600) })
	f("a device", "is not a regular file", func(_, at string) error {
		err := unix.Mknod(at, unix.S_IFCHR|0o600, int(unix.Mkdev(1, 3)))
		if errors.Is(err, unix.EPERM) {
			return unix.Mkfifo(at, 0o600) // an ordinary user makes no devices
		}
		return err
	})
}

// A folder that every user can write to needs a sticky bit, or --force.
func TestWorldWritableFolder(t *testing.T) {
	f := func(mode os.FileMode, force bool, want string) {
		t.Helper()
		dir := t.TempDir()
		must(t, os.Chmod(dir, mode))
		o := parsed(t, "--fileoutputtype=1", "--fileoutputpath="+dir)
		o.Common.Force = force
		w, err := o.Open(context.Background())
		if (want == "") != (err == nil) || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("mode %s, force %v: error %v, want %q", mode, force, err, want)
		}
		if err == nil {
			put(t, w, outputtest.Queries(0, 2))
			w.Close()
			must(t, os.Chmod(dir, 0o755))
			wantRecords(t, dir, 2)
		}
	}
	f(0o777, false, "has no sticky bit: remove that right with chmod o-w, or use --force")
	f(0o777, true, "")
	f(0o777|os.ModeSticky, false, "")
	f(0o775, false, "")
}

// In a folder like /tmp other users plant links at free names while the sensor runs:
// their targets stay untouched, and records wait until the link is gone.
func TestLinksPlantedWhileRunning(t *testing.T) {
	dir, victim := t.TempDir(), victim(t)
	must(t, os.Chmod(dir, 0o777|os.ModeSticky))
	o, w := opened(t, dir)
	put(t, w, outputtest.Queries(0, 2))
	path := filepath.Join(dir, logName)
	must(t, os.Rename(path, path+".moved"))
	must(t, os.Symlink(victim, path))
	if _, err := w.Write(context.Background(), outputtest.Queries(2, 2)); !errors.Is(err, safefs.ErrUnsafe) {
		t.Errorf("error %v", err)
	}
	wantUntouched(t, victim)
	must(t, os.Remove(path))
	must(t, os.Rename(path+".moved", path))
	put(t, w, outputtest.Queries(2, 2))

	// The names of a rotation.
	now := time.Now().AddDate(0, 0, 1)
	stamp := now.UTC().Truncate(time.Second).Format(stampLayout)
	must(t, os.Symlink(victim, filepath.Join(dir, "."+logName+".gz."+stamp+".part")))
	must(t, os.Symlink(victim, filepath.Join(dir, logName+".gz."+stamp)))
	must(t, os.Symlink(victim, filepath.Join(dir, logName+"."+stamp)))
	o.files.Folder().Tick(now)
	w.Close()
	wantUntouched(t, victim)
	wantRecords(t, dir, 4)
}

// Files that another user puts among the old files are ignored: they neither replace
// one of ours nor count as one.
func TestPlantedOldFiles(t *testing.T) {
	dir := t.TempDir()
	if os.Geteuid() != 0 {
		t.Skip("needs root: only root can make files of other users")
	}
	must(t, os.Chmod(dir, 0o777|os.ModeSticky))
	o, w := opened(t, dir, "--fileoutputrotatecount=2")
	now := time.Now().AddDate(0, 0, 1)
	for i := range 4 { // one with the name of our compressed file, and others that look newer
		path := filepath.Join(dir, logName+".gz."+now.UTC().AddDate(0, 0, i).Truncate(time.Second).Format(stampLayout))
		must(t, os.WriteFile(path, nil, 0o600))
		must(t, os.Lchown(path, 65534, 65534))
		defer func() {
			if _, err := os.Stat(path); i > 0 && err != nil { // the first has the name of ours
				t.Error(err)
			}
			os.Remove(path)
		}()
	}
	put(t, w, outputtest.Queries(0, 2))
	o.files.Folder().Tick(now)
	w.Close()
	list, err := oldFilesIn(dir)
	if err != nil || len(list) != 1 || list[0].suffix != ".gz" {
		t.Fatalf("old files %v, %v", list, err)
	}
	text, err := content(filepath.Join(dir, list[0].name))
	if err != nil || len(text) == 0 {
		t.Errorf("it holds %q, %v", text, err)
	}
}

// The folder or its lock is replaced while the sensor runs: it opens and locks those
// at the path and keeps other sensors out.
func TestFolderReplaced(t *testing.T) {
	parent := t.TempDir()
	dir := filepath.Join(parent, "log")
	must(t, os.Mkdir(dir, 0o755))
	_, w := opened(t, dir)
	put(t, w, outputtest.Queries(0, 2))
	must(t, os.Rename(dir, dir+".old"))
	if _, err := w.Write(context.Background(), outputtest.Queries(0, 2)); err == nil || !strings.Contains(err.Error(), "make the folder") {
		t.Errorf("without the folder: error %v", err)
	}
	must(t, os.Mkdir(dir, 0o755))
	put(t, w, outputtest.Queries(0, 2))
	wantRecords(t, dir, 2)
	wantRecords(t, dir+".old", 2)
	taken := func(when string) {
		t.Helper()
		if err := parsed(t, "--fileoutputpath="+dir).Check(context.Background()); !errors.Is(err, folder.ErrInUse) {
			t.Errorf("%s: another sensor gets %v", when, err)
		}
	}
	taken("new folder")
	must(t, os.Remove(filepath.Join(dir, lockName)))
	put(t, w, outputtest.Queries(2, 2))
	taken("new lock")
	wantRecords(t, dir, 4)
}
