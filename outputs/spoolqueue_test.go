package outputs

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"dnsmonster-sensor/test/testlog"
	"dnsmonster-sensor/userspace/account"
	"dnsmonster-sensor/userspace/event"
)

// spoolSettings have memory for two small blocks on either side of the disk.
func spoolSettings(dir string, always bool) Settings {
	set := quick(1, 10)
	set.QueueBytes = 4 * (smallBlock + event.BlockHeaderLen)
	set.Spool = SpoolSettings{Dir: dir, Bytes: 64 << 20, Always: always}
	return set
}

// trickle offers n events, numbered from first on, slowly enough that none is dropped as
// long as the disk keeps up.
func trickle(t *testing.T, r *Runner, in *Intake, first, n int) {
	t.Helper()
	for i := range n {
		in.Offer(testEvent(uint16(first + i)))
		if i%10 == 9 {
			waitUntil(t, func() bool { return r.queue.hasRoom(sealedBlock(1)) })
		}
	}
	in.Flush()
}

// In an outage longer than memory can hold, everything arrives in order, with one worker,
// and nothing twice.
func TestSpoolOutage(t *testing.T) {
	for _, always := range []bool{false, true} {
		s := newDestination(true)
		r := testRunner(t, &s.fake, spoolSettings(t.TempDir(), always), true, nil)
		r.Start(context.Background())
		in := r.Intake()
		trickle(t, r, in, 0, 1000)
		s.setDown(false)
		trickle(t, r, in, 1000, 500)
		waitUntil(t, func() bool { return len(s.received()) == 1500 })
		r.Stop(context.Background())
		checkLedger(t, r, 1500, "delivered 1500, queue_full 0, abandoned 0")
		wantInOrder(t, s.received(), 1500)
	}
}

// What is left at a stop, wherever it is, is sent first after the next start, in order,
// under the same ids, and counts as recovered.
func TestSpoolStopAndStart(t *testing.T) {
	for _, always := range []bool{false, true} {
		dir := t.TempDir()
		s := newDestination(false)
		r := testRunner(t, &s.fake, spoolSettings(dir, always), true, nil)
		r.Start(context.Background())
		in := r.Intake()
		trickle(t, r, in, 0, 50)
		waitUntil(t, func() bool { return len(s.received()) == 50 })
		s.setDown(true)
		trickle(t, r, in, 50, 950)
		r.Stop(shortGrace())
		l := r.Ledger(func() uint64 { return 1000 })
		if l.Unaccounted() != 0 || l.Held != 950 || r.SpoolEvents() != 950 {
			t.Errorf("always %t: %d unaccounted, %d held, %d waiting: %+v", always, l.Unaccounted(), l.Held, r.SpoolEvents(), l)
		}

		for range 2 { // starts during the outage change nothing
			r = testRunner(t, &s.fake, spoolSettings(dir, always), true, nil)
			r.Start(context.Background())
			r.Stop(shortGrace())
			if l := r.Ledger(func() uint64 { return 0 }); l.In != 950 || l.Held != 950 || l.Unaccounted() != 0 {
				t.Errorf("always %t: in %d, held %d, want 950", always, l.In, l.Held)
			}
		}
		r = testRunner(t, &s.fake, spoolSettings(dir, always), true, nil)
		r.Start(context.Background())
		in = r.Intake()
		s.setDown(false)
		trickle(t, r, in, 1000, 20)
		waitUntil(t, func() bool { return len(s.received()) == 1020 })
		r.Stop(context.Background())
		checkLedger(t, r, 20, "delivered 970, recovered 950, abandoned 0")
		wantInOrder(t, s.received(), 1020)
		if left, _ := filepath.Glob(dir + "/fake/*.*"); len(left) != 0 {
			t.Errorf("always %t: all is delivered, but there is %v", always, left)
		}
	}
}

// A kill ends the process and leaves the folder as it is: with mode always only open blocks
// are missing then.
func TestSpoolKill(t *testing.T) {
	dir, after := t.TempDir(), t.TempDir()
	s := newDestination(false)
	r := testRunner(t, &s.fake, spoolSettings(dir, true), true, nil)
	r.Start(context.Background())
	in := r.Intake()
	trickle(t, r, in, 0, 100)
	waitUntil(t, func() bool { return len(s.received()) == 100 && r.Ledger(func() uint64 { return 100 }).Held == 0 })
	s.setDown(true)
	trickle(t, r, in, 100, 400)
	waitUntil(t, func() bool { return empty(r.queue) && r.counters.Sum(account.DeliveryHeld) == 400 })
	in.Offer(testEvent(9999)) // in an open block
	if out, err := exec.Command("cp", "-r", dir+"/fake", after).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}

	next := newDestination(false)
	r2 := testRunner(t, &next.fake, spoolSettings(after, true), true, nil)
	r2.Start(context.Background())
	waitUntil(t, func() bool { return len(next.received()) >= 400 })
	r2.Stop(context.Background())
	checkLedger(t, r2, 0, "delivered 400, recovered 400")
	wantInOrder(t, append(s.received(), next.received()...), 500)
	in.Flush()
	r.Stop(shortGrace())
}

