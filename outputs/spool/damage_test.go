package spool

import (
	"bytes"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"dnsmonster-sensor/test/lab/tier"
	"dnsmonster-sensor/userspace/event"
)

func TestMagic(t *testing.T) {
	if b := testBlock(1, 1); !bytes.HasPrefix(b.Bytes(), magic) {
		t.Errorf("a block begins with %q, not %q", b.Bytes()[:4], magic)
	}
}

// tmpfsDir is a folder in memory, if there is one: its tests sync often.
func tmpfsDir(t *testing.T) string {
	dir, err := os.MkdirTemp("/dev/shm", "spool")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// corrupt cuts bytes out, flips bits, swaps two pieces, or leaves zeros.
func corrupt(r *rand.Rand, data []byte) []byte {
	data = bytes.Clone(data)
	for range 1 + r.IntN(3) {
		if len(data) < 4 {
			return data
		}
		a, b := r.IntN(len(data)), r.IntN(len(data))
		a, b = min(a, b), max(a, b)
		switch r.IntN(5) {
		case 0:
			data = data[:b] // a torn tail
		case 1:
			data = append(data[:a], data[min(a+1+r.IntN(200), b+1):]...)
		case 2:
			data[a] ^= 1 << r.IntN(8)
		case 3:
			n := min(1+r.IntN(300), b-a, len(data)-b)
			piece := bytes.Clone(data[a : a+n])
			copy(data[a:], data[b:b+n])
			copy(data[b:], piece)
		case 4:
			clear(data[a:b]) // as file systems leave it after a loss of power
		}
	}
	return data
}

// Whatever happens to a segment, the blocks that are still intact in it come out, once, and
// nothing else; the counts balance.
func TestTenThousandCorruptions(t *testing.T) {
	const parts = 4
	for part := range parts {
		t.Run(fmt.Sprint("part ", part), func(t *testing.T) {
			t.Parallel()
			corruptions(t, rand.New(rand.NewPCG(4, uint64(1+part))), tier.Work(10000, 1000)/parts)
		})
	}
}

func corruptions(t *testing.T, r *rand.Rand, rounds int) {
	dir := tmpfsDir(t)
	var blocks []*event.Block
	var whole []byte
	for i := range 12 {
		b := testBlock(1+i%4, i*7)
		blocks = append(blocks, b)
		whole = append(whole, b.Bytes()...)
	}
	other := testBlock(2, 5) // in a segment that stays intact
	for round := range rounds {
		if round%50 == 0 { // what is kept of damaged files slows down each round
			if err := os.RemoveAll(filepath.Join(dir, quarantineFolder)); err != nil {
				t.Fatal(err)
			}
		}
		spoilt := corrupt(r, whole)
		if err := os.WriteFile(segmentPath(dir, 5), spoilt, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(segmentPath(dir, 6), other.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
		var want []event.ID
		for _, b := range blocks {
			if bytes.Contains(spoilt, b.Bytes()) {
				want = append(want, b.ID())
			}
		}
		want = append(want, other.ID())
		s := openSpool(t, Options{Dir: dir, Limit: 1 << 20})
		lost := s.Stats().Damaged
		if info, err := Inspect(dir, nil); err != nil || info.Events+lost != s.Stats().Recovered || info.Lost != lost {
			t.Fatalf("round %d: Inspect = %+v, %v; %+v", round, info, err, s.Stats())
		}
		got := drain(t, s)
		st := s.Stats()
		closeSpool(t, s)
		slices.SortFunc(got, func(a, b event.ID) int { return bytes.Compare(a[:], b[:]) })
		if !slices.Equal(got, want) {
			t.Fatalf("round %d: got %v, want %v", round, got, want)
		}
		if st.Pending != 0 || st.Damaged != lost || (lost > 0) != (st.SetAside > 0) {
			t.Fatalf("round %d: %+v", round, st)
		}
		if len(want) <= len(blocks) && len(spoilt) > 0 && st.SetAside == 0 && !wholeBlocks(spoilt) {
			t.Fatalf("round %d: damage is not counted", round)
		}
	}
}

// wholeBlocks recognizes a segment that lost blocks without a trace: exactly between two of
// them.
func wholeBlocks(data []byte) bool {
	s := blockScanner{data: data}
	for {
		_, gap, more := s.next()
		if gap.len() > 0 {
			return false
		}
		if !more {
			return true
		}
	}
}

// The same while the spool is in use: what is lost is counted as damaged.
func TestDamageWhileInUse(t *testing.T) {
	r := rand.New(rand.NewPCG(4, 2))
	dir := tmpfsDir(t)
	for round := range 500 {
		s := openSpool(t, Options{Dir: dir, Limit: 1 << 20})
		var seg *Segment
		want := uint64(0)
		var all []*event.Block
		for i := range 8 {
			b := testBlock(1+i%3, 20*i)
			all = append(all, b)
			seg = appendBlock(t, s, b, false)
			want += uint64(b.Len())
		}
		data, err := os.ReadFile(seg.path())
		if err != nil {
			t.Fatal(err)
		}
		spoilt := corrupt(r, data)
		if err := os.WriteFile(seg.path(), spoilt, 0o600); err != nil {
			t.Fatal(err)
		}
		var got uint64
		for {
			b, seg, _ := s.Next()
			if b == nil {
				break
			}
			got += uint64(b.Len())
			s.Done(seg, b.ID())
		}
		st := s.Stats()
		if st.Pending != 0 || got+st.Damaged != want+st.Recovered {
			t.Fatalf("round %d: %d of %d events, %+v", round, got, want, st)
		}
		intact := uint64(0)
		for _, b := range all {
			if bytes.Contains(spoilt, b.Bytes()) {
				intact += uint64(b.Len())
			}
		}
		if got != intact {
			t.Fatalf("round %d: %d events came out, %d are intact", round, got, intact)
		}
		closeSpool(t, s)
		if err := Drop(dir); err != nil {
			t.Fatal(err)
		}
	}
}

// Damage in the list of done blocks causes repeats, never losses.
func TestDamagedDoneList(t *testing.T) {
	r := rand.New(rand.NewPCG(4, 3))
	dir := tmpfsDir(t)
	done := filepath.Join(dir, fileName(firstSegment, doneSuffix))
	for round := range 500 {
		s := openSpool(t, Options{Dir: dir, Limit: 1 << 20})
		var blocks []*event.Block
		for i := range 10 {
			b := testBlock(1, i)
			blocks = append(blocks, b)
			if seg := appendBlock(t, s, b, true); i < 5 {
				s.Done(seg, b.ID())
			}
		}
		crash(s)
		data, err := os.ReadFile(done)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(done, corrupt(r, data), 0o600); err != nil {
			t.Fatal(err)
		}
		s = openSpool(t, Options{Dir: dir, Limit: 1 << 20})
		got := drain(t, s)
		for _, b := range blocks[5:] {
			if !slices.Contains(got, b.ID()) {
				t.Fatalf("round %d: an undelivered block is missing", round)
			}
		}
		closeSpool(t, s)
	}
}

// The damaged bytes are set aside, within their bound, and logged once.
func TestQuarantine(t *testing.T) {
	dir := t.TempDir()
	good := testBlock(3, 100)
	bad := bytes.Clone(testBlock(3, 30000).Bytes())
	bad[200] ^= 1
	path := segmentPath(dir, 9)
	if err := os.WriteFile(path, append(bytes.Clone(bad), good.Bytes()...), 0o600); err != nil {
		t.Fatal(err)
	}
	s := openSpool(t, Options{Dir: dir, Limit: 2 << 20})
	wantIDs(t, drain(t, s), good)
	wantStats(t, s, "0 6 0 3 1")
	kept, err := os.ReadFile(filepath.Join(dir, quarantineFolder, "0000000000000009-0"))
	if err != nil || !bytes.Equal(kept, bad) {
		t.Errorf("what was set aside is not the damaged block (%v)", err)
	}
	closeSpool(t, s)
	for n := range 5 {
		os.WriteFile(segmentPath(dir, uint64(20+n)), bad, 0o600)
	}
	closeSpool(t, openSpool(t, Options{Dir: dir, Limit: 2 << 20}))
	if left := files(t, filepath.Join(dir, quarantineFolder)); len(left) != 1 || left[0] != "0000000000000018-0" {
		t.Errorf("in quarantine %v; want only the last one: the bound is 128 KiB", left)
	}
}

func FuzzOpen(f *testing.F) {
	f.Add(append(bytes.Clone(testBlock(2, 9).Bytes()), testBlock(1, 1).Bytes()...), []byte("done"))
	f.Fuzz(func(t *testing.T, segment, done []byte) {
		dir := t.TempDir()
		os.WriteFile(segmentPath(dir, 1), segment, 0o600)
		os.WriteFile(filepath.Join(dir, fileName(1, doneSuffix)), done, 0o600)
		s := openSpool(t, Options{Dir: dir, Limit: 1 << 20})
		recovered := s.Stats().Pending
		var n uint64
		for {
			b, seg, _ := s.Next()
			if b == nil {
				break
			}
			n += uint64(b.Len())
			s.Done(seg, b.ID())
		}
		if n != recovered {
			t.Errorf("%d events came out, %d were counted", n, recovered)
		}
		closeSpool(t, s)
	})
}

// A segment without any intact block costs only itself, is set aside as a whole and is named
// in the log.
func TestSegmentsWithoutIntactBlock(t *testing.T) {
	dir := t.TempDir()
	garbage := bytes.Repeat([]byte("DMSBnonsense"), 5000)
	good := testBlock(2, 10)
	for n, data := range map[uint64][]byte{2: garbage, 3: good.Bytes(), 4: nil} {
		if err := os.WriteFile(segmentPath(dir, n), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var log bytes.Buffer
	s := openSpool(t, Options{Dir: dir, Limit: 8 << 20, Log: slog.New(slog.NewTextHandler(&log, nil))})
	wantStats(t, s, "2 3 0 1 1") // nobody can tell how many events the garbage was: at least 1
	wantIDs(t, drain(t, s), good)
	closeSpool(t, s)
	if left := files(t, filepath.Join(dir, quarantineFolder)); !slices.Equal(left, []string{"0000000000000002-0"}) {
		t.Errorf("in quarantine %v", left)
	}
	kept, err := os.ReadFile(filepath.Join(dir, quarantineFolder, "0000000000000002-0"))
	if err != nil || !bytes.Equal(kept, garbage) {
		t.Errorf("what was set aside is not the segment (%v)", err)
	}
	if want := "segment=0000000000000002.blocks"; !strings.Contains(log.String(), want) {
		t.Errorf("the log lacks %q:\n%s", want, log.String())
	}
	if left := files(t, dir); !slices.Equal(left, []string{quarantineFolder}) {
		t.Errorf("left in the folder: %v", left)
	}
}

// What was appended before a Sync is on the medium, even if blocks are added to the segment
// during the Sync, or the segment is completed.
func TestSyncWhileAppending(t *testing.T) {
	s := openSpool(t, Options{Dir: tmpfsDir(t), Limit: 1 << 20})
	defer closeSpool(t, s)
	stop := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
			}
			if err := s.Sync(); err != nil {
				t.Error(err)
				return
			}
		}
	})
	for range 2000 {
		appendBlock(t, s, testBlock(2, 5000), false)
		for b, seg, _ := s.Next(); b != nil; b, seg, _ = s.Next() {
			s.Done(seg, b.ID())
		}
	}
	close(stop)
	wg.Wait()
	appendBlock(t, s, testBlock(1, 1), false)
	if err := s.Sync(); err != nil || s.tail.size != s.synced {
		t.Errorf("Sync: %v, %d of %d bytes", err, s.synced, s.tail.size)
	}
	wantStats(t, s, "1 0 0 0 0")
}

// A message may look like blocks of a newer build. If the block that holds it is torn, the
// message is damaged like the rest of the block.
func TestMessageThatLooksLikeANewerBlock(t *testing.T) {
	b := event.NewBlock(1 << 10)
	b.Append(&event.Event{Message: append(make([]byte, 12), foreignBlock(testBlock(1, 1), 3)...)})
	b.Append(&event.Event{Message: make([]byte, 100)})
	b.Seal(ids.Next(), time.Now())

	dir := t.TempDir()
	s := openSpool(t, Options{Dir: dir})
	whole := testBlock(3, 10)
	seg := appendBlock(t, s, whole, false)
	appendBlock(t, s, b, false)
	crash(s)
	if err := os.Truncate(seg.path(), int64(whole.Size()+b.Size()-50)); err != nil {
		t.Fatal(err)
	}
	s = openSpool(t, Options{Dir: dir, Limit: 8 << 20})
	wantStats(t, s, "3 5 0 2 1")
	wantUnreadable(t, s, 0, 0)
	wantIDs(t, drain(t, s), whole)
	closeSpool(t, s)
}

// What is evicted while it is read counts as evicted, and not as damaged too.
func TestEvictedWhileItIsRead(t *testing.T) {
	var log bytes.Buffer
	s := openSpool(t, Options{Dir: t.TempDir(), Limit: 1 << 20, Log: slog.New(slog.NewTextHandler(&log, nil))})
	defer closeSpool(t, s)
	seg := appendBlock(t, s, testBlock(10, 6000), false)
	s.loadChunk()
	s.chunk = blockScanner{} // the file was gone before it was read
	if err := s.evict(seg); err != nil {
		t.Fatal(err)
	}
	wantIDs(t, drain(t, s))
	wantStats(t, s, "0 0 10 0 0")
	if log.Len() > 0 {
		t.Errorf("log: %s", log.String())
	}
}

// A block that is done after its segment is gone creates no file: that would stay until the
// next start.
func TestDoneAfterSegmentIsGone(t *testing.T) {
	dir := t.TempDir()
	s := openSpool(t, Options{Dir: dir})
	a, b := testBlock(1, 1), testBlock(2, 2)
	seg := appendBlock(t, s, a, true)
	appendBlock(t, s, b, true)
	if err := s.evict(seg); err != nil {
		t.Fatal(err)
	}
	if err := seg.writeDone(a.ID()); err != nil { // as Done does if it looked before
		t.Error(err)
	}
	if got := files(t, dir); len(got) > 0 {
		t.Errorf("files %q", got)
	}
	closeSpool(t, s)
}
