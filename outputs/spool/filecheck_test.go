package spool

import (
	"bytes"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"dnsmonster-sensor/outputs/safefs"
	"dnsmonster-sensor/userspace/event"
)

// twoSegments is a spool with a complete segment of ten events and one of three that is
// being written, and its log.
func twoSegments(t *testing.T, dir string) (s *Spool, log *bytes.Buffer) {
	t.Helper()
	log = new(bytes.Buffer)
	s = openSpool(t, Options{Dir: dir, Limit: 1 << 20, Log: slog.New(slog.NewTextHandler(log, nil))})
	appendBlock(t, s, testBlock(10, 7000), false)
	appendBlock(t, s, testBlock(3, 10), false)
	if err := s.Sync(); err != nil || log.Len() > 0 {
		t.Fatalf("%v: %s", err, log)
	}
	return s, log
}

// Whatever somebody does to the files while the spool is written: what is stored afterwards
// comes back, now and after a restart; what is lost is counted and logged at once.
func TestFilesRemovedWhileWriting(t *testing.T) {
	f := func(what, line string, lost int, do func(dir string) error) {
		t.Helper()
		for _, restart := range []bool{false, true} {
			dir := filepath.Join(t.TempDir(), "spools", "psql")
			s, log := twoSegments(t, dir)
			if err := do(dir); err != nil {
				t.Fatal(err)
			}
			after := testBlock(7, 10)
			appendBlock(t, s, after, false)
			if err := s.Sync(); err != nil { // it runs once a second
				t.Error(err)
			}
			if st := s.Stats(); st.Damaged != uint64(lost) || st.Pending != uint64(13-lost+7) || !strings.Contains(log.String(), line) || !strings.Contains(log.String(), "level=ERROR") {
				t.Errorf("%s: %+v, want %d damaged and a line: %s; it has\n%s", what, st, lost, line, log)
			}
			if restart {
				s.ReleaseReserve()
				closeSpool(t, s)
				s = openSpool(t, Options{Dir: dir, Limit: 1 << 20})
				if st := s.Stats(); st.Damaged != 0 || st.Recovered != uint64(13-lost+7) {
					t.Errorf("%s, after a restart: %+v", what, st)
				}
			}
			if got := drain(t, s); len(got) == 0 || got[len(got)-1] != after.ID() {
				t.Errorf("%s: what was stored afterwards is missing: %v", what, got)
			}
			if st := s.Stats(); st.Pending != 0 {
				t.Errorf("%s: %+v", what, st)
			}
			closeSpool(t, s)
			if left := files(t, dir); len(left) > 0 && left[0] != quarantineFolder {
				t.Errorf("%s: left %v", what, left)
			}
		}
	}
	all := func(dir string, do func(path string) error) error {
		paths, err := filepath.Glob(filepath.Join(dir, "*.blocks"))
		for _, path := range paths {
			err = errors.Join(err, do(path))
		}
		return err
	}
	f("all segments removed", "files of the spool were removed, what they held is lost", 13, func(dir string) error {
		return all(dir, os.Remove)
	})
	f("the complete segment removed", "files of the spool were removed, what they held is lost", 10, func(dir string) error {
		return os.Remove(segmentPath(dir, firstSegment))
	})
	f("the segment that is written moved away", "files of the spool were removed, what they held is lost", 3, func(dir string) error {
		return os.Rename(segmentPath(dir, firstSegment+1), filepath.Join(filepath.Dir(dir), "saved"))
	})
	f("all segments emptied", "a file of the spool was truncated, what is missing is lost", 13, func(dir string) error {
		return all(dir, func(path string) error { return os.Truncate(path, 0) })
	})
	f("the segment that is written cut", "a file of the spool was truncated, what is missing is lost", 3, func(dir string) error {
		return os.Truncate(segmentPath(dir, firstSegment+1), 20)
	})
	f("the folder removed", "the folder of the spool was removed or replaced", 13, os.RemoveAll)
	f("the folder of all spools removed", "the folder of the spool was removed or replaced", 13, func(dir string) error {
		return os.RemoveAll(filepath.Dir(dir))
	})
	f("the folder replaced", "the folder of the spool was removed or replaced", 13, func(dir string) error {
		return errors.Join(os.Rename(dir, dir+".old"), os.Mkdir(dir, 0o755))
	})
}

// A folder that comes back brings back what is in it.
func TestFolderComesBack(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "psql")
	s, _ := twoSegments(t, dir)
	if err := os.Rename(dir, dir+".old"); err != nil {
		t.Fatal(err)
	}
	appendBlock(t, s, testBlock(7, 10), false)
	wantStats(t, s, "7 0 0 13 0")
	if err := errors.Join(os.Rename(dir, dir+".new"), os.Rename(dir+".old", dir)); err != nil {
		t.Fatal(err)
	}
	if err := s.Sync(); err != nil {
		t.Fatal(err)
	}
	wantStats(t, s, "13 13 0 20 0")
	appendBlock(t, s, testBlock(1, 10), false)
	if got := drain(t, s); len(got) != 3 {
		t.Errorf("got %d blocks", len(got))
	}
	closeSpool(t, s)
}

