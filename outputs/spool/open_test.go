package spool

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"dnsmonster-sensor/outputs/safefs"
	"dnsmonster-sensor/userspace/event"
)

// One flipped bit anywhere between two runs costs the block that it is in. Its events are
// counted, once, and only if they were still to be sent.
func TestFlippedBitIsCounted(t *testing.T) {
	dir := tmpfsDir(t)
	blocks := []*event.Block{testBlock(3, 10), testBlock(5, 10), testBlock(7, 10)}
	path, list := segmentPath(dir, firstSegment), filepath.Join(dir, fileName(firstSegment, doneSuffix))
	var whole []byte
	for _, b := range blocks {
		whole = append(whole, b.Bytes()...)
	}
	of := func(at int) (i int) { // index of the block that a byte is in
		for n := blocks[0].Size(); at >= n; n += blocks[i].Size() {
			i++
		}
		return i
	}
	f := func(what string, at int, done ...event.ID) {
		t.Helper()
		data := bytes.Clone(whole)
		data[at] ^= 1 << (at % 8)
		os.Remove(list)
		os.Remove(filepath.Join(dir, lockName)) // and with it the manifest
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		want, left := uint64(blocks[of(at)].Len()), uint64(15)
		seg := &Segment{number: firstSegment, dir: openDir(t, dir)}
		for _, id := range done {
			if err := seg.writeDone(id); err != nil {
				t.Fatal(err)
			}
			if id == blocks[of(at)].ID() {
				want = 0
			}
			left -= uint64(blocks[slices.IndexFunc(blocks, func(b *event.Block) bool { return b.ID() == id })].Len())
		}
		seg.closeDone()
		for start, stop := range []func(*Spool) error{(*Spool).Discard, (*Spool).Close, (*Spool).Close} {
			s := openSpool(t, Options{Dir: dir})
			if start == 2 { // the start before has counted it
				left -= want
				want = 0
			}
			if st := s.Stats(); st.Damaged != want || st.Recovered != left || st.Pending != left-want {
				t.Fatalf("%s, byte %d, start %d: %+v; want %d recovered, %d of them damaged", what, at, start, st, left, want)
			}
			if err := stop(s); err != nil {
				t.Fatal(err)
			}
		}
	}
	for at := 0; at < len(whole); at += 13 {
		f("nothing done", at)
	}
	for at := 0; at < len(whole); at += 97 {
		f("the first done", at, blocks[0].ID())
		f("the second done", at, blocks[1].ID())
	}
}

// openDir opens a folder until the test ends.
func openDir(t *testing.T, path string) *safefs.Dir {
	t.Helper()
	dir, err := safefs.Open(path, false)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { dir.Close() })
	return dir
}

// Torn ends of a segment, and gaps, are counted.
func TestTornEndIsCounted(t *testing.T) {
	dir := tmpfsDir(t)
	first, second := testBlock(3, 10), testBlock(5, 10)
	whole := append(bytes.Clone(first.Bytes()), second.Bytes()...)
	f := func(data []byte, damaged uint64) {
		t.Helper()
		if err := os.WriteFile(segmentPath(dir, 3), data, 0o600); err != nil {
			t.Fatal(err)
		}
		s := openSpool(t, Options{Dir: dir})
		if st := s.Stats(); st.Damaged != damaged || st.Recovered != 3+damaged {
			t.Errorf("%d bytes: %+v, want %d damaged", len(data), st, damaged)
		}
		wantIDs(t, drain(t, s), first)
		closeSpool(t, s)
	}
	f(whole[:first.Size()], 0)
	f(whole[:first.Size()+10], 1) // not even a header: at least one event
	f(whole[:first.Size()+event.BlockHeaderLen], 5)
	f(whole[:len(whole)-1], 5)
	f(append(bytes.Clone(first.Bytes()), make([]byte, 1000)...), 1)
	f(append(make([]byte, 1000), first.Bytes()...), 1)
}

