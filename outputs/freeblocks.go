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
	// The memory of large batches is kept only while one large batch follows another: growing
	// each of them anew takes longer than everything else that happens to it.
	batches chan *event.Block
	keep    atomic.Bool // the last batch was large
	largest int         // bytes of the largest batch that is kept
	next    int         // room in a new batch while they are large; the joiner's
}

// newFreeBlocks makes a pool for the blocks between lanes and writers. For a file,
// where the queue is full most of the time, that is the whole queue.
func newFreeBlocks(set Settings, live bool) *freeBlocks {
	n := set.Workers + 16
	if !live && set.Spool.Dir == "" {
		n += int(min(set.QueueBytes, fileQueueBytes) / blockTarget)
	}
	f := &freeBlocks{blocks: make(chan *event.Block, n), batches: make(chan *event.Block, set.Workers+1), largest: int(set.BatchBytes)}
	if size := min(set.typicalBatchBytes(), set.BatchBytes-event.BlockHeaderLen); !live && size > 2*blockTarget { // a file fills the first one, too
		f.next = int(size)
		f.keep.Store(true)
	}
	return f
}

func (f *freeBlocks) get() *event.Block {
	select {
	case b := <-f.blocks:
		return b
	default:
		return event.NewBlock(smallBlock)
	}
}

// getBatch returns a block for the events of many others.
func (f *freeBlocks) getBatch() *event.Block {
	select {
	case b := <-f.batches:
		return b
	default:
	}
	if f.keep.Load() {
		return event.NewBlock(f.next)
	}
	return f.get()
}

// noteBatch decides by a batch that is full or due whether its memory suits the next one.
func (f *freeBlocks) noteBatch(b *event.Block) {
	large := b.Size() > 2*blockTarget && b.Size() >= b.Cap()/2
	if f.keep.Store(large); large {
		f.next = min(b.Size()+b.Size()/16, f.largest-event.BlockHeaderLen)
		return
	}
	for {
		select {
		case <-f.batches:
		default:
			return
		}
	}
}

// put takes a block that nobody else uses.
func (f *freeBlocks) put(b *event.Block) {
	to := f.blocks
	if b.Cap() > 2*blockTarget {
		if !f.keep.Load() || b.Cap() > f.largest {
			return
		}
		to = f.batches
	}
	b.Reset()
	select {
	case to <- b:
	default:
	}
}
