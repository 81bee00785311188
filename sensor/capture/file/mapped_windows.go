package file

import (
	"errors"
	"io/fs"
	"os"
	"unsafe"

	"golang.org/x/sys/windows"
)

func mapMemory(f *os.File, size int) ([]byte, error) {
	object, err := windows.CreateFileMapping(windows.Handle(f.Fd()), nil, windows.PAGE_READONLY, 0, 0, nil)
	if err != nil {
		return nil, err
	}
	defer windows.CloseHandle(object) // the view keeps it
	view, err := windows.MapViewOfFile(object, windows.FILE_MAP_READ, 0, 0, uintptr(size))
	if err != nil {
		return nil, err
	}
	return unsafe.Slice((*byte)(*(*unsafe.Pointer)(unsafe.Pointer(&view))), size), nil
}

// cannotMap reports whether the file can be read instead: the file system maps none, or the
// address space has no room.
func cannotMap(err error) bool {
	return errors.Is(err, windows.ERROR_NOT_ENOUGH_MEMORY) || errors.Is(err, windows.ERROR_COMMITMENT_LIMIT) ||
		errors.Is(err, windows.ERROR_INVALID_FUNCTION) || errors.Is(err, windows.ERROR_NOT_SUPPORTED)
}

func unmapMemory(data []byte) { windows.UnmapViewOfFile(uintptr(unsafe.Pointer(&data[0]))) }

// forget takes pages out of this process's memory; the system keeps them while it has room.
func forget(pages []byte) {
	_ = windows.VirtualUnlock(uintptr(unsafe.Pointer(&pages[0])), uintptr(len(pages))) // fails because they are not locked, and does it
}

// shrunk is false: the system makes no file shorter while it is mapped.
func (m *mapped) shrunk() bool { return false }

// readable reports why this user cannot read a file.
func readable(path string) error {
	f, err := os.Open(path)
	if e, ok := err.(*fs.PathError); ok {
		return e.Err
	}
	if err != nil {
		return err
	}
	return f.Close()
}
