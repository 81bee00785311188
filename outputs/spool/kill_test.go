package spool

import (
	"bufio"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"dnsmonster-sensor/userspace/event"
)

// TestMain lets TestKill run this test binary as a process that can be killed.
func TestMain(m *testing.M) {
	if dir := os.Getenv("SPOOL_TEST_VICTIM"); dir != "" {
		victimProcess(dir)
	}
	os.Exit(m.Run())
}

// victimProcess uses a spool as a sensor does, and prints what it was promised: "+ id" once a
// block is stored, "- id" before it is done and "= id" afterwards.
func victimProcess(dir string) {
	s, err := Open(Options{Dir: dir, Limit: 64 << 20})
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	take := func(seg *Segment, id event.ID) {
		fmt.Println("-", id)
		if err := s.Done(seg, id); err != nil {
			fmt.Println(err)
		}
		fmt.Println("=", id)
	}
	for i := 0; ; i++ {
		b := testBlock(1+i%4, 100+i%7000)
		kept := i%3 == 0 && !s.HasPending()
		seg, err := s.Append(b, kept, time.Now())
		if err != nil {
			fmt.Println(err)
		}
		fmt.Println("+", b.ID())
		if kept {
			take(seg, b.ID())
		} else if i%2 == 0 {
			if b, seg, _ := s.Next(); b != nil {
				take(seg, b.ID())
			}
		}
		if i%50 == 0 {
			s.Sync()
		}
	}
}

// killVictim runs a process that uses the spool, and kills it after some lines of its
// output. It keeps the set waiting up to date: the blocks that are stored and not done.
// doubt is the block of an operation that may have gone either way.
func killVictim(t *testing.T, dir string, r *rand.Rand, waiting map[string]bool) (lines int, doubt string) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "SPOOL_TEST_VICTIM="+dir)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		cmd.Process.Kill()
		cmd.Wait()
	}()
	stop := 1 + r.IntN(400)
	for scan := bufio.NewScanner(out); scan.Scan(); {
		if lines++; lines == stop {
			time.AfterFunc(time.Duration(r.IntN(2000))*time.Microsecond, func() { cmd.Process.Kill() })
		}
		mark, id, _ := strings.Cut(scan.Text(), " ")
		switch mark {
		case "+":
			waiting[id] = true
		case "-":
			doubt = id
		case "=":
			delete(waiting, id)
			doubt = ""
		default:
			t.Fatalf("the process says: %s", scan.Text())
		}
	}
	return lines, doubt
}

// storedIDs are the blocks that wait in a spool.
func storedIDs(t *testing.T, dir string) map[string]bool {
	t.Helper()
	ids := make(map[string]bool)
	if _, err := Inspect(dir, func(b *event.Block) error {
		id := b.ID().String()
		if ids[id] {
			t.Errorf("block %s is there twice", id)
		}
		ids[id] = true
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return ids
}

// TestKill kills a process that uses the spool, again and again on the same folder. What was
// stored and not done is there afterwards, what was done is not; only the last operation
// may have gone either way.
func TestKill(t *testing.T) {
	dir := tmpfsDir(t)
	r := rand.New(rand.NewPCG(4, 4))
	waiting := make(map[string]bool)
	for round := range 40 {
		lines, doubt := killVictim(t, dir, r, waiting)
		stored := storedIDs(t, dir)
		for id := range waiting {
			if !stored[id] && id != doubt {
				t.Fatalf("round %d: block %s was stored and is gone; killed after %d lines", round, id, lines)
			}
		}
		extra := 0
		for id := range stored {
			if !waiting[id] {
				extra++ // stored, but killed before it was printed
			}
		}
		if extra > 1 {
			t.Fatalf("round %d: %d blocks that were done came back", round, extra)
		}
		waiting = stored
	}
	s := openSpool(t, Options{Dir: dir})
	if got := drain(t, s); len(got) != len(waiting) {
		t.Errorf("%d blocks came out, %d wait", len(got), len(waiting))
	}
	if st := s.Stats(); st.Pending != 0 || st.Evicted != 0 || st.Damaged > 4 { // the kill may have torn a block
		t.Errorf("%+v", st)
	}
	closeSpool(t, s)
}