// What was read of a file before it was removed is delivered, and what was handed out can be
// put back.
func TestRemovedWhileItIsRead(t *testing.T) {
	dir := t.TempDir()
	s := openSpool(t, Options{Dir: dir})
	a, b, c, d := testBlock(1, 1), testBlock(2, 2), testBlock(3, 3), testBlock(4, 4)
	appendBlock(t, s, a, false)
	appendBlock(t, s, b, false)
	first, seg, _ := s.Next()   // a; b has been read too
	appendBlock(t, s, c, false) // only in the file
	if err := os.Remove(seg.path()); err != nil {
		t.Fatal(err)
	}
	if err := s.Sync(); err != nil {
		t.Error(err)
	}
	wantStats(t, s, "2 0 0 3 0")
	appendBlock(t, s, d, false)
	second, seg2, _ := s.Next()
	wantIDs(t, append(drain(t, s), first.ID(), second.ID()), d, a, b)
	if err := s.Done(seg, first.ID()); err != nil {
		t.Error(err)
	}
	if s.Requeue(seg2, second.Len()) {
		t.Error("Requeue says that the block is on disk")
	}
	s.ReleaseReserve()
	if n, err := s.PutBack([]*event.Block{second}, nil); n != 1 || err != nil {
		t.Error(n, err)
	}
	wantStats(t, s, "2 0 0 3 0")
	closeSpool(t, s)
	s = openSpool(t, Options{Dir: dir})
	wantIDs(t, drain(t, s), b)
	closeSpool(t, s)
	if left := files(t, dir); len(left) > 0 {
		t.Errorf("left %v", left)
	}
}

// A removed lock is created again. If another sensor has created it meanwhile, nothing is
// written beside that sensor.
func TestLockRemoved(t *testing.T) {
	dir := t.TempDir()
	s, log := twoSegments(t, dir)
	lock := filepath.Join(dir, lockName)
	if err := os.Remove(lock); err != nil {
		t.Fatal(err)
	}
	appendBlock(t, s, testBlock(1, 1), false)
	if _, err := Open(Options{Dir: dir, Limit: 1 << 20}); !errors.Is(err, ErrInUse) {
		t.Errorf("a second sensor: %v", err)
	}
	if !strings.Contains(log.String(), "the lock of the spool was removed") {
		t.Errorf("log:\n%s", log)
	}
	if err := os.Remove(lock); err != nil {
		t.Fatal(err)
	}
	other, _, err := lockFile(openDir(t, dir))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Append(testBlock(1, 1), false, time.Now()); !errors.Is(err, ErrInUse) {
		t.Errorf("beside another sensor: %v", err)
	}
	other.Close()
	appendBlock(t, s, testBlock(1, 1), false)
	closeSpool(t, s)
}

// Links and other users' files in the spool's folder are not followed.
func TestLinksInTheSpool(t *testing.T) {
	victim := filepath.Join(t.TempDir(), "victim")
	if err := os.WriteFile(victim, []byte("keep"), 0o644); err != nil {
		t.Fatal(err)
	}
	f := func(name string) {
		t.Helper()
		dir := t.TempDir()
		if err := os.Symlink(victim, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(Options{Dir: dir, Limit: 1 << 20}); !errors.Is(err, safefs.ErrUnsafe) || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
		got, err := os.ReadFile(victim)
		st, err2 := os.Stat(victim)
		if err = errors.Join(err, err2); err != nil || string(got) != "keep" || st.Mode() != 0o644 {
			t.Errorf("%s: the file holds %q, %v, %v", name, got, st.Mode(), err)
		}
	}
	f(lockName)
	f(fileName(5, blocksSuffix))
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(Options{Dir: filepath.Join(dir, "psql"), Limit: 1 << 20}); !errors.Is(err, safefs.ErrUnsafe) || !strings.Contains(err.Error(), "use --force") {
		t.Errorf("a folder that every user can write to: %v", err)
	}
	closeSpool(t, openSpool(t, Options{Dir: filepath.Join(dir, "psql"), Force: true}))
}

// A file with a second name, from a backup with cp -al, is read as before.
func TestSegmentWithSecondName(t *testing.T) {
	dir := tmpfsDir(t)
	s := openSpool(t, Options{Dir: dir})
	b := testBlock(3, 10)
	appendBlock(t, s, b, false)
	if err := os.Link(segmentPath(dir, firstSegment), filepath.Join(dir, "backup")); err != nil {
		t.Fatal(err)
	}
	wantIDs(t, drain(t, s), b)
	wantStats(t, s, "0 0 0 0 0")
	closeSpool(t, s)
}

// A file that somebody gives to another user is not lost: its events wait, and come when it
// is given back.
func TestSegmentGivenAway(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root: only root can make files of other users")
	}
	dir := tmpfsDir(t)
	var log bytes.Buffer
	s := openSpool(t, Options{Dir: dir, Log: slog.New(slog.NewTextHandler(&log, nil))})
	b := testBlock(3, 10)
	appendBlock(t, s, b, false)
	path := segmentPath(dir, firstSegment)
	if err := os.Chown(path, 65534, 65534); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if got, _, _ := s.Next(); got != nil {
			t.Error("another user's file was read")
		}
	}
	if st := s.Stats(); st.Pending != 3 || st.Damaged != 0 {
		t.Errorf("%+v", st)
	}
	if n := strings.Count(log.String(), "belongs to user 65534"); n != 1 {
		t.Errorf("logged %d times:\n%s", n, log.String())
	}
	if err := os.Chown(path, 0, 0); err != nil {
		t.Fatal(err)
	}
	wantIDs(t, drain(t, s), b)
	closeSpool(t, s)
}
