//go:build unix

package safefs

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// handle is the folder's descriptor.
type handle struct{ fd int }

func openFolder(path string, mode fs.FileMode, force bool) (*Dir, error) {
	return (&resolver{force: force, mode: mode}).open(path)
}

// resolver follows a path, one component at a time.
type resolver struct {
	mode  fs.FileMode // of folders to create; 0: create none
	force bool
	links int    // number of links followed so far
	fd    int    // the folder that it has reached
	name  string // path of that folder
}

// maxLinks is the kernel's limit.
const maxLinks = 40

func (r *resolver) open(path string) (*Dir, error) {
	err := r.resolve(path)
	return r.openReached(path, err)
}

// openReached opens the folder that r has reached, and ends r. err is the error on the way
// there; it is returned with the path in it.
func (r *resolver) openReached(path string, err error) (*Dir, error) {
	defer closeFd(r.fd)
	fd := -1
	if err == nil {
		fd, err = openAt(r.fd, ".", unix.O_RDONLY|unix.O_DIRECTORY)
	}
	var known *fs.PathError
	switch {
	case errors.As(err, &known) || errors.Is(err, ErrUnsafe):
		return nil, err
	case err != nil:
		return nil, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	var st unix.Stat_t
	if err = unix.Fstat(fd, &st); err == nil && !r.force && !ownedByUs(&st) {
		err = ofAnother(path, st.Uid, "use a folder of root or of the sensor's user, or use --force")
	}
	if err != nil {
		closeFd(fd)
		return nil, err
	}
	return &Dir{path: path, force: r.force, handle: handle{fd}}, nil
}

// ownedByUs reports whether root or this user is the owner.
func ownedByUs(st *unix.Stat_t) bool { return st.Uid == 0 || int(st.Uid) == os.Geteuid() }

// resolve follows path to its last component.
func (r *resolver) resolve(path string) (err error) {
	r.fd = unix.AT_FDCWD
	if path == "" {
		return unix.ENOENT
	}
	rest := components(path)
	if filepath.IsAbs(path) {
		err = r.toRoot()
	} else {
		rest = append([]string{"."}, rest...) // check the working directory too
	}
	for err == nil && len(rest) > 0 {
		var link string
		if link, err = r.step(rest[0]); err != nil {
			return err
		}
		rest = append(components(link), rest[1:]...)
		if filepath.IsAbs(link) {
			err = r.toRoot()
		}
	}
	return err
}

func components(path string) []string {
	return strings.FieldsFunc(path, func(r rune) bool { return r == '/' })
}

// toRoot moves to the root folder.
func (r *resolver) toRoot() error {
	fd, err := openAt(unix.AT_FDCWD, "/", forPassing|unix.O_DIRECTORY)
	if err == nil {
		r.moveTo(fd, "/")
	}
	return err
}

func (r *resolver) moveTo(fd int, name string) {
	closeFd(r.fd)
	r.fd, r.name = fd, name
}

func closeFd(fd int) {
	if fd >= 0 { // AT_FDCWD is negative
		unix.Close(fd)
	}
}

// step moves to the folder of that name. If that is a link, it stays where it is and
// returns the link's target.
func (r *resolver) step(name string) (link string, err error) {
	whole := filepath.Join(r.name, name)
	c, err := lookAt(r.fd, name)
	if errors.Is(err, unix.ENOENT) && r.mode != 0 {
		if err := unix.Mkdirat(r.fd, name, uint32(r.mode.Perm())); err != nil && !errors.Is(err, unix.EEXIST) {
			return "", &fs.PathError{Op: "mkdir", Path: whole, Err: err}
		}
		c, err = lookAt(r.fd, name)
	}
	if err != nil {
		return "", err
	}
	if link, err = r.checkComponent(c, whole); err != nil || link != "" {
		closeFd(c.fd)
		return link, err
	}
	r.moveTo(c.fd, whole)
	return "", nil
}

// component is a name in a folder, looked at without following it.
type component struct {
	at   int
	name string
	st   unix.Stat_t
	fd   int // of a folder, good for going on from there
}

// checkComponent refuses an unsafe component of the path. If the component is a link, it
// returns the link's target.
func (r *resolver) checkComponent(c *component, path string) (link string, err error) {
	switch c.st.Mode & unix.S_IFMT {
	case unix.S_IFDIR:
		if !r.force && c.st.Mode&unix.S_IWOTH != 0 && c.st.Mode&unix.S_ISVTX == 0 {
			return "", &refusal{path, "can be written to by every user, and has no sticky bit", "remove that right with chmod o-w, or use --force"}
		}
		return "", nil
	case unix.S_IFLNK:
		if !ownedByUs(&c.st) {
			return "", &refusal{path, fmt.Sprintf("is a symbolic link of user %d", c.st.Uid), "remove it, or name the folder that it leads to"}
		}
		if r.links++; r.links > maxLinks {
			return "", unix.ELOOP
		}
		return c.readLink()
	}
	return "", &fs.PathError{Op: "open", Path: path, Err: unix.ENOTDIR}
}

func openAt(at int, name string, flag int) (fd int, err error) { return openAtMode(at, name, flag, 0) }

func openAtMode(at int, name string, flag int, mode fs.FileMode) (fd int, err error) {
	for {
		fd, err = unix.Openat(at, name, flag|unix.O_CLOEXEC, uint32(mode.Perm()))
		if !errors.Is(err, unix.EINTR) {
			return fd, err
		}
	}
}

// Close closes the folder.
func (d *Dir) Close() error { return unix.Close(d.fd) }

// IsCurrent reports whether the folder's path still leads to it. If not, somebody has
// moved, removed or replaced the folder, or mounted something over it. An error means that
// this could not be determined.
func (d *Dir) IsCurrent() (bool, error) {
	var here, there unix.Stat_t
	if err := unix.Fstat(d.fd, &here); err != nil {
		return false, pathError("stat", d.path, err)
	}
	switch err := unix.Stat(d.path, &there); err {
	case nil:
		return sameFile(&here, &there), nil
	case unix.ENOENT, unix.ENOTDIR:
		return false, nil
	default:
		return false, pathError("stat", d.path, err)
	}
}

func sameFile(a, b *unix.Stat_t) bool { return a.Dev == b.Dev && a.Ino == b.Ino }

// Sub opens a folder in the folder. If it is missing and mode is not 0, Sub creates it.
func (d *Dir) Sub(name string, mode fs.FileMode) (*Dir, error) {
	fd, err := openAt(d.fd, ".", forPassing|unix.O_DIRECTORY)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: d.path, Err: err}
	}
	r := &resolver{mode: mode, force: d.force, fd: fd, name: d.path}
	link, err := r.step(name)
	if err == nil && link != "" {
		err = &refusal{d.Join(name), "is a symbolic link", "remove it"}
	}
	return r.openReached(d.Join(name), err)
}

