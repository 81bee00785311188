package spool

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"dnsmonster-sensor/test/await"
	"dnsmonster-sensor/userspace/dns"
	"dnsmonster-sensor/userspace/event"
)

var ids = event.NewIDs()

// testBlock is a sealed block of n events, each with size bytes after its header.
func testBlock(n, size int) *event.Block {
	b := event.NewBlock(1024)
	for i := range n {
		e := &event.Event{
			Time: int64(i), Src: netip.MustParseAddrPort("192.0.2.1:5353"), Dst: netip.MustParseAddrPort("192.0.2.53:53"),
			Proto: event.UDP, Message: append(make([]byte, 12), bytes.Repeat([]byte{byte(i + 1)}, size)...),
		}
		dns.Read(e.Message, false, &e.DNS)
		b.Append(e)
	}
	b.Seal(ids.Next(), time.Unix(1700000000, 0))
	return b
}

func openSpool(t testing.TB, o Options) *Spool {
	t.Helper()
	if o.Limit == 0 {
		o.Limit = 64 << 20
	}
	s, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func appendBlock(t testing.TB, s *Spool, b *event.Block, kept bool) *Segment {
	t.Helper()
	seg, err := s.Append(b, kept, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return seg
}

func closeSpool(t testing.TB, s *Spool) {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

func segmentPath(dir string, number uint64) string {
	return filepath.Join(dir, fileName(number, blocksSuffix))
}

// crash releases the folder as a killed process does.
func crash(s *Spool) { s.lock.Close() }

// drain takes everything that is pending, and marks it as done.
func drain(t testing.TB, s *Spool) (ids []event.ID) {
	t.Helper()
	for {
		b, seg, _ := s.Next()
		if b == nil {
			return ids
		}
		ids = append(ids, b.ID())
		if err := s.Done(seg, b.ID()); err != nil {
			t.Fatal(err)
		}
	}
}

func wantIDs(t testing.TB, got []event.ID, want ...*event.Block) {
	t.Helper()
	var list []event.ID
	for _, b := range want {
		list = append(list, b.ID())
	}
	if !slices.Equal(got, list) {
		t.Errorf("got blocks %v, want %v", got, list)
	}
}

// wantStats compares "pending recovered evicted damaged set-aside".
func wantStats(t testing.TB, s *Spool, want string) {
	t.Helper()
	st := s.Stats()
	if got := fmt.Sprint(st.Pending, st.Recovered, st.Evicted, st.Damaged, st.SetAside); got != want {
		t.Errorf("pending, recovered, evicted, damaged, set aside: %s, want %s", got, want)
	}
}

func files(t testing.TB, dir string) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if e.Name() != lockName {
			names = append(names, e.Name())
		}
	}
	return names
}

func TestBlocksComeBackInOrder(t *testing.T) {
	dir := t.TempDir()
	s := openSpool(t, Options{Dir: dir, Limit: 4 << 20}) // segments of 256 KiB
	var all []*event.Block
	for range 20 {
		b := testBlock(5, 10000)
		all = append(all, b)
		appendBlock(t, s, b, false)
	}
	wantStats(t, s, "100 0 0 0 0")
	if n := len(files(t, dir)); n != 4 {
		t.Errorf("%d segments, want 4: %v", n, files(t, dir))
	}
	wantIDs(t, drain(t, s), all...)
	wantStats(t, s, "0 0 0 0 0")
	closeSpool(t, s)
	if left := files(t, dir); len(left) != 0 {
		t.Errorf("all is delivered, but there is %v", left)
	}
}

// Writing and reading alternate; what is written while its segment is read is read too.
func TestReadingFollowsWriting(t *testing.T) {
	s := openSpool(t, Options{Dir: t.TempDir()})
	defer closeSpool(t, s)
	for range 5 {
		a, b, c := testBlock(1, 1), testBlock(2, 2), testBlock(3, 3)
		appendBlock(t, s, a, false)
		appendBlock(t, s, b, false)
		first, seg, _ := s.Next()
		s.Done(seg, first.ID())
		appendBlock(t, s, c, false)
		wantIDs(t, append([]event.ID{first.ID()}, drain(t, s)...), a, b, c)
		kept := testBlock(4, 4) // never comes from Next
		s.Done(appendBlock(t, s, kept, true), kept.ID())
	}
	wantStats(t, s, "0 0 0 0 0")
}

// After a crash everything that is not done comes back, under its id, including what the process
// was delivering; what is done does not.
func TestCrash(t *testing.T) {
	dir := t.TempDir()
	s := openSpool(t, Options{Dir: dir})
	a, b, c, d := testBlock(1, 1), testBlock(2, 2), testBlock(3, 3), testBlock(4, 4)
	seg := appendBlock(t, s, a, true)
	appendBlock(t, s, b, true)
	appendBlock(t, s, c, false)
	appendBlock(t, s, d, false)
	s.Next() // c is handed out
	s.Done(seg, a.ID())
	crash(s)

	s = openSpool(t, Options{Dir: dir})
	wantStats(t, s, "9 9 0 0 0")
	got, seg, _ := s.Next()
	s.Done(seg, got.ID())
	crash(s)

	s = openSpool(t, Options{Dir: dir})
	wantStats(t, s, "7 7 0 0 0")
	wantIDs(t, drain(t, s), c, d)
	closeSpool(t, s)
	if left := files(t, dir); len(left) != 0 {
		t.Errorf("all is delivered, but there is %v", left)
	}
}

// What is left at a stop is stored before what was on disk already.
func TestPutBackAndRequeue(t *testing.T) {
	dir := t.TempDir()
	s := openSpool(t, Options{Dir: dir, Limit: 2 << 20})
	x, y := testBlock(1, 1), testBlock(1, 1)
	seg := appendBlock(t, s, x, true)
	appendBlock(t, s, y, false)
	var back []*event.Block
	for range 10 { // more than a segment's worth
		back = append(back, testBlock(1, 40000))
	}
	if !s.Requeue(seg, x.Len()) {
		t.Error("Requeue says that the block is gone")
	}
	if safe, err := s.PutBack(back, nil); safe != 10 || err != nil {
		t.Errorf("PutBack = %d, %v; want 10, nil", safe, err)
	}
	wantStats(t, s, "12 0 0 0 0")
	closeSpool(t, s)
	s = openSpool(t, Options{Dir: dir})
	wantIDs(t, drain(t, s), append(back, x, y)...)
	closeSpool(t, s)
}

// The oldest segments are evicted for newer blocks, and counted, but not what was handed out
// of them.
func TestEviction(t *testing.T) {
	s := openSpool(t, Options{Dir: t.TempDir(), Limit: 1 << 20}) // segments of 64 KiB: one block of this size
	defer closeSpool(t, s)
	var all []*event.Block
	for range 15 {
		b := testBlock(10, 6000)
		all = append(all, b)
		appendBlock(t, s, b, false)
	}
	first, seg, _ := s.Next()
	for range 5 {
		b := testBlock(10, 6000)
		all = append(all, b)
		appendBlock(t, s, b, false)
	}
	if s.Stats().Bytes > 1<<20 {
		t.Errorf("%d bytes, the bound is 1 MiB", s.Stats().Bytes)
	}
	evicted := int(s.Stats().Evicted)
	if evicted != 20 {
		t.Errorf("%d events evicted, want 20: of three segments, one handed out", evicted)
	}
	if err := s.Done(seg, first.ID()); err != nil {
		t.Error(err)
	}
	if s.Requeue(seg, first.Len()) {
		t.Error("Requeue says that an evicted block is on disk")
	}
	wantIDs(t, drain(t, s), all[3:]...)
	big := []*event.Block{testBlock(10, 60000), testBlock(10, 60000)} // together more than Limit
	if safe, err := s.PutBack(big, nil); safe != 2 || err != nil {
		t.Errorf("PutBack = %d, %v; want 2, nil", safe, err)
	}
	wantStats(t, s, "10 0 30 0 0")
}

func TestWaitAndFreeSpace(t *testing.T) {
	s := openSpool(t, Options{Dir: t.TempDir(), Limit: 1 << 20, Wait: true})
	defer closeSpool(t, s)
	var err error
	for err == nil {
		_, err = s.Append(testBlock(10, 6000), false, time.Now())
	}
	if !errors.Is(err, ErrFull) || s.Stats().Evicted != 0 {
		t.Errorf("error %v, %d evicted; want ErrFull, 0", err, s.Stats().Evicted)
	}
	if n := s.Stats().Bytes; n > 1<<19 {
		t.Errorf("%d bytes are stored before the end, want at most half of the limit", n)
	}
	b, seg, _ := s.Next()
	s.Done(seg, b.ID())
	appendBlock(t, s, testBlock(1, 1), false)
	next, seg, _ := s.Next()
	s.Done(seg, next.ID())
	select {
	case <-s.Freed():
	default:
		t.Error("a segment is gone, but Freed has no token")
	}
	full := openSpool(t, Options{Dir: t.TempDir(), Free: 1 << 60})
	defer closeSpool(t, full)
	if _, err := full.Append(testBlock(1, 1), false, time.Now()); !errors.Is(err, ErrNoSpace) {
		t.Errorf("error %v, want ErrNoSpace", err)
	}
	if _, err := full.PutBack([]*event.Block{testBlock(1, 1)}, nil); !errors.Is(err, ErrNoSpace) {
		t.Errorf("error %v, want ErrNoSpace", err)
	}
	wantStats(t, full, "0 0 0 0 0")
}

func TestLockAndRights(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "psql")
	s := openSpool(t, Options{Dir: dir})
	_, err := Open(Options{Dir: dir, Limit: 1 << 20})
	if !errors.Is(err, ErrInUse) || !strings.Contains(err.Error(), fmt.Sprint(os.Getpid())) || !strings.Contains(err.Error(), "another folder") {
		t.Errorf("a second Open: %v", err)
	}
	if err := Drop(dir); !errors.Is(err, ErrInUse) {
		t.Errorf("Drop of a spool in use: %v", err)
	}
	seg := appendBlock(t, s, testBlock(1, 1), false)
	s.Done(seg, event.ID{})
	s.Sync()
	for _, path := range []string{dir, seg.path(), filepath.Join(dir, fileName(seg.number, doneSuffix))} {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s is open to others: %v", path, info.Mode())
		}
	}
	if info, err := Inspect(dir, nil); err != nil || !info.InUse || info.Events != 1 || info.Segments != 1 {
		t.Errorf("Inspect = %+v, %v", info, err)
	}
	closeSpool(t, s)
	if info, err := Inspect(dir, nil); err != nil || info.InUse {
		t.Errorf("Inspect after Close = %+v, %v", info, err)
	}
	if err := Drop(dir); err != nil || len(files(t, dir)) != 0 {
		t.Errorf("Drop: %v, left %v", err, files(t, dir))
	}
}

