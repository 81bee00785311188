package outputs

import (
	"sync/atomic"

	"dnsmonster-sensor/userspace/event"
)

// blockTarget is the size in bytes at which a block is full. It holds four of the
// largest messages; a single larger event gets a block of its own.
const blockTarget = 256 << 10

// smallBlock is the initial size of a block. A block grows by doubling and keeps its
// memory, so that the small batches of an output do not fill its queue's bound with
// unused memory.
const smallBlock = 4 << 10

// freeBlocks is a pool of empty blocks. What does not fit is left to the garbage
// collector, so that the memory of a long outage is released.
type freeBlocks struct {
	blocks chan *event.Block
	size   int          // bytes of a new block
	least  int          // blocks that are kept, whatever the batches
	most   atomic.Int64 // blocks that are kept now
	after  int          // how many batches may return their blocks at the same time
}

// newFreeBlocks makes a pool for the blocks between lanes and writers. For a file,
// where the queue is full most of the time, that is the whole queue. Its blocks do not
// grow: they are filled.
func newFreeBlocks(set Settings, live bool) *freeBlocks {
	f := &freeBlocks{size: smallBlock, least: set.Workers + 16, after: set.Workers + 1}
	room := int(set.QueueBytes / blockTarget)
	if !live {
		f.size = int(max(smallBlock, min(blockTarget, set.typicalBatchBytes())))
		if set.Spool.Dir == "" {
			f.least += room
		}
	}
	f.most.Store(int64(f.least))
	f.blocks = make(chan *event.Block, f.least+room)
	return f
}

func (f *freeBlocks) get() *event.Block {
	select {
	case b := <-f.blocks:
		return b
	default:
		return event.NewBlock(f.size)
	}
}

// noteBatch keeps the pool as large as batches like this one need: their blocks come back all
// at once.
func (f *freeBlocks) noteBatch(b *event.Block) {
	most := f.least + f.after*b.Cap()/blockTarget
	for f.most.Store(int64(most)); len(f.blocks) > most; {
		select {
		case <-f.blocks:
		default:
			return
		}
	}
}

// put takes a block that nobody else uses, and those that it has adopted.
func (f *freeBlocks) put(b *event.Block) {
	b.Disband(func(b *event.Block) {
		if b.Cap() > 2*blockTarget || int64(len(f.blocks)) >= f.most.Load() {
			return
		}
		select {
		case f.blocks <- b:
		default:
		}
	})
}
