package spool

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"dnsmonster-sensor/userspace/event"
)

// foreignBlock is a block as a build with another layout version may write it: nothing is
// known of its events but the checksum.
func foreignBlock(b *event.Block, version uint16) []byte {
	data := bytes.Clone(b.Bytes())
	for i := event.BlockHeaderLen; i < len(data); i++ {
		data[i] ^= 0x55
	}
	return sealAs(data, version)
}

// sealAs gives a stored block a version and valid checksums.
func sealAs(data []byte, version uint16) []byte {
	le := binary.LittleEndian
	le.PutUint16(data[4:], version)
	le.PutUint32(data[40:], crc32.Checksum(data[event.BlockHeaderLen:], castagnoli))
	le.PutUint32(data[44:], crc32.Checksum(data[:44], castagnoli))
	return data
}

// readableAgain restores the blocks that foreign ones were made of: a build that can read
// them sees them so.
func readableAgain(data []byte) []byte {
	for at := 0; at < len(data); {
		h, err := event.ReadHeader(data[at:])
		if err != nil {
			panic(err)
		}
		b := data[at : at+h.Len]
		for i := event.BlockHeaderLen; i < len(b); i++ {
			b[i] ^= 0x55
		}
		sealAs(b, 2)
		at += h.Len
	}
	return data
}

func wantUnreadable(t testing.TB, s *Spool, blocks, events uint64) {
	t.Helper()
	if st := s.Stats(); st.UnreadableBlocks != blocks || st.Unreadable != events {
		t.Errorf("%d blocks, %d events are unreadable; want %d, %d", st.UnreadableBlocks, st.Unreadable, blocks, events)
	}
}

func writeSegment(t testing.TB, dir string, number uint64, blocks ...[]byte) {
	t.Helper()
	if err := os.WriteFile(segmentPath(dir, number), bytes.Join(blocks, nil), 0o600); err != nil {
		t.Fatal(err)
	}
}

// setAsideContents is what the folder of unreadable blocks holds, file by file.
func setAsideContents(t testing.TB, dir string) (contents [][]byte) {
	t.Helper()
	names, _ := filepath.Glob(filepath.Join(dir, unreadableFolder, "*-*-*"))
	for _, name := range names {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		contents = append(contents, data)
	}
	return contents
}

// foreignCase is a spool with blocks that this build can read, and others.
type foreignCase struct {
	what             string
	dir              string
	readable, unread []*event.Block
	setAside         [][]byte // files that the unreadable blocks are set aside in
	events, lost     uint64   // of the readable, and of the unreadable blocks
}

func (c *foreignCase) wantInspect(t *testing.T) {
	t.Helper()
	info, err := Inspect(c.dir, nil)
	if u := info.Unreadable; err != nil || u.Blocks != uint64(len(c.unread)) || u.Events != c.lost || info.Lost != 0 || info.Damaged != 0 {
		t.Errorf("%s: Inspect: %+v, %v", c.what, info, err)
	}
}

// firstRun counts and sets aside what it cannot read, and delivers the rest.
func (c *foreignCase) firstRun(t *testing.T) {
	t.Helper()
	var log bytes.Buffer
	s := openSpool(t, Options{Dir: c.dir, Log: slog.New(slog.NewTextHandler(&log, nil))})
	if st := s.Stats(); st.Recovered != c.events+c.lost || st.Pending != c.events || st.Damaged != 0 || st.SetAside != 0 {
		t.Errorf("%s: %+v", c.what, st)
	}
	wantUnreadable(t, s, uint64(len(c.unread)), c.lost)
	wantIDs(t, drain(t, s), c.readable...)
	wantUnreadable(t, s, uint64(len(c.unread)), c.lost)
	closeSpool(t, s)
	c.wantInspect(t)
	got := setAsideContents(t, c.dir)
	if len(got) != len(c.setAside) || strings.Count(log.String(), filepath.Join(c.dir, unreadableFolder)+"/") != len(c.setAside) {
		t.Errorf("%s: %d files are set aside, want %d; the log:\n%s", c.what, len(got), len(c.setAside), log.String())
	}
	for _, w := range c.setAside {
		if !slices.ContainsFunc(got, func(g []byte) bool { return bytes.Equal(g, w) }) {
			t.Errorf("%s: blocks were changed when they were set aside", c.what)
		}
	}
	if left := files(t, c.dir); !slices.Equal(left, []string{unreadableFolder}) {
		t.Errorf("%s: left in the folder: %v", c.what, left)
	}
}

