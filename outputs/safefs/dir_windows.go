package safefs

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"unsafe"

	"golang.org/x/sys/windows"
)

// handle is the open folder.
type handle struct{ root *os.Root }

// openFolder looks at each component of the path, and holds it: what is held can neither be
// renamed nor replaced, until the folder at the end is open.
func openFolder(path string, mode fs.FileMode, force bool) (*Dir, error) {
	if path == "" {
		return nil, &fs.PathError{Op: "open", Path: path, Err: syscall.ENOENT}
	}
	whole, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	var held components
	defer held.release()
	at := filepath.VolumeName(whole) + `\`
	for _, name := range strings.FieldsFunc(whole[len(at)-1:], func(r rune) bool { return r == '\\' || r == '/' }) {
		at = filepath.Join(at, name)
		err := held.step(at)
		if errors.Is(err, fs.ErrNotExist) && mode != 0 {
			if err = os.Mkdir(at, mode); err == nil || errors.Is(err, fs.ErrExist) {
				err = held.step(at)
			}
		}
		if err != nil {
			return nil, err
		}
	}
	root, err := os.OpenRoot(whole)
	if err != nil {
		return nil, err
	}
	d := &Dir{path: path, force: force, handle: handle{root}}
	if err := d.checkOwner(); err != nil {
		root.Close()
		return nil, err
	}
	return d, nil
}

func (d *Dir) checkOwner() error {
	if d.force {
		return nil
	}
	f, err := d.list()
	if err != nil {
		return err
	}
	defer f.Close()
	owner, ours, err := ownerOf(windows.Handle(f.Fd()))
	if err == nil && !ours {
		err = ofAnother(d.path, owner, "use a folder of an administrator or of the sensor's user, or use --force")
	}
	return err
}

// components are the handles of a path's components.
type components []windows.Handle

func (c components) release() {
	for _, h := range c {
		windows.CloseHandle(h)
	}
}

// attributeTag is FILE_ATTRIBUTE_TAG_INFO.
type attributeTag struct{ attributes, tag uint32 }

// nameSurrogate marks tags of reparse points that lead elsewhere: symbolic links and
// junctions. Others are files of a cloud, or compressed ones.
const nameSurrogate = 0x20000000

func (t attributeTag) isLink() bool {
	return t.attributes&windows.FILE_ATTRIBUTE_REPARSE_POINT != 0 && t.tag&nameSurrogate != 0
}

// step holds the next component, which must be a folder, or a link that is an
// administrator's or ours.
func (c *components) step(path string) error {
	name, err := windows.UTF16PtrFromString(path)
	if err != nil {
		return pathError("open", path, err)
	}
	h, err := windows.CreateFile(name, windows.FILE_TRAVERSE|windows.FILE_READ_ATTRIBUTES|windows.READ_CONTROL,
		windows.FILE_SHARE_READ|windows.FILE_SHARE_WRITE, nil, windows.OPEN_EXISTING,
		windows.FILE_FLAG_BACKUP_SEMANTICS|windows.FILE_FLAG_OPEN_REPARSE_POINT, 0)
	if err != nil {
		return pathError("open", path, err)
	}
	*c = append(*c, h)
	var t attributeTag
	if err := windows.GetFileInformationByHandleEx(h, windows.FileAttributeTagInfo, (*byte)(unsafe.Pointer(&t)), uint32(unsafe.Sizeof(t))); err != nil {
		return pathError("stat", path, err)
	}
	switch {
	case t.isLink():
		owner, ours, err := ownerOf(h)
		if err == nil && !ours {
			err = &refusal{path, fmt.Sprintf("is a link of user %s", owner), "remove it, or name the folder that it leads to"}
		}
		return err
	case t.attributes&windows.FILE_ATTRIBUTE_DIRECTORY == 0:
		return pathError("open", path, windows.ERROR_DIRECTORY)
	}
	return nil
}

// Close closes the folder.
func (d *Dir) Close() error { return d.root.Close() }

// IsCurrent reports whether the folder's path still leads to it. If not, somebody has
// moved, removed or replaced the folder. An error means that this could not be determined.
func (d *Dir) IsCurrent() (bool, error) {
	here, err := d.root.Stat(".")
	if err != nil {
		return false, err
	}
	there, err := os.Stat(d.path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil && os.SameFile(here, there), err
}

// Sub opens a folder in the folder. If it is missing and mode is not 0, Sub creates it.
func (d *Dir) Sub(name string, mode fs.FileMode) (*Dir, error) {
	if mode != 0 {
		if err := d.root.Mkdir(name, mode); err != nil && !errors.Is(err, fs.ErrExist) {
			return nil, err
		}
	}
	before, err := d.root.Lstat(name)
	if err != nil {
		return nil, err
	}
	path := d.Join(name)
	switch {
	case before.Mode()&(fs.ModeSymlink|fs.ModeIrregular) != 0:
		return nil, &refusal{path, "is a link", "remove it"}
	case !before.IsDir():
		return nil, pathError("open", path, windows.ERROR_DIRECTORY)
	}
	root, err := d.root.OpenRoot(name)
	if err != nil {
		return nil, err
	}
	sub := &Dir{path: path, force: d.force, handle: handle{root}}
	now, err := root.Stat(".")
	if err == nil && !os.SameFile(before, now) {
		err = &refusal{path, "was replaced while it was opened", "use a folder that only the sensor's user can write to"}
	}
	if err == nil {
		err = sub.checkOwner()
	}
	if err != nil {
		root.Close()
		return nil, err
	}
	return sub, nil
}

// SetMode changes nothing: the folder's list of rights says who may read it.
func (d *Dir) SetMode(fs.FileMode) error { return nil }

// Writable reports why this user cannot write to the folder. It makes a file that is gone
// when it is closed, because a list of rights cannot be judged without trying.
func (d *Dir) Writable() error {
	path := d.Join(fmt.Sprintf(".%d.part", os.Getpid()))
	name, err := windows.UTF16PtrFromString(path)
	if err != nil {
		return pathError("open", path, err)
	}
	h, err := windows.CreateFile(name, windows.GENERIC_WRITE|windows.DELETE, 0, nil, windows.CREATE_NEW, windows.FILE_FLAG_DELETE_ON_CLOSE, 0)
	if err != nil {
		return pathError("open", d.path, err)
	}
	return windows.CloseHandle(h)
}

// Sync does nothing: the file system keeps names in its journal.
func (d *Dir) Sync() error { return nil }

// FreeBytes is how much of the file system is free for this user.
func (d *Dir) FreeBytes() (int64, error) {
	name, err := windows.UTF16PtrFromString(d.path)
	var free uint64
	if err == nil {
		err = windows.GetDiskFreeSpaceEx(name, &free, nil, nil)
	}
	return int64(free), pathError("statfs", d.path, err)
}

// list opens the folder for listing.
func (d *Dir) list() (*os.File, error) { return d.root.Open(".") }

// Move moves a file to another folder.
func (d *Dir) Move(from string, there *Dir, to string) error {
	if d == there {
		return d.root.Rename(from, to)
	}
	return os.Rename(d.Join(from), there.Join(to))
}

// Remove removes a file or a link in the folder.
func (d *Dir) Remove(name string) error { return d.root.Remove(name) }

// RemoveDir removes an empty folder in the folder.
func (d *Dir) RemoveDir(name string) error { return d.root.Remove(name) }
