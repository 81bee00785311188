package safefs

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// Lock locks a file that was opened for writing, until it is closed or the process ends in
// any way. It does not wait: another holder is an ErrLocked.
func Lock(f *os.File) error {
	err := unix.FcntlFlock(f.Fd(), unix.F_OFD_SETLK, &unix.Flock_t{Type: unix.F_WRLCK})
	if errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EACCES) {
		return ErrLocked
	}
	return err
}

// Locked reports whether another descriptor holds the lock of a file that was opened for
// writing. It takes no lock, so that it never keeps another process out.
func Locked(f *os.File) bool {
	ask := unix.Flock_t{Type: unix.F_WRLCK}
	return unix.FcntlFlock(f.Fd(), unix.F_OFD_GETLK, &ask) == nil && ask.Type != unix.F_UNLCK
}
