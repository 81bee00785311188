package outputs

import (
	"testing"

	"dnsmonster-sensor/userspace/event"
)

// The pool does not keep a block that an oversized event has grown.
func TestFreeBlocksAreBounded(t *testing.T) {
	free := make(freeBlocks, 1)
	free.put(event.NewBlock(3 * blockTarget))
	if len(free) != 0 {
		t.Error("an oversized block is kept")
	}
	free.put(event.NewBlock(10))
	free.put(event.NewBlock(20))
	if len(free) != 1 || free.get().Cap() != event.BlockHeaderLen+10 {
		t.Error("want the first block kept, the second left to the garbage collector")
	}
}
