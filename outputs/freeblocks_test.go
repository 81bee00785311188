package outputs

import (
	"testing"

	"dnsmonster-sensor/userspace/event"
)

// The pool does not keep a block that an oversized event has grown.
func TestFreeBlocksAreBounded(t *testing.T) {
	free := &freeBlocks{blocks: make(chan *event.Block, 1), batches: make(chan *event.Block, 1), largest: 4 * blockTarget}
	free.put(event.NewBlock(3 * blockTarget))
	if len(free.batches)+len(free.blocks) != 0 {
		t.Error("an oversized block is kept")
	}
	free.put(event.NewBlock(10))
	free.put(event.NewBlock(20))
	if len(free.blocks) != 1 || free.get().Cap() != event.BlockHeaderLen+10 {
		t.Error("want the first block kept, the second left to the garbage collector")
	}
}

// The memory of large batches is used again while they follow one another, and released
// after a small one.
func TestFreeBlocksKeepLargeBatchesWhileTheyCome(t *testing.T) {
	free := newFreeBlocks(Settings{Workers: 1, BatchBytes: 4 << 20}, true)
	filled := func(size, room int) *event.Block {
		b := event.NewBlock(room)
		for b.Size() < size {
			b.Append(&event.Event{Message: make([]byte, 1000)})
		}
		return b
	}
	large := filled(2<<20, 3<<20)
	free.noteBatch(large)
	free.put(large)
	if b := free.getBatch(); b != large || b.Len() > 0 {
		t.Error("the memory of a large batch is not used again")
	}
	free.put(event.NewBlock(5 << 20))
	if len(free.batches) > 0 {
		t.Error("a block is kept that is larger than a batch may be")
	}
	for range 5 {
		free.put(filled(2<<20, 3<<20))
	}
	if n := len(free.batches); n != 2 {
		t.Errorf("%d large blocks are kept for one worker, want 2", n)
	}
	free.noteBatch(filled(1<<20, 3<<20)) // of a large block
	if len(free.batches) > 0 {
		t.Error("large blocks are kept after a batch that needs less than half of one")
	}
	free.put(large)
	if free.getBatch() == large {
		t.Error("a large block is kept while batches are small")
	}
}

// A file's first batch begins with the room of a whole one, and no more than two wait; live,
// a batch begins small, and the queue takes what its bytes allow.
func TestLargeBatchesOfFiles(t *testing.T) {
	asked := Settings{Workers: 1, BatchSize: 100_000, BatchBytes: 32 << 20}
	file, live := asked.withDefaults(false), asked.withDefaults(true)
	if file.QueueEvents != 200_000 || live.QueueEvents != 0 || file.BatchSize != 100_000 || file.BatchBytes != 32<<20 {
		t.Errorf("queues of %d and %d events, batches of %d events and %d bytes", file.QueueEvents, live.QueueEvents, file.BatchSize, file.BatchBytes)
	}
	if n := newFreeBlocks(file, false).getBatch().Cap(); n < 100_000*typicalRecord || n > 32<<20 {
		t.Errorf("a file's first batch has room for %d bytes", n)
	}
	if n := newFreeBlocks(live, true).getBatch().Cap(); n > blockTarget {
		t.Errorf("a live batch begins with %d bytes", n)
	}
	asked.QueueEvents = 250_000
	if s := asked.withDefaults(false); s.QueueEvents != 250_000 {
		t.Errorf("a queue of %d events, want those of the user", s.QueueEvents)
	}
}
