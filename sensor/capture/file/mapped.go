package file

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// mapped is one file's bytes.
type mapped struct {
	path string
	file *os.File
	data []byte
}

// mapFile maps a regular file. It returns nil for one that cannot be mapped and
// has to be read.
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
	if errors.Is(err, unix.ENODEV) || errors.Is(err, unix.EACCES) { // some file systems cannot
		f.Close()
		return nil, nil
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("map %s: %w", path, err)
	}
	_ = unix.Madvise(m.data, unix.MADV_SEQUENTIAL) // a hint; reading works without
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

// release gives back one lane's share of the memory that shows the file. What others
// still use comes back as they touch it.
func (m *mapped) release(lane, of int) {
	page := os.Getpagesize()
	at := func(i int) int { return len(m.data) / of * i / page * page }
	from, end := at(lane), at(lane+1)
	if lane+1 == of {
		end = len(m.data)
	}
	if from < end {
		_ = unix.Madvise(m.data[from:end], unix.MADV_DONTNEED) // memory comes back at the end, too
	}
}

// shrunk reports whether the file has become shorter than what is mapped: bytes
// behind its end cannot be touched any more.
func (m *mapped) shrunk() bool {
	var st unix.Stat_t // os.File.Stat would allocate
	err := unix.Fstat(int(m.file.Fd()), &st)
	return err != nil || st.Size < int64(len(m.data))
}
