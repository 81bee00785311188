package file

import (
	"fmt"
	"math"
	"os"
)

// mapped is a file that is mapped into memory.
type mapped struct {
	path string
	file *os.File
	data []byte
}

// mapFile maps a regular file. It returns nil if the file system does not support that, or
// the file does not fit into the address space.
func mapFile(path string) (*mapped, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	st, err := f.Stat()
	if err != nil {
		f.Close()
		return nil, err
	}
	m := &mapped{path: path, file: f}
	if st.Size() == 0 {
		return m, nil
	}
	if st.Size() > math.MaxInt { // a system of 32 bits
		f.Close()
		return nil, nil
	}
	m.data, err = mapMemory(f, int(st.Size()))
	if err != nil {
		f.Close()
		if cannotMap(err) {
			return nil, nil
		}
		return nil, fmt.Errorf("map %s: %w", path, err)
	}
	return m, nil
}

// unmap may be called for nil.
func (m *mapped) unmap() {
	if m == nil {
		return
	}
	if m.data != nil {
		unmapMemory(m.data)
		m.data = nil
	}
	m.file.Close()
}

// release returns one lane's share of the mapped pages to the kernel. Pages that other
// lanes still use are read again when they touch them.
func (m *mapped) release(lane, of int) {
	page := os.Getpagesize()
	at := func(i int) int { return len(m.data) / of * i / page * page }
	from, end := at(lane), at(lane+1)
	if lane+1 == of {
		end = len(m.data)
	}
	if from < end {
		forget(m.data[from:end])
	}
}
