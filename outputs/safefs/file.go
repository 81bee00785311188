package safefs

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
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

// create creates a file that does not exist.
func (d *Dir) create(name string, flag int, mode fs.FileMode) (*os.File, error) {
	fd, err := d.openFd(name, flag, mode)
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), d.Join(name)), nil
}

func (d *Dir) openExisting(name string, flag int) (*os.File, error) {
	var st unix.Stat_t // checked before opening, which alone may have an effect on a device
	if err := unix.Fstatat(d.fd, name, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return nil, &fs.PathError{Op: "open", Path: d.Join(name), Err: err}
	}
	if err := d.checkFile(name, &st); err != nil {
		return nil, err
	}
	fd, err := d.openFd(name, flag&^(os.O_CREATE|os.O_TRUNC)|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	if err = unix.Fstat(fd, &st); err == nil {
		err = d.checkFile(name, &st)
	}
	if err == nil {
		err = unix.SetNonblock(fd, false)
	}
	if err == nil && flag&os.O_TRUNC != 0 {
		err = unix.Ftruncate(fd, 0)
	}
	if err != nil {
		unix.Close(fd)
		return nil, err
	}
	return os.NewFile(uintptr(fd), d.Join(name)), nil
}

func (d *Dir) openFd(name string, flag int, mode fs.FileMode) (int, error) {
	fd, err := openAtMode(d.fd, name, flag|unix.O_NOFOLLOW, mode)
	return fd, pathError("open", d.Join(name), err)
}

// checkFile reports why an existing file may not be used.
func (d *Dir) checkFile(name string, st *unix.Stat_t) error {
	path := d.Join(name)
	switch kind := st.Mode & unix.S_IFMT; {
	case kind == unix.S_IFLNK:
		return &refusal{path, "is a symbolic link, not a regular file", "remove it; the folder may be a link, its files may not"}
	case kind != unix.S_IFREG:
		return &refusal{path, "is not a regular file", "remove it, or use another folder"}
	case st.Nlink > 1 && !d.private():
		return &refusal{path, "has a second name (a hard link)", "remove it, or use another folder"}
	case !d.force && !ownedByUs(st):
		return ofAnother(path, st.Uid, "remove it, or give it to the sensor's user with chown, or use --force")
	}
	return nil
}

// private reports whether only root and this user can create names in the folder: then a
// file's second name is their own backup (cp -al), and no trap.
func (d *Dir) private() bool {
	var st unix.Stat_t
	return unix.Fstat(d.fd, &st) == nil && ownedByUs(&st) && st.Mode&(unix.S_IWGRP|unix.S_IWOTH) == 0
}

// Owns reports whether a name is that of a regular file of root or this user or, with
// force, of any user. Another user may have planted anything else.
func (d *Dir) Owns(name string) bool {
	var st unix.Stat_t
	err := unix.Fstatat(d.fd, name, &st, unix.AT_SYMLINK_NOFOLLOW)
	return err == nil && st.Mode&unix.S_IFMT == unix.S_IFREG && (d.force || ownedByUs(&st))
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

// Size is the length of a file in the folder. It follows no link.
func (d *Dir) Size(name string) (int64, error) {
	var st unix.Stat_t
	err := unix.Fstatat(d.fd, name, &st, unix.AT_SYMLINK_NOFOLLOW)
	return st.Size, pathError("stat", d.Join(name), err)
}

// IsFile reports whether f is still the file of that name in the folder: whether nobody has
// moved, removed or replaced it.
func (d *Dir) IsFile(f *os.File, name string) bool {
	var here, there unix.Stat_t
	return unix.Fstat(int(f.Fd()), &here) == nil &&
		unix.Fstatat(d.fd, name, &there, unix.AT_SYMLINK_NOFOLLOW) == nil &&
		sameFile(&here, &there)
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
	var st unix.Stat_t
	if err := unix.Fstatat(d.fd, name, &st, unix.AT_SYMLINK_NOFOLLOW); err == nil && st.Mode&unix.S_IFMT != unix.S_IFREG {
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
