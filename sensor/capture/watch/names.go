package watch

import (
	"math"
	"sync"
	"sync/atomic"
)

// Names remembers the names that the kernel's interfaces have and had. An interface
// that is gone keeps its name, up to a number of interfaces. Name may be called at
// any time, from any goroutine; it takes no lock.
type Names struct {
	clock *BootClock
	parts [namesParts]atomic.Pointer[map[uint32][]named]

	mu      sync.Mutex // for changes, and for the fields below
	present map[uint32]bool
	gone    []uint32 // interfaces that were deleted, the oldest first; some may exist again
}

// named is a name, and since when the interface has it, in CLOCK_BOOTTIME. A list of
// them is never changed, only replaced.
type named struct {
	since int64
	name  string
}

const (
	namesParts  = 64    // a change copies one part
	maxGone     = 16384 // interfaces that are gone
	maxRenaming = 64    // names of one interface
)

// NewNames returns an empty list.
func NewNames() *Names {
	n := &Names{clock: new(BootClock), present: make(map[uint32]bool)}
	n.clock.measure()
	return n
}

// CurrentNames returns the names that the interfaces have now. The list is empty if
// the kernel does not report them.
func CurrentNames() *Names {
	n := NewNames()
	all, _ := listInterfaces()
	for _, i := range all {
		n.learn(i.index, i.name, 0)
	}
	return n
}

// Name returns the name that an interface had at a time, in nanoseconds since the
// Unix epoch. It is "" for an unknown interface, and for a time before the kernel
// started: a spool may hold records of an earlier boot, and each boot numbers the
// interfaces anew.
func (n *Names) Name(index uint32, at int64) string {
	if at < n.clock.offset.Load() {
		n.clock.measure() // the wall clock may have been corrected
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
	return list[0].name // also for the time before it was first listed
}

// learn records the name that an interface has from now on.
func (n *Names) learn(index int, name string, now int64) {
	if index <= 0 || index > math.MaxInt32 {
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.present[uint32(index)] = true
	list := n.names(uint32(index))
	if len(list) > 0 && list[len(list)-1].name == name {
		return
	}
	list = append(list[:len(list):len(list)], named{now, name})
	n.replace(uint32(index), list[max(0, len(list)-maxRenaming):])
}

// forget records that an interface is gone. It drops the names of the one that has
// been gone longest, once there are too many.
func (n *Names) forget(index int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.present, uint32(index))
	n.gone = append(n.gone, uint32(index))
	if len(n.gone) <= maxGone {
		return
	}
	if oldest := n.gone[0]; !n.present[oldest] {
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
