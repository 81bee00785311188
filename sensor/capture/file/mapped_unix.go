//go:build unix

package file

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

func mapMemory(f *os.File, size int) ([]byte, error) {
	data, err := unix.Mmap(int(f.Fd()), 0, size, unix.PROT_READ, unix.MAP_SHARED)
	if err == nil {
		_ = unix.Madvise(data, unix.MADV_SEQUENTIAL) // only a hint
	}
	return data, err
}

// cannotMap reports whether the file can be read instead: the file system maps none, or the
// address space has no room.
func cannotMap(err error) bool {
	return errors.Is(err, unix.ENODEV) || errors.Is(err, unix.EACCES) || errors.Is(err, unix.ENOMEM)
}

func unmapMemory(data []byte) { unix.Munmap(data) }

// forget returns pages to the kernel. A failure only keeps the memory until they are unmapped.
func forget(pages []byte) { _ = unix.Madvise(pages, unix.MADV_DONTNEED) }

// shrunk reports whether the file has become shorter than the mapping: touching bytes
// beyond its end faults.
func (m *mapped) shrunk() bool {
	var st unix.Stat_t // os.File.Stat would allocate
	err := unix.Fstat(int(m.file.Fd()), &st)
	return err != nil || st.Size < int64(len(m.data))
}

// readable reports why this user cannot read a file.
func readable(path string) error { return unix.Access(path, unix.R_OK) }
