package outputs

import (
	"testing"

	"dnsmonster-sensor/userspace/event"
)

// The pool does not keep a block that an oversized event has grown, nor more blocks than it
// may.
func TestFreeBlocksAreBounded(t *testing.T) {
	free := newFreeBlocks(Settings{Workers: 1}, true)
	free.put(event.NewBlock(3 * blockTarget))
	if len(free.blocks) != 0 {
		t.Error("an oversized block is kept")
	}
	for i := range 100 {
		free.put(event.NewBlock(10 + i))
	}
	if len(free.blocks) != 17 || free.get().Cap() != event.BlockHeaderLen+10 {
		t.Error("want the first blocks kept, the others left to the garbage collector")
	}
}

// The blocks of large batches are used again while they follow one another, and released
// after a small one.
func TestFreeBlocksKeepThoseOfBatches(t *testing.T) {
	free := newFreeBlocks(Settings{Workers: 1, QueueBytes: 64 << 20}, true)
	batch := func(parts int) *event.Block {
		b := event.NewBlock(blockTarget)
		for range parts - 1 {
			b.Adopt(event.NewBlock(blockTarget))
		}
		return b
	}
	f := func(what string, b *event.Block, want int) {
		t.Helper()
		free.noteBatch(b)
		for range 4 {
			free.put(batch(60))
		}
		if n := len(free.blocks); n != want {
			t.Errorf("%s: %d blocks are kept, want %d", what, n, want)
		}
	}
	f("small batches", batch(1), 17+2)
	f("large batches", batch(60), 17+2*60)
	f("small ones again", batch(1), 17+2)
}

// A file has one batch and the start of another waiting, in blocks that do not grow; live, a
// block begins small, and the queue takes what its bytes allow.
func TestLargeBatchesOfFiles(t *testing.T) {
	asked := Settings{Workers: 1, BatchSize: 100_000, BatchBytes: 32 << 20}
	file, live := asked.withDefaults(false), asked.withDefaults(true)
	if file.fileEvents != 112_500 || live.fileEvents != 0 || file.BatchSize != 100_000 || file.BatchBytes != 32<<20 {
		t.Errorf("queues of %d and %d events, batches of %d events and %d bytes", file.fileEvents, live.fileEvents, file.BatchSize, file.BatchBytes)
	}
	if n := newFreeBlocks(file, false).get().Cap(); n != event.BlockHeaderLen+blockTarget {
		t.Errorf("a file's block has room for %d bytes", n)
	}
	if n := newFreeBlocks(live, true).get().Cap(); n != event.BlockHeaderLen+smallBlock {
		t.Errorf("a live block begins with %d bytes", n)
	}
	small := Settings{Workers: 1, BatchSize: 10}.withDefaults(false)
	if n := newFreeBlocks(small, false).get().Cap(); n != event.BlockHeaderLen+smallBlock {
		t.Errorf("a file's block for ten events has room for %d bytes", n)
	}
	asked.QueueEvents = 250_000
	if s := asked.withDefaults(false); s.QueueEvents != 250_000 || s.fileEvents != 0 {
		t.Errorf("a queue of %d events, want those of the user", s.QueueEvents)
	}
}
