package file

import (
	"hash/fnv"
	"sync"
)

const (
	// The numbers of files' interfaces begin here, where none of the kernel's is:
	// records wait in a spool for runs that have other interfaces.
	firstUnnamed = 1 << 31 // by their number in the section
	firstNamed   = 3 << 30 // by a hash of the name: the same in all runs

	maxNames     = 4096
	maxNameBytes = 255
)

// fileInterfaces number the interfaces of pcapng files by their names: one that
// is in several sections, or files, is the same. Lanes use it at the same time.
type fileInterfaces struct {
	mu      sync.RWMutex
	names   map[uint32]string
	numbers map[string]uint32
}

// unnamed is the number of an interface without a name by its place in its
// section. The first one is 0, as in formats that know one interface alone; the
// kernel has no such number either.
func unnamed(place int) uint32 {
	if place == 0 {
		return 0
	}
	return firstUnnamed + uint32(place)
}

// interfaceID is the number of an interface of that name, or otherwise where it
// cannot have one.
func (t told) interfaceID(name string, otherwise uint32) uint32 {
	if t.interfaces == nil || name == "" || len(name) > maxNameBytes {
		return otherwise
	}
	n := t.interfaces
	n.mu.Lock()
	defer n.mu.Unlock()
	if number, ok := n.numbers[name]; ok {
		return number
	}
	if len(n.names) == maxNames {
		return otherwise
	}
	if n.numbers == nil {
		n.names, n.numbers = make(map[uint32]string), make(map[string]uint32)
	}
	h := fnv.New32a()
	h.Write([]byte(name))
	number := h.Sum32() | firstNamed
	for n.names[number] != "" {
		number = (number + 1) | firstNamed
	}
	n.names[number], n.numbers[name] = name, number
	return number
}

// name returns "" for an interface without one.
func (n *fileInterfaces) name(number uint32) string {
	n.mu.RLock()
	defer n.mu.RUnlock()
	return n.names[number]
}