// A file that vanishes, or cannot be read, while the spool is in use costs what was in it.
func TestSegmentVanishes(t *testing.T) {
	var log bytes.Buffer
	s := openSpool(t, Options{Dir: t.TempDir(), Limit: 1 << 20, Log: slog.New(slog.NewTextHandler(&log, nil))})
	defer closeSpool(t, s)
	gone, stays := testBlock(10, 6000), testBlock(10, 6000)
	seg := appendBlock(t, s, gone, false)
	appendBlock(t, s, stays, false)
	os.Remove(seg.path())
	wantIDs(t, drain(t, s), stays)
	wantStats(t, s, "0 0 0 10 0")
	if !strings.Contains(log.String(), fileName(seg.number, blocksSuffix)) {
		t.Errorf("the log does not name the segment:\n%s", log.String())
	}
}

// One writer and several readers: each block comes out once.
func TestConcurrent(t *testing.T) {
	s := openSpool(t, Options{Dir: t.TempDir(), Limit: 32 << 20})
	defer closeSpool(t, s)
	const n = 3000
	var wg sync.WaitGroup
	var mu sync.Mutex
	seen := make(map[event.ID]int)
	stop := make(chan struct{})
	for range 4 {
		wg.Go(func() {
			for {
				b, seg, _ := s.Next()
				if b == nil {
					select {
					case <-stop:
						return
					default:
						continue
					}
				}
				mu.Lock()
				seen[b.ID()]++
				mu.Unlock()
				s.Done(seg, b.ID())
			}
		})
	}
	for i := range n {
		if _, err := s.Append(testBlock(1+i%3, 300), false, time.Now()); err != nil {
			t.Error(err)
		}
	}
	await.True(t, "nothing is pending", func() bool { return !s.HasPending() })
	close(stop)
	wg.Wait()
	for id, times := range seen {
		if times != 1 {
			t.Fatalf("block %s came %d times", id, times)
		}
	}
	if len(seen) != n {
		t.Errorf("%d blocks came out, want %d", len(seen), n)
	}
	wantStats(t, s, "0 0 0 0 0")
}