// Without room on disk, memory is the bound, as without a spool, and what does not fit is
// counted. When there is room again, spooling goes on.
func TestSpoolDiskFull(t *testing.T) {
	for _, always := range []bool{false, true} {
		var text testlog.Log
		set := spoolSettings(t.TempDir(), always)
		set.Spool.Free = math.MaxInt64 / 2
		s := newDestination(true)
		r := testRunner(t, &s.fake, set, true, slog.New(slog.NewTextHandler(&text, nil)))
		r.Start(context.Background())
		in := r.Intake()
		for i := range 500 {
			in.Offer(testEvent(uint16(i)))
			if i%10 == 0 {
				time.Sleep(time.Millisecond) // the lanes' queue is not always full
			}
		}
		in.Flush()
		waitUntil(t, func() bool { return text.Count("the spool cannot be written") > 0 })
		s.setDown(false)
		waitUntil(t, func() bool {
			l := r.Ledger(func() uint64 { return 500 })
			return l.Held == 0 && l.Unaccounted() == 0
		})
		trickle(t, r, in, 500, 100)
		r.Stop(context.Background())
		l := r.Ledger(func() uint64 { return 600 })
		dropped := l.Outcomes[account.QueueFull].Value
		if l.Unaccounted() != 0 || l.Held != 0 || l.Outcomes[account.Delivered].Value+dropped != 600 || dropped < 300 || dropped > 480 {
			t.Errorf("always %t: %+v", always, l)
		}
		if got := s.received(); !slices.IsSorted(got) || len(got) != int(600-dropped) {
			t.Errorf("always %t: %d arrived, in order %t", always, len(got), slices.IsSorted(got))
		}
		if n := text.Count("the spool cannot be written"); n != 1 {
			t.Errorf("always %t: %d lines about the disk, want 1", always, n)
		}
	}
}

// What neither the destination nor the disk has taken at a stop counts as abandoned.
func TestStopWithoutRoomOnDisk(t *testing.T) {
	for _, always := range []bool{false, true} {
		set := spoolSettings(t.TempDir(), always)
		set.Spool.Free = math.MaxInt64 / 2
		r := testRunner(t, &newDestination(true).fake, set, true, nil)
		r.Start(context.Background())
		in := r.Intake()
		for i := range 500 {
			in.Offer(testEvent(uint16(i)))
			if i%10 == 0 {
				time.Sleep(time.Millisecond)
			}
		}
		in.Flush()
		r.Stop(shortGrace())
		l := r.Ledger(func() uint64 { return 500 })
		if l.Unaccounted() != 0 || l.Held != 0 || l.Outcomes[account.Abandoned].Value == 0 {
			t.Errorf("always %t: %+v", always, l)
		}
	}
}

// At its bound the spool evicts its oldest blocks; memory is not affected, and the counts
// agree.
func TestSpoolEvicts(t *testing.T) {
	set := spoolSettings(t.TempDir(), false)
	set.Spool.Bytes = minSpool
	s := newDestination(true)
	r := testRunner(t, &s.fake, set, true, nil)
	r.Start(context.Background())
	in := r.Intake()
	large := testEvent(0)
	large.Message = append(large.Message, make([]byte, 60000)...)
	const n = 400 // 24 MB
	for i := range n {
		large.Message[0], large.Message[1] = byte(i>>8), byte(i)
		in.Offer(large)
		in.Flush()
		waitUntil(t, func() bool { return empty(r.queue) })
	}
	waitUntil(t, func() bool { l := r.Ledger(func() uint64 { return n }); return l.Unaccounted() == 0 })
	if size := r.spool.spool.Stats().Bytes; size > minSpool {
		t.Errorf("%d bytes on disk, the bound is %d", size, minSpool)
	}
	s.setDown(false)
	waitUntil(t, func() bool { l := r.Ledger(func() uint64 { return n }); return l.Held == 0 })
	r.Stop(context.Background())
	l := r.Ledger(func() uint64 { return n })
	evicted := l.Outcomes[account.SpoolEvicted].Value
	if l.Unaccounted() != 0 || evicted < 200 || evicted > 300 || len(s.received()) != n-int(evicted) || !slices.IsSorted(s.received()) {
		t.Errorf("%d evicted, %d arrived: %+v", evicted, len(s.received()), l)
	}
}

