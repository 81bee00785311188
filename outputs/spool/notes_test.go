package spool

import (
	"path/filepath"
	"testing"
	"time"

	"dnsmonster-sensor/userspace/event"
)

// A word about a block that is not done is there for the next run, whether the block was on
// disk or is put back. It is no word about another block, and counts as no done block.
func TestNotes(t *testing.T) {
	dir := t.TempDir()
	s := openSpool(t, Options{Dir: dir, Limit: 1 << 20})
	first, second := testBlock(1, 1), testBlock(1, 2)
	if _, err := s.Append(first, false, time.Now()); err != nil {
		t.Fatal(err)
	}
	_, seg, _ := s.Next()
	if err := s.Note(seg, first.ID(), "shard 1"); err != nil {
		t.Error(err)
	}
	s.Requeue(seg, 1)
	if safe, err := s.PutBack([]*event.Block{second}, map[event.ID]string{second.ID(): "shard 2"}); safe != 1 || err != nil {
		t.Errorf("%d safe, %v", safe, err)
	}
	for range 2 { // the second time nothing has changed
		s.Close()
		s = openSpool(t, Options{Dir: dir, Limit: 1 << 20})
		if st := s.Stats(); st.Pending != 2 || st.Damaged != 0 {
			t.Errorf("%+v", st)
		}
	}
	for _, want := range []struct {
		b    *event.Block
		word string
	}{{second, "shard 2"}, {first, "shard 1"}} {
		b, seg, _ := s.Next()
		if b == nil || b.ID() != want.b.ID() {
			t.Fatalf("block %v, want %v", b, want.b.ID())
		}
		for _, word := range []string{"shard 1", "shard 2"} {
			if noted := seg.Noted(b.ID(), word); noted != (word == want.word) {
				t.Errorf("block of %q: %q is noted: %t", want.word, word, noted)
			}
		}
		if err := s.Done(seg, b.ID()); err != nil {
			t.Error(err)
		}
	}
	s.Close()
	if left, _ := filepath.Glob(dir + "/*.*"); len(left) != 0 {
		t.Errorf("all is done, but there is %v", left)
	}
}
