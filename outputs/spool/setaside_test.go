package spool

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"dnsmonster-sensor/userspace/event"
)

// writeSetAside writes a file as a build that cannot read it sets it aside.
func writeSetAside(t testing.TB, dir string, segment uint64, data ...[]byte) (path string) {
	t.Helper()
	h, err := event.ReadHeader(data[0])
	if err != nil {
		t.Fatal(err)
	}
	os.Mkdir(filepath.Join(dir, unreadableFolder), 0o700)
	path = filepath.Join(dir, unreadableFolder, unreadableName(segment, 0, h.ID))
	if err := os.WriteFile(path, bytes.Join(data, nil), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestReclaimedBesideDoneList: a segment that was removed just before a crash leaves its list
// of done blocks, including those that were set aside. A reclaimed file that gets its number
// does not count as done.
func TestReclaimedBesideDoneList(t *testing.T) {
	dir := t.TempDir()
	x := testBlock(5, 100)
	writeSetAside(t, dir, firstSegment-1, x.Bytes())
	seg := &Segment{number: firstSegment - 1, dir: openDir(t, dir)}
	if err := seg.writeDone(x.ID()); err != nil {
		t.Fatal(err)
	}
	seg.closeDone()
	s := openSpool(t, Options{Dir: dir})
	wantIDs(t, drain(t, s), x)
	closeSpool(t, s)
	if left := files(t, dir); len(left) > 0 {
		t.Errorf("all is delivered, but there is %v", left)
	}
}

// TestPutBackBesideKeptFile: if blocks cannot be set aside, their file keeps its number, and
// PutBack does not need it.
func TestPutBackBesideKeptFile(t *testing.T) {
	f := func(what string, deliver bool, segments ...[]byte) {
		t.Helper()
		dir := t.TempDir()
		for i, data := range segments {
			writeSegment(t, dir, firstSegment+uint64(i), data)
		}
		if err := os.WriteFile(filepath.Join(dir, unreadableFolder), []byte("mine"), 0o600); err != nil {
			t.Fatal(err)
		}
		s := openSpool(t, Options{Dir: dir})
		if deliver {
			drain(t, s)
		}
		b, c := testBlock(3, 20), testBlock(4, 30)
		for _, b := range []*event.Block{c, b} {
			if n, err := s.PutBack([]*event.Block{b}, nil); n != 1 || err != nil {
				t.Errorf("%s: PutBack stored %d blocks, %v", what, n, err)
			}
		}
		closeSpool(t, s)
		s = openSpool(t, Options{Dir: dir})
		if ids := drain(t, s); len(ids) < 2 || ids[0] != b.ID() || ids[1] != c.ID() {
			t.Errorf("%s: the blocks put back do not come first", what)
		}
		closeSpool(t, s)
	}
	a, x := testBlock(2, 10).Bytes(), foreignBlock(testBlock(5, 100), 3)
	both := append(bytes.Clone(x), a...)
	f("before what waits", false, x, a)
	f("before what waits, in the middle", true, a, x, a)
	f("alone", false, x)
	f("with something that is delivered", true, both)
	f("several", false, x, x, x, a)
}

// TestSetAsideFileIsDamaged: damage in a file that was set aside costs the damaged blocks, and
// is counted by the build that can read the file.
func TestSetAsideFileIsDamaged(t *testing.T) {
	x, y := testBlock(5, 100), testBlock(6, 50)
	f := func(what string, at int, events uint64, want ...*event.Block) {
		t.Helper()
		dir := t.TempDir()
		path := writeSetAside(t, dir, 7, x.Bytes(), y.Bytes())
		data, _ := os.ReadFile(path)
		data[at] ^= 4
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		info, err := Inspect(dir, nil)
		if err != nil || info.Damaged != 1 || info.Lost != events || info.Unreadable.Blocks != 0 {
			t.Errorf("%s: Inspect: %+v, %v", what, info, err)
		}
		s := openSpool(t, Options{Dir: dir})
		if st := s.Stats(); st.Damaged != events || st.SetAside != 1 || st.Unreadable != 0 {
			t.Errorf("%s: %+v", what, st)
		}
		wantIDs(t, drain(t, s), want...)
		closeSpool(t, s)
		if left := files(t, dir); len(left) != 1 || left[0] != quarantineFolder {
			t.Errorf("%s: left %v", what, left)
		}
	}
	f("the first block", 60, 5, y)
	f("the first block's header", 9, 5, y)
	f("the last block", x.Size()+60, 6, x)
}

// TestSetAsideFileCannotBeRead: the log and "spool ls" name it, and the rest is delivered.
func TestSetAsideFileCannotBeRead(t *testing.T) {
	dir := t.TempDir()
	x, y := testBlock(5, 100), testBlock(6, 50)
	path := writeSetAside(t, dir, 7, x.Bytes())
	writeSetAside(t, dir, 8, y.Bytes())
	os.Rename(path, path+".away")
	if err := os.Symlink(path+".away", path); err != nil {
		t.Fatal(err)
	}
	if info, err := Inspect(dir, nil); err != nil || len(info.Unreadable.Errors) != 1 || info.Events != 6 {
		t.Errorf("Inspect: %+v, %v", info, err)
	}
	var log bytes.Buffer
	s := openSpool(t, Options{Dir: dir, Log: slog.New(slog.NewTextHandler(&log, nil))})
	wantIDs(t, drain(t, s), y)
	closeSpool(t, s)
	if !strings.Contains(log.String(), path) || !strings.Contains(log.String(), "symbolic link") {
		t.Errorf("the log does not name it:\n%s", log.String())
	}
}

// TestInspectBesideFileInFoldersPlace: ls and export show what there is, and say what they
// cannot open.
func TestInspectBesideFileInFoldersPlace(t *testing.T) {
	dir := t.TempDir()
	a := testBlock(2, 10)
	writeSegment(t, dir, 7, a.Bytes())
	if err := os.WriteFile(filepath.Join(dir, unreadableFolder), []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	n := 0
	info, err := Export(dir, func(b *event.Block) error { n += b.Len(); return nil })
	if err != nil || n != 2 || info.Events != 2 || len(info.Unreadable.Errors) != 1 {
		t.Errorf("%d events, %+v, %v", n, info, err)
	}
}

// TestSetAsideAgainNeedsNoMoreRoom: a run that was killed leaves copies. The next run writes
// them again, and discards none for that.
func TestSetAsideAgainNeedsNoMoreRoom(t *testing.T) {
	dir := t.TempDir()
	for n := range uint64(3) {
		writeSegment(t, dir, n+1, foreignBlock(testBlock(1, 30_000), 3), testBlock(1, 1).Bytes())
	}
	for range 3 {
		s := openSpool(t, Options{Dir: dir, Limit: 100_000})
		wantUnreadable(t, s, 3, 3)
		if n := len(setAsideContents(t, dir)); n != 3 {
			t.Errorf("%d files are set aside, want 3", n)
		}
		crash(s)
	}
}

// TestManyFilesAreSetAside: each file takes the same time, however many there are. Listing the
// folder for each took a minute for 2000 files: too long for a stop.
func TestManyFilesAreSetAside(t *testing.T) {
	const n = 1000
	dir := t.TempDir()
	for i := range uint64(n) {
		writeSegment(t, dir, i+1, foreignBlock(testBlock(1, 10), 3))
	}
	began := time.Now()
	s := openSpool(t, Options{Dir: dir})
	wantUnreadable(t, s, n, n)
	closeSpool(t, s)
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("it took %s", took)
	}
	if got := len(setAsideContents(t, dir)); got != n {
		t.Errorf("%d files are set aside, want %d", got, n)
	}
}
