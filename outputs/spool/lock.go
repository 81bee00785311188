package spool

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"dnsmonster-sensor/outputs/safefs"
)

// ErrInUse is the error for a folder that another process uses.
var ErrInUse = errors.New("in use by another process")

// lockFile locks the folder until the file is closed, or the process ends in any way. It
// returns the previous contents of the file.
func lockFile(dir *safefs.Dir) (f *os.File, before []byte, err error) {
	f, err = dir.OpenFile(lockName, os.O_CREATE|os.O_RDWR, fileMode)
	if err != nil {
		return nil, nil, fmt.Errorf("lock spool: %w", err)
	}
	err = unix.FcntlFlock(f.Fd(), unix.F_OFD_SETLK, &unix.Flock_t{Type: unix.F_WRLCK})
	if errors.Is(err, syscall.EAGAIN) || errors.Is(err, syscall.EACCES) {
		owner := make([]byte, 32)
		n, _ := f.Read(owner)
		f.Close()
		return nil, nil, fmt.Errorf("spool %s is %w (pid %s): stop it, or use another folder", dir.Path(), ErrInUse, strings.TrimSpace(string(owner[:n])))
	}
	if err == nil {
		before, err = io.ReadAll(f)
	}
	if err == nil {
		err = rewrite(f, fmt.Appendf(nil, "%d\n", os.Getpid()))
	}
	if err != nil {
		f.Close()
		return nil, nil, fmt.Errorf("lock spool %s: %w", dir.Path(), err)
	}
	return f, before, nil
}

// rewrite replaces the contents of a file.
func rewrite(f *os.File, text []byte) error {
	err := f.Truncate(0)
	if err == nil {
		_, err = f.WriteAt(text, 0)
	}
	return err
}

// inUse checks for a lock without taking it, so that it never keeps another process out.
func inUse(dir *safefs.Dir) bool {
	f, err := dir.OpenFile(lockName, os.O_RDWR, 0)
	if err != nil {
		return false
	}
	defer f.Close()
	ask := unix.Flock_t{Type: unix.F_WRLCK}
	return unix.FcntlFlock(f.Fd(), unix.F_OFD_GETLK, &ask) == nil && ask.Type != unix.F_UNLCK
}
