package outputs

import "dnsmonster-sensor/userspace/event"

// blockTarget is the size in bytes at which a block is full. It holds four of the
// largest messages; a single larger event gets a block of its own.
const blockTarget = 256 << 10

// smallBlock is the initial size of a block. A block grows by doubling and keeps its
// memory, so that the small batches of an output do not fill its queue's bound with
// unused memory.
const smallBlock = 4 << 10

// freeBlocks is a pool of empty blocks. What does not fit is left to the garbage
// collector, so that the memory of a long outage is released.
type freeBlocks chan *event.Block

// newFreeBlocks makes a pool for the blocks between lanes and writers. For a file,
// where the queue is full most of the time, that is the whole queue.
func newFreeBlocks(set Settings, live bool) freeBlocks {
	n := set.Workers + 16
	if !live && set.Spool.Dir == "" {
		n += int(min(set.QueueBytes, fileQueueBytes) / blockTarget)
	}
	return make(freeBlocks, n)
}

func (f freeBlocks) get() *event.Block {
	select {
	case b := <-f:
		return b
	default:
		return event.NewBlock(smallBlock)
	}
}

// put takes a block that nobody else uses.
func (f freeBlocks) put(b *event.Block) {
	if b.Cap() > 2*blockTarget {
		return
	}
	b.Reset()
	select {
	case f <- b:
	default:
	}
}
