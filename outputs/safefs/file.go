package safefs

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// openAttempts bounds how often a file may appear and disappear while it is opened.
const openAttempts = 10

// OpenFile is os.OpenFile for a file in the folder. It follows no link and does not wait
// for a pipe's other end. It refuses what is not a regular file; a file with a second name,
// if other users may have created that; and, unless the folder was opened with force, a
// file that a user other than root and this one owns. It truncates only after these
// checks.
func (d *Dir) OpenFile(name string, flag int, mode fs.FileMode) (*os.File, error) {
	if flag&(os.O_CREATE|os.O_EXCL) == os.O_CREATE|os.O_EXCL {
		return d.create(name, flag, mode)
	}
	for range openAttempts {
		f, err := d.openExisting(name, flag)
		if flag&os.O_CREATE == 0 || !errors.Is(err, fs.ErrNotExist) {
			return f, err
		}
		f, err = d.create(name, flag|os.O_EXCL, mode)
		if !errors.Is(err, fs.ErrExist) {
			return f, err
		}
	}
	return nil, &refusal{d.Join(name), "comes and goes", "another program makes and removes it: give each its own folder"}
}

// ReadFile reads a file in the folder, as OpenFile would open it. Beside an error it
// returns what could be read.
func (d *Dir) ReadFile(name string) ([]byte, error) {
	f, err := d.OpenFile(name, os.O_RDONLY, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(f)
}

// Create opens a file for writing and truncates it. It is for files that a user has named,
// such as a profile. Folder and file are checked as by Open and OpenFile. The file gets
// that mode, whatever the umask is.
func Create(path string, mode fs.FileMode, force bool) (*os.File, error) {
	d, err := Open(filepath.Dir(path), force)
	if err != nil {
		return nil, err
	}
	defer d.Close()
	f, err := d.OpenFile(filepath.Base(path), os.O_WRONLY|os.O_CREATE|os.O_TRUNC, mode)
	if err == nil {
		err = f.Chmod(mode)
	}
	if err != nil && f != nil {
		f.Close()
		f = nil
	}
	return f, err
}

// Replace writes a file completely or not at all: under another name in its folder, flushed
// to the medium, and then renamed. It replaces a regular file or none; the caller checks
// first whether that file may be replaced.
func Replace(path string, mode fs.FileMode, force bool, write func(io.Writer) error) error {
	d, err := Open(filepath.Dir(path), force)
	if err != nil {
		return err
	}
	defer d.Close()
	name := filepath.Base(path)
	if d.isOther(name) {
		return &refusal{path, "is not a regular file", "name another one"}
	}
	part := fmt.Sprintf(".%s.%d.part", name, os.Getpid())
	if err := d.Remove(part); err != nil && !errors.Is(err, fs.ErrNotExist) { // left by a killed process that had our pid
		return err
	}
	f, err := d.OpenFile(part, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	if err = fill(f, mode, write); err == nil {
		err = d.Rename(part, name)
	}
	if err != nil {
		d.Remove(part)
		return err
	}
	return d.Sync()
}

// fill writes a file, flushes it to the medium and closes it.
func fill(f *os.File, mode fs.FileMode, write func(io.Writer) error) error {
	err := write(f)
	if err == nil {
		err = f.Chmod(mode) // whatever the umask is
	}
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}