// A segment that vanishes between two runs is noticed and counted, once. What a run has
// delivered is not missed, however that run ends.
func TestMissingSegmentIsCounted(t *testing.T) {
	dir := tmpfsDir(t)
	s := openSpool(t, Options{Dir: dir, Limit: 1 << 20})
	var all []*event.Block
	for i := range 3 {
		all = append(all, testBlock(1+i, 66000))
		appendBlock(t, s, all[i], false)
	}
	closeSpool(t, s)
	if err := os.Remove(segmentPath(dir, firstSegment+1)); err != nil {
		t.Fatal(err)
	}
	if info, err := Inspect(dir, nil); err != nil || info.Events != 4 || info.Lost != 2 || info.Damaged != 1 {
		t.Errorf("Inspect = %+v, %v", info, err)
	}
	var log bytes.Buffer
	s = openSpool(t, Options{Dir: dir})
	if err := s.Discard(); err != nil {
		t.Fatal(err)
	}
	s = openSpool(t, Options{Dir: dir, Log: slog.New(slog.NewTextHandler(&log, nil))})
	wantStats(t, s, "4 6 0 2 0")
	if want := segmentPath(dir, firstSegment+1) + " events_lost=2"; !strings.Contains(log.String(), want) {
		t.Errorf("the log lacks %q:\n%s", want, log.String())
	}
	closeSpool(t, s)
	s = openSpool(t, Options{Dir: dir})
	wantStats(t, s, "4 4 0 0 0")
	b, seg, _ := s.Next() // delivered by a run that is then killed
	if err := s.Done(seg, b.ID()); err != nil {
		t.Fatal(err)
	}
	crash(s)
	s = openSpool(t, Options{Dir: dir})
	wantStats(t, s, "3 3 0 0 0")
	closeSpool(t, s)
	list, err := os.ReadFile(filepath.Join(dir, lockName))
	if err != nil {
		t.Fatal(err)
	}
	for at := range list { // with a damaged manifest nothing is missed
		bad := bytes.Clone(list)
		bad[at] ^= 1
		if err := os.WriteFile(filepath.Join(dir, lockName), bad, 0o600); err != nil {
			t.Fatal(err)
		}
		if info, err := Inspect(dir, nil); err != nil || info.Lost != 0 {
			t.Errorf("byte %d: Inspect = %+v, %v", at, info, err)
		}
	}
	if err := Drop(dir); err != nil || len(files(t, dir)) != 0 {
		t.Errorf("Drop: %v, left %v", err, files(t, dir))
	}
}

// What is cut off a segment between two runs is counted, once: also at the border of a block
// and at its start, where nothing in the file shows it.
func TestCutSegmentIsCounted(t *testing.T) {
	f := func(what string, change func(data []byte, border int) []byte, lost uint64) {
		t.Helper()
		dir := tmpfsDir(t)
		first := testBlock(3, 10)
		s := openSpool(t, Options{Dir: dir})
		for _, b := range []*event.Block{first, testBlock(5, 10), testBlock(7, 10)} {
			appendBlock(t, s, b, false)
		}
		closeSpool(t, s)
		path := segmentPath(dir, firstSegment)
		data, err := os.ReadFile(path)
		if err == nil {
			err = os.WriteFile(path, change(data, first.Size()), 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
		if _, err := Export(dir, nil); err != nil { // changes nothing
			t.Fatal(err)
		}
		if info, err := Inspect(dir, nil); err != nil || info.Lost != lost || info.Damaged == 0 {
			t.Errorf("%s: Inspect = %+v, %v", what, info, err)
		}
		s = openSpool(t, Options{Dir: dir})
		if err := s.Discard(); err != nil {
			t.Fatal(err)
		}
		s = openSpool(t, Options{Dir: dir})
		if st := s.Stats(); st.Damaged != lost || st.Recovered != 15 || st.Pending != 15-lost {
			t.Errorf("%s: %+v, want %d damaged", what, st, lost)
		}
		closeSpool(t, s)
		s = openSpool(t, Options{Dir: dir})
		if st := s.Stats(); st.Damaged != 0 || st.Pending != 15-lost {
			t.Errorf("%s, next start: %+v", what, st)
		}
		closeSpool(t, s)
	}
	f("emptied", func([]byte, int) []byte { return nil }, 15)
	f("cut at a border", func(data []byte, border int) []byte { return data[:border] }, 12)
	f("cut in a header", func(data []byte, border int) []byte { return data[:border+10] }, 12)
	f("another file", func([]byte, int) []byte { return []byte("some text") }, 15)
}

// A build that knows no manifest, and delivers, leaves nothing to miss.
func TestManifestIsGone(t *testing.T) {
	dir := tmpfsDir(t)
	s := openSpool(t, Options{Dir: dir})
	appendBlock(t, s, testBlock(3, 10), false)
	closeSpool(t, s)
	if err := os.WriteFile(filepath.Join(dir, lockName), []byte("4711\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(segmentPath(dir, firstSegment)); err != nil {
		t.Fatal(err)
	}
	s = openSpool(t, Options{Dir: dir})
	wantStats(t, s, "0 0 0 0 0")
	closeSpool(t, s)
}
