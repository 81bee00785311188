//go:build linux

package file

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"runtime/debug"
	"slices"
	"strings"
	"testing"

	"dnsmonster-sensor/userspace/packet"
)

// everyThird selects the unpinned frames among those of numbered.
func everyThird(p *packet.Packet) bool { return binary.LittleEndian.Uint32(p.Data[1:])%3 == 0 }

// openMapped opens one capture file of numbered frames for some lanes.
func openMapped(t testing.TB, lanes, frames int, unpinned func(*packet.Packet) bool) (*Source, string) {
	t.Helper()
	path := write(t, pcapFile(binary.LittleEndian, pcapMicros, 1, numbered(0, frames)...))
	s, err := Open(Options{Paths: []string{path}, Lanes: lanes, Choose: byFirstByte, Unpinned: unpinned})
	if err != nil {
		t.Fatal(err)
	}
	return s, path
}

// TestCursorIsShared: each frame is returned once, a pinned one on its own lane, and
// every lane gets its frames in file order.
func TestCursorIsShared(t *testing.T) {
	const n = 50_000
	never := func(*packet.Packet) bool { return false }
	always := func(*packet.Packet) bool { return true }
	for _, lanes := range []int{1, 2, 3, 8} {
		for i, unpinned := range []func(*packet.Packet) bool{nil, never, everyThird, always} {
			s, _ := openMapped(t, lanes, n, unpinned)
			complete(t, fmt.Sprint(lanes, " lanes, case ", i), drain(t, s), n)
			if share, known := s.Progress(); s.Given() != n || s.Err() != nil || share != 1 || !known {
				t.Errorf("%d lanes: Given is %d, error %v, progress %v", lanes, s.Given(), s.Err(), share)
			}
		}
	}
}

// TestCursorWaitsForSlowLane: if one lane does not read, the others stop when a bounded
// number of packets waits for it, and go on when it reads.
func TestCursorWaitsForSlowLane(t *testing.T) {
	const n = 50_000
	s, _ := openMapped(t, 2, n, everyThird)
	var b packet.Batch
	given, last := 0, -1
	for {
		err := s.Lanes()[0].Read(&b)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			break
		}
		if err != nil {
			t.Fatalf("lane 0 came to the end (%v) while lane 1 had read nothing", err)
		}
		given += len(b.Packets)
		last = int(binary.LittleEndian.Uint32(b.Packets[len(b.Packets)-1].Data[1:]))
	}
	waits := len(s.inputs[0].cursor.pinned[1])
	if waits < pinnedLimit || waits >= pinnedLimit+cursorBatch || int(s.Given()) != given+waits {
		t.Errorf("%d packets wait for lane 1, lane 0 got %d, Given is %d", waits, given, s.Given())
	}
	if share, _ := s.Progress(); share <= 0 || share >= 0.5 {
		t.Errorf("progress %v while a lane waits", share)
	}
	rest := drain(t, s)
	if len(rest)+given != n || s.Given() != n || s.Err() != nil {
		t.Errorf("%d frames up to %d, then %d more; Given is %d, error %v", given, last, len(rest), s.Given(), s.Err())
	}
}

// TestCursorReleases: a file that has been read uses no memory while others follow.
func TestCursorReleases(t *testing.T) {
	s, path := openMapped(t, 1, 50_000, nil)
	complete(t, "one lane", drain(t, s), 50_000)
	if kb := resident(t, path); kb != 0 {
		t.Errorf("%d kB of the file are in memory after its end was read", kb)
	}
	s.unmap()
}

// resident is how much of a mapped file is in the process's memory, proc_pid_smaps(5).
func resident(t *testing.T, path string) (kb int) {
	t.Helper()
	maps, err := os.ReadFile("/proc/self/smaps")
	if err != nil {
		t.Fatal(err)
	}
	_, of, found := strings.Cut(string(maps), path+"\n")
	_, rss, _ := strings.Cut(of, "Rss:")
	if _, err := fmt.Sscan(rss, &kb); !found || err != nil {
		t.Fatalf("%s is not mapped, or has no Rss: %v", path, err)
	}
	return kb
}

