// Package safefs opens folders and files so that no other user of the host can choose
// what is read, written or deleted: the sensor often runs as root, and its folders may be
// open to others.
//
// In: paths of options. Out: open folders (Dir) and files, or an error that says how to
// make the path safe. It imports nothing of this project; outputs and commands open their
// files through it. The tests make folders, links and files of other users themselves.
//
// A path is followed one component at a time. A symbolic link in it is followed only if
// root or this user owns it. A folder that every user can write to is accepted only with
// the sticky bit, as /tmp has it. In the opened folder no link is followed at all. A file
// must be a regular file of root or this user; where others can create names, it must have
// one name only.
package safefs

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// ErrUnsafe is in every error that says why a folder or file is not used. Trying again
// does not help: somebody has to fix the cause.
var ErrUnsafe = errors.New("not safe to use")

// ErrOwner is in those of these errors that concern the owner: a user other than root and
// this one.
var ErrOwner = errors.New("of another user")

// refusal is an ErrUnsafe with its reason and the fix.
type refusal struct{ path, why, fix string }

func (r *refusal) Error() string        { return r.path + " " + r.why + ": " + r.fix }
func (r *refusal) Is(target error) bool { return target == ErrUnsafe }

// ownerRefusal is a refusal that is an ErrOwner.
type ownerRefusal struct{ refusal }

func ofAnother(path string, user uint32, fix string) error {
	return &ownerRefusal{refusal{path, fmt.Sprintf("belongs to user %d", user), fix}}
}

func (r *ownerRefusal) Is(target error) bool { return target == ErrOwner || target == ErrUnsafe }

// Dir is an open folder. All methods work on names in this folder, even if its path leads
// elsewhere by now. Names contain no slash.
type Dir struct {
	path  string
	fd    int
	force bool
}

// Open opens a folder. It refuses a folder that other users can change: one that every user
// can write to and that has no sticky bit, one below such a folder, and one that a user
// other than root and this one owns. force accepts these; links that other users own are
// never accepted.
func Open(path string, force bool) (*Dir, error) {
	return (&resolver{force: force}).open(path)
}

// Make is Open, but creates the missing folders of the path.
func Make(path string, mode fs.FileMode, force bool) (*Dir, error) {
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
	return &Dir{path: path, fd: fd, force: r.force}, nil
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
	fd, err := openAt(unix.AT_FDCWD, "/", unix.O_PATH|unix.O_DIRECTORY)
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
	fd, err := openAt(r.fd, name, unix.O_PATH|unix.O_NOFOLLOW)
	if errors.Is(err, unix.ENOENT) && r.mode != 0 {
		if err := unix.Mkdirat(r.fd, name, uint32(r.mode.Perm())); err != nil && !errors.Is(err, unix.EEXIST) {
			return "", &fs.PathError{Op: "mkdir", Path: whole, Err: err}
		}
		fd, err = openAt(r.fd, name, unix.O_PATH|unix.O_NOFOLLOW)
	}
	if err != nil {
		return "", err
	}
	var st unix.Stat_t
	if err = unix.Fstat(fd, &st); err == nil {
		link, err = r.checkComponent(fd, whole, &st)
	}
	if err != nil || link != "" {
		closeFd(fd)
		return link, err
	}
	r.moveTo(fd, whole)
	return "", nil
}

// checkComponent refuses an unsafe component of the path. If the component is a link, it
// returns the link's target.
func (r *resolver) checkComponent(fd int, path string, st *unix.Stat_t) (link string, err error) {
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFDIR:
		if !r.force && st.Mode&unix.S_IWOTH != 0 && st.Mode&unix.S_ISVTX == 0 {
			return "", &refusal{path, "can be written to by every user, and has no sticky bit", "remove that right with chmod o-w, or use --force"}
		}
		return "", nil
	case unix.S_IFLNK:
		if !ownedByUs(st) {
			return "", &refusal{path, fmt.Sprintf("is a symbolic link of user %d", st.Uid), "remove it, or name the folder that it leads to"}
		}
		if r.links++; r.links > maxLinks {
			return "", unix.ELOOP
		}
		return readLink(fd)
	}
	return "", &fs.PathError{Op: "open", Path: path, Err: unix.ENOTDIR}
}

func readLink(fd int) (string, error) {
	room := make([]byte, unix.PathMax)
	n, err := unix.Readlinkat(fd, "", room)
	if err != nil {
		return "", err
	}
	if n == 0 {
		return "", unix.ENOENT
	}
	return string(room[:n]), nil
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

// Path is the path by which the folder was opened.
func (d *Dir) Path() string { return d.path }

// Join is the path of a name in the folder, for messages.
func (d *Dir) Join(name string) string { return filepath.Join(d.path, name) }

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
	fd, err := openAt(d.fd, ".", unix.O_PATH|unix.O_DIRECTORY)
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

// Sync flushes the folder's entries to the medium.
func (d *Dir) Sync() error { return pathError("sync", d.path, unix.Fsync(d.fd)) }

func pathError(op, path string, err error) error {
	if err == nil {
		return nil
	}
	return &fs.PathError{Op: op, Path: path, Err: err}
}

// FreeBytes is how much of the file system is free for this user.
func (d *Dir) FreeBytes() (int64, error) {
	var st unix.Statfs_t
	err := unix.Fstatfs(d.fd, &st)
	return int64(st.Bavail) * st.Bsize, pathError("statfs", d.path, err)
}

// ReadDir lists the folder, sorted by name.
func (d *Dir) ReadDir() ([]fs.DirEntry, error) {
	fd, err := openAt(d.fd, ".", unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: d.path, Err: err}
	}
	list := os.NewFile(uintptr(fd), d.path) // not d.fd, whose position would move
	defer list.Close()
	entries, err := list.ReadDir(-1)
	slices.SortFunc(entries, func(a, b fs.DirEntry) int { return strings.Compare(a.Name(), b.Name()) })
	return entries, err
}

// Rename renames a file within the folder.
func (d *Dir) Rename(from, to string) error { return d.Move(from, d, to) }

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
