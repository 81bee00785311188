package safefs

import (
	"errors"
	"os"
	"time"

	"golang.org/x/sys/windows"
)

// lockAt is where the locked byte is: far behind the contents, which others may read.
const lockAt = 1 << 30

// lockPatience is longer than Locked of another process holds a lock.
const lockPatience = 100 * time.Millisecond

// Lock locks a file until it is closed or the process ends in any way. Another holder is an
// ErrLocked.
func Lock(f *os.File) error {
	for end := time.Now().Add(lockPatience); ; time.Sleep(time.Millisecond) {
		err := lockFile(f, windows.LOCKFILE_EXCLUSIVE_LOCK)
		if !errors.Is(err, ErrLocked) || time.Now().After(end) {
			return err
		}
	}
}

// Locked reports whether another process holds the lock. The system has no question for
// that, so it shares the lock for a moment.
func Locked(f *os.File) bool {
	err := lockFile(f, 0)
	if err == nil {
		windows.UnlockFileEx(windows.Handle(f.Fd()), 0, 1, 0, &windows.Overlapped{OffsetHigh: lockAt})
	}
	return errors.Is(err, ErrLocked)
}

func lockFile(f *os.File, flags uint32) error {
	err := windows.LockFileEx(windows.Handle(f.Fd()), flags|windows.LOCKFILE_FAIL_IMMEDIATELY, 0, 1, 0, &windows.Overlapped{OffsetHigh: lockAt})
	if errors.Is(err, windows.ERROR_LOCK_VIOLATION) || errors.Is(err, windows.ERROR_IO_PENDING) {
		return ErrLocked
	}
	return err
}