func BenchmarkAppend(b *testing.B) {
	s := openSpool(b, Options{Dir: b.TempDir(), Limit: 256 << 20})
	defer s.Close()
	blk := testBlock(1000, 80)
	b.SetBytes(int64(blk.Size()))
	for b.Loop() {
		if _, err := s.Append(blk, false, time.Now()); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkNext(b *testing.B) {
	s := openSpool(b, Options{Dir: b.TempDir(), Limit: 256 << 20})
	defer s.Close()
	blk := testBlock(1000, 80)
	b.SetBytes(int64(blk.Size()))
	for b.Loop() {
		if !s.HasPending() {
			b.StopTimer()
			for range 500 {
				if _, err := s.Append(blk, false, time.Now()); err != nil {
					b.Fatal(err)
				}
			}
			b.StartTimer()
		}
		got, seg, _ := s.Next()
		s.Done(seg, got.ID())
	}
}

// A done block that cannot be noted, as on a full disk, is noted later: otherwise it would
// be sent again after a restart.
func TestDoneIsNotedLater(t *testing.T) {
	dir := t.TempDir()
	s := openSpool(t, Options{Dir: dir})
	a, b, c, d := testBlock(1, 1), testBlock(2, 2), testBlock(3, 3), testBlock(4, 4)
	seg := appendBlock(t, s, a, true)
	for _, x := range []*event.Block{b, c, d} {
		appendBlock(t, s, x, true)
	}
	list := filepath.Join(dir, fileName(seg.number, doneSuffix))
	if err := os.Mkdir(list, 0o700); err != nil { // in the way of the list
		t.Fatal(err)
	}
	for _, x := range []*event.Block{a, b} {
		if err := s.Done(seg, x.ID()); err == nil {
			t.Error("Done reports no error")
		}
	}
	os.Remove(list)
	if err := s.Done(seg, c.ID()); err != nil {
		t.Error(err)
	}
	crash(s)
	s = openSpool(t, Options{Dir: dir})
	wantIDs(t, drain(t, s), d)
	closeSpool(t, s)

	s = openSpool(t, Options{Dir: dir})
	seg = appendBlock(t, s, a, true)
	appendBlock(t, s, b, true)
	list = filepath.Join(dir, fileName(seg.number, doneSuffix))
	if err := os.Mkdir(list, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := s.Done(seg, a.ID()); err == nil {
		t.Error("Done reports no error")
	}
	os.Remove(list)
	closeSpool(t, s) // tries once more
	s = openSpool(t, Options{Dir: dir})
	wantIDs(t, drain(t, s), b)
	closeSpool(t, s)
}
