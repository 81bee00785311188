package capture

import "sync"

const (
	// firstNamed is where the numbers of named interfaces begin. Those without a
	// name have their number in the section.
	firstNamed = 1 << 31

	maxNames     = 4096
	maxNameBytes = 255
)

// fileInterfaces number the interfaces of pcapng files by their names: one that
// is in several sections, or files, is the same. Lanes use it at the same time.
type fileInterfaces struct {
	mu      sync.RWMutex
	names   []string
	numbers map[string]uint32
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
		n.numbers = make(map[string]uint32)
	}
	number := firstNamed + uint32(len(n.names))
	n.names, n.numbers[name] = append(n.names, name), number
	return number
}

// name returns "" for an interface without one.
func (n *fileInterfaces) name(number uint32) string {
	n.mu.RLock()
	defer n.mu.RUnlock()
	if i := int64(number) - firstNamed; i >= 0 && i < int64(len(n.names)) {
		return n.names[i]
	}
	return ""
}
