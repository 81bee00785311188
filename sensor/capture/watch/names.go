package watch

import (
	"math"
	"sync"
	"sync/atomic"
)

// Names remembers what the kernel's interfaces are and were called. One
// that is gone keeps its name, as long as there are not too many of those. Name
// may be called at any time from anywhere; it takes no lock.
type Names struct {
	clock *BootClock
	parts [namesParts]atomic.Pointer[map[uint32][]named]

	mu   sync.Mutex // of what follows, and of changes
	here map[uint32]bool
	gone []uint32 // that have left, the oldest first; some are here again
}

// named is a name, and since when, in CLOCK_BOOTTIME. What is there is never
// changed, only replaced.
type named struct {
	since int64
	name  string
}

const (
	namesParts  = 64    // so that a change copies little
	maxGone     = 16384 // interfaces
	maxRenaming = 64    // names of one interface
)

// NewNames knows none yet.
func NewNames() *Names {
	n := &Names{clock: new(BootClock), here: make(map[uint32]bool)}
	n.clock.measure()
	return n
}

// CurrentNames knows what the interfaces are called now, and nothing where the
// kernel does not tell.
func CurrentNames() *Names {
	n := NewNames()
	all, _ := listInterfaces()
	for _, i := range all {
		n.learn(i.index, i.name, 0)
	}
	return n
}

// Name is what the interface was called at that time, in nanoseconds since the
// Unix epoch. It is "" for an interface that nothing was heard of, and for a time
// before the kernel started, as a spool may hold: each boot numbers its
// interfaces anew.
func (n *Names) Name(index uint32, at int64) string {
	if at < n.clock.offset.Load() {
		n.clock.measure() // the clock may have been put right
		if at < n.clock.offset.Load() {
			return ""
		}
	}
	part := n.parts[index%namesParts].Load()
	if part == nil {
		return ""
	}
	list := (*part)[index]
	at -= n.clock.offset.Load()
	for i := len(list) - 1; i > 0; i-- {
		if list[i].since <= at {
			return list[i].name
		}
	}
	if len(list) == 0 {
		return ""
	}
	return list[0].name // of before it was heard of, too
}

// learn notes what an interface is called from now on.
func (n *Names) learn(index int, name string, now int64) {
	if index <= 0 || index > math.MaxInt32 {
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.here[uint32(index)] = true
	list := n.names(uint32(index))
	if len(list) > 0 && list[len(list)-1].name == name {
		return
	}
	list = append(list[:len(list):len(list)], named{now, name})
	n.replace(uint32(index), list[max(0, len(list)-maxRenaming):])
}

// left notes that an interface is gone.
func (n *Names) left(index int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.here, uint32(index))
	n.gone = append(n.gone, uint32(index))
	if len(n.gone) <= maxGone {
		return
	}
	if oldest := n.gone[0]; !n.here[oldest] {
		n.replace(oldest, nil)
	}
	n.gone = n.gone[1:]
}

func (n *Names) names(index uint32) []named {
	if part := n.parts[index%namesParts].Load(); part != nil {
		return (*part)[index]
	}
	return nil
}

func (n *Names) replace(index uint32, list []named) {
	part := &n.parts[index%namesParts]
	next := make(map[uint32][]named)
	if old := part.Load(); old != nil {
		for k, v := range *old {
			next[k] = v
		}
	}
	if next[index] = list; list == nil {
		delete(next, index)
	}
	part.Store(&next)
}
