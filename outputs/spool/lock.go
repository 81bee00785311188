package spool

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

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
	err = safefs.Lock(f)
	if errors.Is(err, safefs.ErrLocked) {
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

// inUse reports whether another process holds the lock, and never keeps one out.
func inUse(dir *safefs.Dir) bool {
	f, err := dir.OpenFile(lockName, os.O_RDWR, 0)
	if err != nil {
		return false
	}
	defer f.Close()
	return safefs.Locked(f)
}
