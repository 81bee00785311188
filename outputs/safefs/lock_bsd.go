//go:build unix && !linux

package safefs

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// Lock locks a file that was opened for writing, until it is closed or the process ends in
// any way. It does not wait: another holder is an ErrLocked.
func Lock(f *os.File) error {
	err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		return ErrLocked
	}
	return err
}

// Locked reports whether another process holds the lock of a file that was opened for
// writing. It takes no lock, so that it never keeps another process out: these systems tell
// of locks of one kind when asked for the other.
func Locked(f *os.File) bool {
	ask := unix.Flock_t{Type: unix.F_WRLCK}
	return unix.FcntlFlock(f.Fd(), unix.F_GETLK, &ask) == nil && ask.Type != unix.F_UNLCK
}
