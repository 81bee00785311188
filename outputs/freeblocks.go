package outputs

import "dnsmonster-sensor/userspace/event"

// blockTarget is where a block is full, in bytes. It holds four of the largest
// messages; a single event that is larger gets a block of its own.
const blockTarget = 256 << 10

// smallBlock is how a block begins. It grows by doubling and keeps what it has
// grown to, so that an output with small batches does not fill its queue's
// bound with unused memory.
const smallBlock = 4 << 10

// freeBlocks are empty blocks to use again. What does not fit is left to the
// garbage collector, so that the memory of a long outage comes back.
type freeBlocks chan *event.Block

// newFreeBlocks keeps what is on its way between lanes and writers. Behind a
// file, where the queue is full most of the time, that is the whole queue.
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

// put takes a block that nobody else holds.
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
