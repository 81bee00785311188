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

// openAttempts bounds how often a file may come and go while it is opened.
const openAttempts = 10

// OpenFile is os.OpenFile for a file of the folder. It follows no link, does not
// wait for a pipe's other end, and refuses what is no regular file, what has a
// second name where others may have made it, and, unless the folder was opened
// with force, what belongs to a user other than root and this one. A file is
// emptied only after that.
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

// create makes a file that is not there.
func (d *Dir) create(name string, flag int, mode fs.FileMode) (*os.File, error) {
	fd, err := d.openFd(name, flag, mode)
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), d.Join(name)), nil
}

func (d *Dir) openExisting(name string, flag int) (*os.File, error) {
	var st unix.Stat_t // first: opening alone may do something to a device
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
	for {
		fd, err := unix.Openat(d.fd, name, flag|unix.O_NOFOLLOW|unix.O_CLOEXEC, uint32(mode.Perm()))
		if err == nil || !errors.Is(err, unix.EINTR) {
			return fd, pathError("open", d.Join(name), err)
		}
	}
}

// judge says whether a file that is there may be used.
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
		return &refusal{path, fmt.Sprintf("belongs to user %d", st.Uid), "remove it, or give it to the sensor's user with chown, or say --force"}
	}
	return nil
}

// private tells that only root and this user can make names in the folder: a
// second name of a file is a backup of theirs then (cp -al), and no trap.
func (d *Dir) private() bool {
	var st unix.Stat_t
	return unix.Fstat(d.fd, &st) == nil && ownedByUs(&st) && st.Mode&(unix.S_IWGRP|unix.S_IWOTH) == 0
}

// Owns reports whether a name is that of a regular file of root or of this user,
// or with force of anybody. What is not may have been put there to mislead.
func (d *Dir) Owns(name string) bool {
	var st unix.Stat_t
	err := unix.Fstatat(d.fd, name, &st, unix.AT_SYMLINK_NOFOLLOW)
	return err == nil && st.Mode&unix.S_IFMT == unix.S_IFREG && (d.force || ownedByUs(&st))
}

// ReadFile reads a file of the folder, which OpenFile would open. Beside an error
// it returns what could be read.
func (d *Dir) ReadFile(name string) ([]byte, error) {
	f, err := d.OpenFile(name, os.O_RDONLY, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(f)
}

// Size is how long a file of the folder is. It follows no link.
func (d *Dir) Size(name string) (int64, error) {
	var st unix.Stat_t
	err := unix.Fstatat(d.fd, name, &st, unix.AT_SYMLINK_NOFOLLOW)
	return st.Size, pathError("stat", d.Join(name), err)
}

// IsFile reports whether f is the file of that name in the folder: whether nobody
// has moved, removed or replaced it.
func (d *Dir) IsFile(f *os.File, name string) bool {
	var here, there unix.Stat_t
	return unix.Fstat(int(f.Fd()), &here) == nil &&
		unix.Fstatat(d.fd, name, &there, unix.AT_SYMLINK_NOFOLLOW) == nil &&
		sameFile(&here, &there)
}

// Create opens a file for writing that is empty then, by its path: one that a
// user has named, such as a profile. Folder and file are judged as by Open and
// OpenFile, whatever the umask is the file has that mode.
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

// Replace writes a file as a whole or not at all: under another name in its
// folder, on the medium, and then renamed. It replaces a regular file or none:
// the caller looks first whether that one may go.
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
	if err := d.Remove(part); err != nil && !errors.Is(err, fs.ErrNotExist) { // of a process with our number that was killed
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

// fill writes a file, brings it to the medium and closes it.
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