// TestCursorClose: after Close the lanes return the packets that wait for them, and no
// more.
func TestCursorClose(t *testing.T) {
	s, _ := openMapped(t, 3, 50_000, nil)
	var b packet.Batch
	if err := s.Lanes()[0].Read(&b); err != nil {
		t.Fatal(err)
	}
	got := len(b.Packets)
	s.Close()
	if got += len(drain(t, s)); got < cursorBatch || got >= 3*pinnedLimit || s.Given() != uint64(got) || s.Err() != nil {
		t.Errorf("lanes returned %d, Given is %d; error %v", got, s.Given(), s.Err())
	}
}

// TestCursorOneFileAfterTheOther: a lane gets the pinned packets of one file before those
// of the next file, also if that is a stream.
func TestCursorOneFileAfterTheOther(t *testing.T) {
	const each = 3000
	var paths []string
	for i, kind := range []string{"", "gzip", "", ""} {
		paths = append(paths, write(t, compress(t, kind, pcapFile(binary.LittleEndian, pcapMicros, 1, numbered(i*each, each)...))))
	}
	for range 20 {
		s, err := Open(Options{Paths: paths, Lanes: 3, Choose: byFirstByte, Unpinned: everyThird})
		if err != nil {
			t.Fatal(err)
		}
		complete(t, "four files", drain(t, s), 4*each)
		for _, in := range s.inputs {
			if in.cursor != nil && slices.ContainsFunc(in.cursor.pinned, func(list []packet.Packet) bool { return list != nil }) {
				t.Error("a file that all lanes have finished still uses memory")
			}
		}
	}
}

// TestCursorShrinks: a file that becomes shorter ends for all lanes, whichever step finds
// the bytes gone. Every packet that was read has one lane.
func TestCursorShrinks(t *testing.T) {
	f := func(name string, at int, touch bool) {
		t.Run(name, func(t *testing.T) {
			defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
			calls := 0
			var path string
			s, path := openMapped(t, 3, 50_000, func(p *packet.Packet) bool {
				if calls++; calls == at {
					if err := os.Truncate(path, 0); err != nil {
						t.Error(err)
					}
				}
				return touch && everyThird(p) || calls%2 == 0
			})
			given := 0
			var b packet.Batch
			for _, l := range s.Lanes() {
				for l.Read(&b) == nil {
					given += len(b.Packets)
					if calls >= at && len(b.Packets) > 0 && !faults(func() { _ = string(b.Packets[0].Data) }) {
						t.Error("the bytes are still there")
					}
				}
			}
			if err := s.Err(); err == nil || s.Given() != uint64(given) || given != at {
				t.Errorf("lanes returned %d, Given is %d, want %d; error %v", given, s.Given(), at, err)
			}
			if calls != at {
				t.Errorf("%d packets were assigned to lanes, want %d", calls, at)
			}
		})
	}
	f("between headers", 300, false)
	f("while a lane is chosen", 300, true)
	f("between batches", 2*cursorBatch, false)
}

// TestCursorAllocatesNothing: once buffers have grown, reading allocates nothing, for
// pinned and unpinned packets.
func TestCursorAllocatesNothing(t *testing.T) {
	s, _ := openMapped(t, 3, 300_000, everyThird)
	var batches [3]packet.Batch
	lanes := s.Lanes()
	read := func() {
		for i, l := range lanes {
			if err := l.Read(&batches[i]); err != nil {
				t.Fatal(err)
			}
		}
	}
	for range 20 {
		read()
	}
	if n := testing.AllocsPerRun(100, read); n != 0 {
		t.Errorf("Read allocates %v times, want 0", n)
	}
}
