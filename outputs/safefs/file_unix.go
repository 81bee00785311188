//go:build unix

package safefs

import (
	"io/fs"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

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
	if err := d.stat(name, &st); err != nil {
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
	return d.stat(name, &st) == nil && st.Mode&unix.S_IFMT == unix.S_IFREG && (d.force || ownedByUs(&st))
}

// Size is the length of a file in the folder. It follows no link.
func (d *Dir) Size(name string) (int64, error) {
	var st unix.Stat_t
	err := d.stat(name, &st)
	return st.Size, pathError("stat", d.Join(name), err)
}

// IsFile reports whether f is still the file of that name in the folder: whether nobody has
// moved, removed or replaced it.
func (d *Dir) IsFile(f *os.File, name string) bool {
	var here, there unix.Stat_t
	return unix.Fstat(int(f.Fd()), &here) == nil &&
		d.stat(name, &there) == nil &&
		sameFile(&here, &there)
}

// stat looks at a name in the folder. It follows no link.
func (d *Dir) stat(name string, st *unix.Stat_t) error {
	return unix.Fstatat(d.fd, name, st, unix.AT_SYMLINK_NOFOLLOW)
}

// isOther reports whether the name is that of something that is no regular file.
func (d *Dir) isOther(name string) bool {
	var st unix.Stat_t
	return d.stat(name, &st) == nil && st.Mode&unix.S_IFMT != unix.S_IFREG
}

// Truncate sets the length of f, a file of that name in the folder that was opened for
// writing.
func (d *Dir) Truncate(f *os.File, _ string, size int64) error { return f.Truncate(size) }

// SetModTime sets the modification time of a file that was opened for writing.
func SetModTime(f *os.File, at time.Time) error {
	tv := unix.NsecToTimeval(at.UnixNano())
	return pathError("set the time of", f.Name(), unix.Futimes(int(f.Fd()), []unix.Timeval{tv, tv}))
}
