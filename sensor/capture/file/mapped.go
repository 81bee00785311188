package file

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// mapped is a file that is mapped into memory.
type mapped struct {
	path string
	file *os.File
	data []byte
}

// mapFile maps a regular file. It returns nil if the file system does not support that.
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
	m.data, err = unix.Mmap(int(f.Fd()), 0, int(st.Size()), unix.PROT_READ, unix.MAP_SHARED)
	if errors.Is(err, unix.ENODEV) || errors.Is(err, unix.EACCES) { // the file system does not support it
		f.Close()
		return nil, nil
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("map %s: %w", path, err)
	}
	_ = unix.Madvise(m.data, unix.MADV_SEQUENTIAL) // only a hint
	return m, nil
}

// unmap may be called for nil.
func (m *mapped) unmap() {
	if m == nil {
		return
	}
	if m.data != nil {
		unix.Munmap(m.data)
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
		_ = unix.Madvise(m.data[from:end], unix.MADV_DONTNEED) // a failure only keeps the memory until unmap
	}
}

// shrunk reports whether the file has become shorter than the mapping: touching bytes
// beyond its end faults.
func (m *mapped) shrunk() bool {
	var st unix.Stat_t // os.File.Stat would allocate
	err := unix.Fstat(int(m.file.Fd()), &st)
	return err != nil || st.Size < int64(len(m.data))
}
