package dnstap

import (
	"sync"
	"sync/atomic"

	"dnsmonster-sensor/userspace/framestream"
)

// The sizes of buffers. A connection has a small one as long as its sender is slow.
const (
	small = iota // for a few frames
	large        // what one read of a busy sender brings
	whole        // for the longest frame
	classes
)

var classSize = [classes]int{4 << 10, 64 << 10, framestream.HeadLen + framestream.MaxFrame}

// buffer holds bytes of one connection: whole frames, and perhaps the beginning of
// another one. It has one owner at a time.
type buffer struct {
	data  []byte
	class int
	fill  int // bytes that were read
	whole int // bytes of frames that are whole
	count int // data frames among them
	conn  *conn
	next  int   // where the lane continues
	came  int64 // when it was handed to the lane, in nanoseconds since the Unix epoch
}

// memory is where all buffers come from. Small ones are bounded by the number of
// connections; the others have at most max bytes together.
type memory struct {
	max   int64
	used  atomic.Int64 // by buffers that are not small
	short atomic.Int64 // connections that wait for memory
	pools [classes]sync.Pool
}

// get returns an empty buffer, or nil if the bound of memory is reached.
func (m *memory) get(class int) *buffer {
	size := int64(classSize[class])
	if class != small && m.used.Add(size) > m.max {
		m.used.Add(-size)
		return nil
	}
	if b, _ := m.pools[class].Get().(*buffer); b != nil {
		b.fill, b.whole, b.count, b.next = 0, 0, 0, 0
		return b
	}
	return &buffer{data: make([]byte, size), class: class}
}

// put takes a buffer back.
func (m *memory) put(b *buffer) {
	if b == nil {
		return
	}
	b.conn = nil
	m.pools[b.class].Put(b)
	if b.class != small {
		m.used.Add(-int64(classSize[b.class]))
	}
}
