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
//
// Windows has owners and lists of rights instead of modes: there Administrators, the system
// and this user count as root and this user, and modes mean nothing. Links are its symbolic
// links and junctions.
package safefs

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
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

func ofAnother(path string, user any, fix string) error {
	return &ownerRefusal{refusal{path, fmt.Sprintf("belongs to user %v", user), fix}}
}

func (r *ownerRefusal) Is(target error) bool { return target == ErrOwner || target == ErrUnsafe }

// Dir is an open folder. All methods work on names in this folder, even if its path leads
// elsewhere by now. Names contain no slash.
type Dir struct {
	path  string
	force bool
	handle
}

// Open opens a folder. It refuses a folder that other users can change: one that every user
// can write to and that has no sticky bit, one below such a folder, and one that a user
// other than root and this one owns. force accepts these; links that other users own are
// never accepted.
func Open(path string, force bool) (*Dir, error) {
	return openFolder(path, 0, force)
}

// Make is Open, but creates the missing folders of the path.
func Make(path string, mode fs.FileMode, force bool) (*Dir, error) {
	return openFolder(path, mode, force)
}

// Path is the path by which the folder was opened.
func (d *Dir) Path() string { return d.path }

// Join is the path of a name in the folder, for messages.
func (d *Dir) Join(name string) string { return filepath.Join(d.path, name) }

func pathError(op, path string, err error) error {
	if err == nil {
		return nil
	}
	return &fs.PathError{Op: op, Path: path, Err: err}
}

// ReadDir lists the folder, sorted by name.
func (d *Dir) ReadDir() ([]fs.DirEntry, error) {
	list, err := d.list()
	if err != nil {
		return nil, err
	}
	defer list.Close()
	entries, err := list.ReadDir(-1)
	slices.SortFunc(entries, func(a, b fs.DirEntry) int { return strings.Compare(a.Name(), b.Name()) })
	return entries, err
}

// Rename renames a file within the folder.
func (d *Dir) Rename(from, to string) error { return d.Move(from, d, to) }