// With a file nothing is evicted: if the spool is too small, everybody waits for the
// destination.
func TestSpoolWithAFile(t *testing.T) {
	for _, always := range []bool{false, true} {
		set := spoolSettings(t.TempDir(), always)
		set.Spool.Bytes, set.BatchSize = minSpool, 1
		s := newDestination(true)
		r := testRunner(t, &s.fake, set, false, nil)
		r.Start(context.Background())
		time.AfterFunc(50*time.Millisecond, func() { s.setDown(false) })
		in := r.Intake()
		large := testEvent(0)
		large.Message = append(large.Message, make([]byte, 60000)...)
		const n = 500 // 30 MB
		for i := range n {
			large.Message[0], large.Message[1] = byte(i>>8), byte(i)
			in.Offer(large)
		}
		in.Flush()
		r.Stop(context.Background())
		checkLedger(t, r, n, "delivered 500, spool_evicted 0")
		wantInOrder(t, s.received(), n)
	}
}

// If a writer hangs at the stop, its block is not lost.
func TestSpoolStuckWriter(t *testing.T) {
	dir := t.TempDir()
	release := make(chan struct{})
	s := newDestination(false)
	s.write = func(context.Context, *event.Block) (int, error) {
		<-release
		return 0, nil
	}
	r := testRunner(t, &s.fake, spoolSettings(dir, false), true, nil)
	r.Start(context.Background())
	offer(r.Intake(), 10)
	waitUntil(t, func() bool { return empty(r.queue) && empty(r.spool.front) })
	r.Stop(shortGrace())
	if l := r.Ledger(func() uint64 { return 10 }); l.Held != 10 || l.Unaccounted() != 0 {
		t.Errorf("held %d, want 10: %+v", l.Held, l)
	}
	close(release)
	s = newDestination(false)
	r = testRunner(t, &s.fake, spoolSettings(dir, false), true, nil)
	r.Start(context.Background())
	waitUntil(t, func() bool { return len(s.received()) == 10 })
	r.Stop(context.Background())
	checkLedger(t, r, 0, "delivered 10, recovered 10")
}

// If the destination took part of a block, the spool keeps the rest.
func TestSpoolPartial(t *testing.T) {
	for _, always := range []bool{false, true} {
		dir := t.TempDir()
		attempts := 0
		s := newDestination(false)
		s.write = func(_ context.Context, b *event.Block) (int, error) {
			if attempts++; attempts == 1 {
				return 3, &Partial{[]int{7, 8}, errors.New("busy")}
			}
			return 0, errors.New("busy")
		}
		r := testRunner(t, &s.fake, spoolSettings(dir, always), true, nil)
		r.Start(context.Background())
		offer(r.Intake(), 10)
		waitUntil(t, func() bool { return r.counters.Sum(account.Retries) > 1 })
		r.Stop(shortGrace())
		l := r.Ledger(func() uint64 { return 10 })
		if l.Unaccounted() != 0 || l.Held != 2 || l.Outcomes[account.Refused].Value != 3 || l.Outcomes[account.Delivered].Value != 5 {
			t.Errorf("always %t: %+v", always, l)
		}
		s = newDestination(false)
		r = testRunner(t, &s.fake, spoolSettings(dir, always), true, nil)
		r.Start(context.Background())
		waitUntil(t, func() bool { return len(s.received()) > 1 })
		r.Stop(context.Background())
		checkLedger(t, r, 0, "delivered 2, recovered 2")
		if got := s.received(); !slices.Equal(got, []int{7, 8}) {
			t.Errorf("always %t: after the restart %v arrived, want 7 and 8", always, got)
		}
	}
}

// Damage on disk while the spool is in use costs the damaged block, and is counted.
func TestSpoolDamage(t *testing.T) {
	dir := t.TempDir()
	s := newDestination(true)
	r := testRunner(t, &s.fake, spoolSettings(dir, false), true, nil)
	r.Start(context.Background())
	in := r.Intake()
	trickle(t, r, in, 0, 500)
	waitUntil(t, func() bool { return empty(r.queue) })
	files, _ := filepath.Glob(dir + "/fake/*.blocks")
	data, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	data[len(data)/2] ^= 4
	if err := os.WriteFile(files[0], data, 0o600); err != nil {
		t.Fatal(err)
	}
	s.setDown(false)
	waitUntil(t, func() bool { return r.Ledger(func() uint64 { return 500 }).Held == 0 })
	r.Stop(context.Background())
	checkLedger(t, r, 500, "delivered 490, spool_damaged 10, set_aside 1")
}

