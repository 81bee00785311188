//go:build unix

package stdout

import (
	"os"

	"golang.org/x/sys/unix"
)

// duplicate opens the standard output a second time.
func duplicate() (*os.File, error) {
	fd, err := unix.FcntlInt(1, unix.F_DUPFD_CLOEXEC, 3)
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), "stdout"), nil
}