// SetMode changes the folder's mode, if this user owns it.
func (d *Dir) SetMode(mode fs.FileMode) error {
	var st unix.Stat_t
	err := unix.Fstat(d.fd, &st)
	if err == nil && int(st.Uid) == os.Geteuid() && fs.FileMode(st.Mode).Perm() != mode {
		err = unix.Fchmod(d.fd, uint32(mode.Perm()))
	}
	return pathError("chmod", d.path, err)
}

// Writable reports why this user cannot write to the folder.
func (d *Dir) Writable() error {
	return pathError("open", d.path, unix.Faccessat(d.fd, ".", unix.W_OK|unix.X_OK, unix.AT_EACCESS))
}

// Sync flushes the folder's entries to the medium.
func (d *Dir) Sync() error { return pathError("sync", d.path, unix.Fsync(d.fd)) }

// FreeBytes is how much of the file system is free for this user.
func (d *Dir) FreeBytes() (int64, error) {
	var st unix.Statfs_t
	err := unix.Fstatfs(d.fd, &st)
	return freeBytes(&st), pathError("statfs", d.path, err)
}

// list opens the folder for listing. Not d.fd, whose position would move.
func (d *Dir) list() (*os.File, error) {
	fd, err := openAt(d.fd, ".", unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: d.path, Err: err}
	}
	return os.NewFile(uintptr(fd), d.path), nil
}

// Move moves a file to another folder.
func (d *Dir) Move(from string, there *Dir, to string) error {
	if err := unix.Renameat(d.fd, from, there.fd, to); err != nil {
		return &os.LinkError{Op: "rename", Old: d.Join(from), New: there.Join(to), Err: err}
	}
	return nil
}

// Remove removes a file or a link in the folder.
func (d *Dir) Remove(name string) error { return d.unlink(name, 0) }

// RemoveDir removes an empty folder in the folder.
func (d *Dir) RemoveDir(name string) error { return d.unlink(name, unix.AT_REMOVEDIR) }

func (d *Dir) unlink(name string, flags int) error {
	return pathError("remove", d.Join(name), unix.Unlinkat(d.fd, name, flags))
}