// Many lanes, many workers, outages and restarts: every event arrives once.
func TestSpoolConcurrent(t *testing.T) {
	for _, always := range []bool{false, true} {
		dir := t.TempDir()
		seen := make(map[int]int)
		var dropped uint64
		for round := range 4 {
			s := newDestination(true)
			set := spoolSettings(dir, always)
			set.Workers = 4
			set.QueueBytes = 1 << 20
			r := testRunner(t, &s.fake, set, true, nil)
			r.Start(context.Background())
			var lanes sync.WaitGroup
			for lane := range 3 {
				in := r.Intake()
				lanes.Go(func() {
					for i := range 2000 {
						in.Offer(testEvent(uint16(round*6000 + lane*2000 + i)))
						if i%100 == 0 {
							time.Sleep(time.Millisecond)
							s.setDown(i%300 != 0)
						}
					}
					in.Flush()
				})
			}
			lanes.Wait()
			s.setDown(round < 2)
			r.Stop(shortGrace())
			l := r.Ledger(func() uint64 { return 6000 })
			dropped += l.Outcomes[account.QueueFull].Value
			if l.Unaccounted() != 0 || l.Held != r.SpoolEvents() || l.Outcomes[account.Abandoned].Value != 0 {
				t.Errorf("always %t, round %d: %+v", always, round, l)
			}
			for _, id := range s.received() {
				seen[id]++
			}
		}
		s := newDestination(false)
		r := testRunner(t, &s.fake, spoolSettings(dir, always), true, nil)
		r.Start(context.Background())
		waitUntil(t, func() bool { return r.Ledger(func() uint64 { return 0 }).Held == 0 })
		r.Stop(context.Background())
		for _, id := range s.received() {
			seen[id]++
		}
		if len(seen)+int(dropped) != 24000 {
			t.Errorf("always %t: %d arrived, %d dropped, of 24000", always, len(seen), dropped)
		}
		for id, n := range seen {
			if n != 1 {
				t.Fatalf("always %t: event %d arrived %d times", always, id, n)
			}
		}
	}
}

// An output whose destination hangs does not slow down another: otherwise this test would
// not end.
func TestSlowOutputSlowsNoOther(t *testing.T) {
	hang := make(chan struct{})
	slow := newDestination(false)
	slow.write = func(ctx context.Context, _ *event.Block) (int, error) {
		select {
		case <-hang:
		case <-ctx.Done():
		}
		return 0, ctx.Err()
	}
	fast := newDestination(false)
	a := testRunner(t, &slow.fake, quick(1, 10), true, nil)
	b := testRunner(t, &fast.fake, quick(1, 10), true, nil)
	a.Start(context.Background())
	b.Start(context.Background())
	x, y := a.Intake(), b.Intake()
	const n = 200000
	for i := range n {
		x.Offer(testEvent(uint16(i)))
		y.Offer(testEvent(uint16(i)))
		if i%1000 == 0 { // the fast output sets the lane's pace here
			waitUntil(t, func() bool { return b.queue.hasRoom(sealedBlock(1)) })
		}
	}
	x.Flush()
	y.Flush()
	b.Stop(context.Background())
	a.Stop(shortGrace())
	checkLedger(t, b, n, "delivered 200000")
	close(hang)
}

// A disk that hangs does not keep the program from ending. What may not have been stored
// counts as held, and is logged.
func TestSpoolDiskHangs(t *testing.T) {
	var text bytes.Buffer
	r := testRunner(t, &newDestination(true).fake, spoolSettings(t.TempDir(), false), true, slog.New(slog.NewTextHandler(&text, nil)))
	r.spool.closeTimeout = time.Millisecond
	in := r.Intake() // without Start, move never ends
	offer(in, 10)
	in.Flush()
	r.Stop(context.Background())
	if n, m := r.Stuck(), r.SpoolEvents(); n != 10 || m != 0 {
		t.Errorf("%d events stuck and %d waiting, want 10 and 0", n, m)
	}
	if !strings.Contains(text.String(), "the spool's disk does not answer") {
		t.Errorf("log: %s", text.String())
	}
}
