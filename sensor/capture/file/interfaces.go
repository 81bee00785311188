package file

import (
	"hash/fnv"
	"sync"
)

const (
	// The numbers of files' interfaces are above those of the kernel: a later run with
	// other interfaces may read a record from a spool.
	firstUnnamed = 1 << 31 // plus the index in the section
	firstNamed   = 3 << 30 // plus a hash of the name: the same in all runs

	maxNames     = 4096
	maxNameBytes = 255
)

// interfaceTable numbers the interfaces of pcapng files by their names: the same name in
// several sections or files is the same interface. Lanes use it concurrently.
type interfaceTable struct {
	mu      sync.RWMutex
	names   map[uint32]string
	numbers map[string]uint32
}

// unnamed is the number of an interface without a name, by its index in the section.
// The first one is 0, as in formats with a single interface; the kernel does not use 0
// either.
func unnamed(index int) uint32 {
	if index == 0 {
		return 0
	}
	return firstUnnamed + uint32(index)
}

// number returns the number of an interface by its name. It returns unnamed for a name
// that is not stored: an empty or overlong one, or one too many. t may be nil.
func (t *interfaceTable) number(name string, unnamed uint32) uint32 {
	if t == nil || name == "" || len(name) > maxNameBytes {
		return unnamed
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if number, ok := t.numbers[name]; ok {
		return number
	}
	if len(t.names) == maxNames {
		return unnamed
	}
	if t.numbers == nil {
		t.names, t.numbers = make(map[uint32]string), make(map[string]uint32)
	}
	h := fnv.New32a()
	h.Write([]byte(name))
	number := h.Sum32() | firstNamed
	for t.names[number] != "" {
		number = (number + 1) | firstNamed
	}
	t.names[number], t.numbers[name] = name, number
	return number
}

// name returns "" for an interface without one.
func (t *interfaceTable) name(number uint32) string {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.names[number]
}
