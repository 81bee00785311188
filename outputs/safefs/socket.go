package safefs

import (
	"errors"
	"path/filepath"
)

// ErrInUse means that a program listens on a socket.
var ErrInUse = errors.New("a program listens on it already")

// CheckUnix reports why ListenUnix would fail. It changes nothing.
func CheckUnix(path string) error {
	d, err := Open(filepath.Dir(path), false)
	if err != nil {
		return err
	}
	defer d.Close()
	if err := d.Writable(); err != nil {
		return err
	}
	_, err = d.stale(filepath.Base(path))
	return err
}