// secondRun counts nothing again, and stores one more block.
func (c *foreignCase) secondRun(t *testing.T) *event.Block {
	t.Helper()
	var log bytes.Buffer
	s := openSpool(t, Options{Dir: c.dir, Log: slog.New(slog.NewTextHandler(&log, nil))})
	wantStats(t, s, "0 0 0 0 0")
	wantUnreadable(t, s, 0, 0)
	b := testBlock(1, 1)
	appendBlock(t, s, b, false)
	closeSpool(t, s)
	if !strings.Contains(log.String(), "level=WARN") {
		t.Errorf("%s: the second start does not log them:\n%s", c.what, log.String())
	}
	return b
}

// otherBuild can read the blocks, and delivers them before the one that was stored since.
func (c *foreignCase) otherBuild(t *testing.T, since *event.Block) {
	t.Helper()
	names, _ := filepath.Glob(filepath.Join(c.dir, unreadableFolder, "*"))
	for _, name := range names {
		data, _ := os.ReadFile(name)
		if err := os.WriteFile(name, readableAgain(data), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if info, err := Inspect(c.dir, nil); err != nil || info.Events != c.lost+1 || info.Unreadable.Blocks != 0 {
		t.Errorf("%s: the other build sees %+v, %v", c.what, info, err)
	}
	s := openSpool(t, Options{Dir: c.dir})
	wantStats(t, s, fmt.Sprint(c.lost+1, c.lost+1, " 0 0 0"))
	wantIDs(t, drain(t, s), append(slices.Clone(c.unread), since)...)
	closeSpool(t, s)
	if left := files(t, c.dir); len(left) > 0 {
		t.Errorf("%s: all is delivered, but there is %v", c.what, left)
	}
}

// TestUnreadableBlocks: wherever blocks of other builds are in a segment, readable ones are
// delivered, and the others are set aside intact, counted once, and logged. A build that can
// read them sends each once.
func TestUnreadableBlocks(t *testing.T) {
	a, b, last := testBlock(2, 10), testBlock(3, 2000), testBlock(4, 30)
	x, y := testBlock(5, 100), testBlock(6, 5000)
	x3, y3, y0, y9 := foreignBlock(x, 3), foreignBlock(y, 3), foreignBlock(y, 0), foreignBlock(y, 65535)
	f := func(what string, segment [][]byte, readable []*event.Block, unread []*event.Block, setAside ...[]byte) {
		t.Helper()
		c := &foreignCase{what: what, dir: t.TempDir(), readable: append(slices.Clone(readable), last), unread: unread, setAside: setAside}
		writeSegment(t, c.dir, 7, segment...)
		writeSegment(t, c.dir, 8, last.Bytes())
		for _, b := range c.readable {
			c.events += uint64(b.Len())
		}
		for _, b := range unread {
			c.lost += uint64(b.Len())
		}
		c.wantInspect(t)
		s := openSpool(t, Options{Dir: c.dir})
		if err := s.Discard(); err != nil { // a start that fails counts nothing
			t.Error(err)
		}
		c.wantInspect(t)
		c.firstRun(t)
		c.otherBuild(t, c.secondRun(t))
	}
	f("first", [][]byte{x3, a.Bytes(), b.Bytes()}, []*event.Block{a, b}, []*event.Block{x}, x3)
	f("in the middle", [][]byte{a.Bytes(), x3, b.Bytes()}, []*event.Block{a, b}, []*event.Block{x}, x3)
	f("last", [][]byte{a.Bytes(), b.Bytes(), x3}, []*event.Block{a, b}, []*event.Block{x}, x3)
	f("two side by side", [][]byte{a.Bytes(), x3, y3, b.Bytes()}, []*event.Block{a, b}, []*event.Block{x, y}, slices.Concat(x3, y3))
	f("two apart", [][]byte{x3, a.Bytes(), y3}, []*event.Block{a}, []*event.Block{x, y}, x3, y3)
	f("two versions", [][]byte{a.Bytes(), x3, y9}, []*event.Block{a}, []*event.Block{x, y}, x3, y9)
	f("version 0", [][]byte{a.Bytes(), y0}, []*event.Block{a}, []*event.Block{y}, y0)
	f("alone", [][]byte{x3}, nil, []*event.Block{x}, x3)
	f("a whole segment", [][]byte{x3, y3}, nil, []*event.Block{x, y}, slices.Concat(x3, y3))
	f("our version, with something else in it", [][]byte{a.Bytes(), foreignBlock(x, 2)}, []*event.Block{a}, []*event.Block{x}, foreignBlock(x, 2))
}

// TestUnreadableBesideDamage: damage costs the damaged block, whatever its version, and blocks
// after it are found.
func TestUnreadableBesideDamage(t *testing.T) {
	a, b, c, x := testBlock(2, 1000), testBlock(3, 2000), testBlock(4, 30), testBlock(5, 100)
	x3 := foreignBlock(x, 3)
	torn := func(data []byte, at int) []byte { data = bytes.Clone(data); data[at] ^= 4; return data }
	f := func(what string, damaged, unread uint64, want []*event.Block, segment ...[]byte) {
		t.Helper()
		dir := t.TempDir()
		writeSegment(t, dir, 7, segment...)
		s := openSpool(t, Options{Dir: dir})
		if st := s.Stats(); st.Damaged != damaged || st.Unreadable != unread {
			t.Errorf("%s: %+v, want %d damaged, %d unreadable", what, st, damaged, unread)
		}
		wantIDs(t, drain(t, s), want...)
		closeSpool(t, s)
		if info, err := Inspect(dir, nil); err != nil || info.Unreadable.Events != unread {
			t.Errorf("%s: afterwards %+v, %v", what, info, err)
		}
	}
	f("a torn block before it", 2, 5, []*event.Block{c}, torn(a.Bytes(), 500), x3, c.Bytes())
	f("a torn header before it", 2, 5, []*event.Block{c}, torn(a.Bytes(), 9), x3, c.Bytes())
	f("torn blocks on both sides", 5, 5, nil, torn(a.Bytes(), 500), x3, torn(b.Bytes(), 500))
	f("a torn header on both sides", 5, 5, nil, torn(a.Bytes(), 9), x3, torn(b.Bytes(), 9))
	f("its events are torn", 5, 0, []*event.Block{a, c}, a.Bytes(), torn(x3, 100), c.Bytes())
	f("its header is cut", 1, 0, []*event.Block{a}, a.Bytes(), x3[:30])
	f("its end is cut", 5, 0, []*event.Block{a}, a.Bytes(), x3[:len(x3)-1])
	long := bytes.Clone(x3) // its length covers intact blocks
	binary.LittleEndian.PutUint32(long[36:], uint32(len(x3)-event.BlockHeaderLen+a.Size()+c.Size()))
	binary.LittleEndian.PutUint32(long[44:], crc32.Checksum(long[:44], castagnoli))
	f("its length is wrong", 5, 0, []*event.Block{a, c}, long, a.Bytes(), c.Bytes())
}

// TestUnreadableAfterACrash: a run that was killed before it could note what it has set aside
// leaves copies. Yet no other build sends a block twice, or never.
func TestUnreadableAfterACrash(t *testing.T) {
	dir := t.TempDir()
	a, x, y := testBlock(2, 10), testBlock(5, 100), testBlock(6, 50)
	writeSegment(t, dir, 7, a.Bytes(), foreignBlock(x, 3), foreignBlock(y, 3))
	crash(openSpool(t, Options{Dir: dir}))
	crash(openSpool(t, Options{Dir: dir}))
	if n := len(setAsideContents(t, dir)); n != 1 {
		t.Fatalf("%d files are set aside, want one", n)
	}
	if info, err := Inspect(dir, nil); err != nil || info.Unreadable.Events != 11 {
		t.Errorf("Inspect: %+v, %v; want each block once", info, err)
	}
	s := openSpool(t, Options{Dir: dir}) // this build counts them again
	wantUnreadable(t, s, 2, 11)
	crash(s)
	writeSegment(t, dir, 7, a.Bytes(), x.Bytes(), y.Bytes()) // as the other build sees it
	names, _ := filepath.Glob(filepath.Join(dir, unreadableFolder, "*"))
	if err := os.WriteFile(names[0], slices.Concat(x.Bytes(), y.Bytes()), 0o600); err != nil {
		t.Fatal(err)
	}
	if info, err := Inspect(dir, nil); err != nil || info.Events != 13 {
		t.Errorf("Inspect: %+v, %v; want each block once", info, err)
	}
	s = openSpool(t, Options{Dir: dir})
	wantStats(t, s, "13 13 0 0 0")
	wantIDs(t, drain(t, s), x, y, a)
	closeSpool(t, s)
	if left := files(t, dir); len(left) > 0 {
		t.Errorf("all is delivered, but there is %v", left)
	}
}

// TestUnreadableThatIsDone: blocks that the other build has delivered are neither set aside
// nor counted.
func TestUnreadableThatIsDone(t *testing.T) {
	dir := t.TempDir()
	a, x, y := testBlock(2, 10), testBlock(5, 100), testBlock(6, 50)
	writeSegment(t, dir, 7, foreignBlock(x, 3), foreignBlock(y, 3), a.Bytes())
	d, err := openExisting(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	seg := &Segment{number: 7, dir: d}
	if err := seg.writeDone(x.ID()); err != nil {
		t.Fatal(err)
	}
	seg.closeDone()
	s := openSpool(t, Options{Dir: dir})
	wantUnreadable(t, s, 1, 6)
	wantStats(t, s, "2 8 0 0 0")
	wantIDs(t, drain(t, s), a)
	closeSpool(t, s)
	if got := setAsideContents(t, dir); len(got) != 1 || !bytes.Equal(got[0], foreignBlock(y, 3)) {
		t.Errorf("%d files are set aside, want the block that was not delivered", len(got))
	}
}

// TestUnreadableWithoutRoom: blocks that cannot be set aside stay where they are, through
// deliveries and starts.
func TestUnreadableWithoutRoom(t *testing.T) {
	dir := t.TempDir()
	a, x := testBlock(2, 10), testBlock(5, 100)
	writeSegment(t, dir, 7, a.Bytes(), foreignBlock(x, 3))
	var log bytes.Buffer
	full := Options{Dir: dir, Free: 1 << 60, Log: slog.New(slog.NewTextHandler(&log, nil))}
	s := openSpool(t, full)
	wantUnreadable(t, s, 1, 5)
	wantIDs(t, drain(t, s), a)
	closeSpool(t, s)
	if !strings.Contains(log.String(), "cannot be set aside") {
		t.Errorf("the log:\n%s", log.String())
	}
	s = openSpool(t, full)
	wantStats(t, s, "0 5 0 0 0")
	closeSpool(t, s)
	s = openSpool(t, Options{Dir: dir})
	wantUnreadable(t, s, 1, 5)
	closeSpool(t, s)
	if got := setAsideContents(t, dir); len(got) != 1 || !bytes.Equal(got[0], foreignBlock(x, 3)) {
		t.Errorf("%d files are set aside, want one", len(got))
	}
	if left := files(t, dir); !slices.Equal(left, []string{unreadableFolder}) {
		t.Errorf("left in the folder: %v", left)
	}
}

// TestUnreadableFolderIsAFile: if the folder's name is taken, the rest is delivered, and the
// log says so.
func TestUnreadableFolderIsAFile(t *testing.T) {
	dir := t.TempDir()
	a, x := testBlock(2, 10), testBlock(5, 100)
	writeSegment(t, dir, 7, a.Bytes(), foreignBlock(x, 3))
	if err := os.WriteFile(filepath.Join(dir, unreadableFolder), []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, want := range []*event.Block{a, testBlock(1, 1)} {
		var log bytes.Buffer
		s := openSpool(t, Options{Dir: dir, Log: slog.New(slog.NewTextHandler(&log, nil))})
		if want != a {
			appendBlock(t, s, want, false)
		}
		wantUnreadable(t, s, 1, 5) // by each start: nothing could be noted
		wantIDs(t, drain(t, s), want)
		closeSpool(t, s)
		for _, text := range []string{"cannot look for blocks", "they cannot be set aside"} {
			if !strings.Contains(log.String(), text) {
				t.Errorf("the log lacks %q:\n%s", text, log.String())
			}
		}
	}
}

// TestUnreadableBound: what is set aside stays within Limit, the oldest goes, and Drop removes
// all of it.
func TestUnreadableBound(t *testing.T) {
	dir := t.TempDir()
	for n := range uint64(5) {
		writeSegment(t, dir, n+1, foreignBlock(testBlock(1, 30_000), 3), testBlock(1, 1).Bytes())
	}
	var log bytes.Buffer
	s := openSpool(t, Options{Dir: dir, Limit: 100_000, Log: slog.New(slog.NewTextHandler(&log, nil))})
	wantUnreadable(t, s, 5, 5)
	closeSpool(t, s)
	if n := len(setAsideContents(t, dir)); n != 3 || strings.Count(log.String(), "removed for newer ones") != 2 {
		t.Errorf("%d files are left, want 3; the log:\n%s", n, log.String())
	}
	if err := Drop(dir); err != nil || len(files(t, dir)) > 0 {
		t.Errorf("Drop: %v, left %v", err, files(t, dir))
	}
}

// TestMixedVersions: blocks of versions 1 and 2 in one segment.
func TestMixedVersions(t *testing.T) {
	old, err := os.ReadFile("../../userspace/event/testdata/block-v1")
	if err != nil {
		t.Fatal(err)
	}
	v1, err := event.OpenBlock(old)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	a, b := testBlock(2, 10), testBlock(3, 10)
	writeSegment(t, dir, 7, a.Bytes(), old, b.Bytes())
	s := openSpool(t, Options{Dir: dir})
	wantStats(t, s, fmt.Sprint(15, 15, " 0 0 0"))
	wantIDs(t, drain(t, s), a, v1, b)
	if _, err := s.PutBack([]*event.Block{v1}, nil); err != nil { // unchanged
		t.Fatal(err)
	}
	closeSpool(t, s)
	s = openSpool(t, Options{Dir: dir})
	got, seg, _ := s.Next()
	if got == nil || !bytes.Equal(got.Bytes(), old) {
		t.Error("a block that was put back has changed")
	}
	s.Done(seg, got.ID())
	closeSpool(t, s)
}
