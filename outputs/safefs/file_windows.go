package safefs

import (
	"io/fs"
	"os"
	"time"

	"golang.org/x/sys/windows"
)

// create creates a file that does not exist.
func (d *Dir) create(name string, flag int, mode fs.FileMode) (*os.File, error) {
	f, err := d.root.OpenFile(name, flag, mode)
	return f, d.named(err, name)
}

// named gives an error the path of its file.
func (d *Dir) named(err error, name string) error {
	if e, ok := err.(*fs.PathError); ok {
		return &fs.PathError{Op: "open", Path: d.Join(name), Err: e.Err}
	}
	return err
}

func (d *Dir) openExisting(name string, flag int) (*os.File, error) {
	before, err := d.root.Lstat(name)
	if err != nil {
		return nil, d.named(err, name)
	}
	if err := d.checkKind(name, before.Mode()); err != nil {
		return nil, err
	}
	f, err := d.root.OpenFile(name, flag&^(os.O_CREATE|os.O_TRUNC), 0)
	if err != nil {
		return nil, d.named(err, name)
	}
	if err = d.checkOpened(f, before); err == nil && flag&os.O_TRUNC != 0 {
		err = f.Truncate(0)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// checkKind reports why an existing file may not be used.
func (d *Dir) checkKind(name string, mode fs.FileMode) error {
	switch path := d.Join(name); {
	case mode&(fs.ModeSymlink|fs.ModeIrregular) != 0:
		return &refusal{path, "is a symbolic link, not a regular file", "remove it; the folder may be a link, its files may not"}
	case !mode.IsRegular():
		return &refusal{path, "is not a regular file", "remove it, or use another folder"}
	}
	return nil
}

// checkOpened reports why an open file may not be used. before is the file that was looked
// at before it was opened. A second name needs no check: only who may write to a file can
// give it one.
func (d *Dir) checkOpened(f *os.File, before fs.FileInfo) error {
	path := f.Name()
	now, err := f.Stat()
	if err != nil {
		return err
	}
	if !os.SameFile(before, now) {
		return &refusal{path, "was replaced while it was opened", "use a folder that only the sensor's user can write to"}
	}
	if d.force {
		return nil
	}
	owner, ours, err := ownerOf(windows.Handle(f.Fd()))
	if err == nil && !ours {
		err = ofAnother(path, owner, "remove it, or give it to the sensor's user, or use --force")
	}
	return err
}

// Owns reports whether a name is that of a regular file of an administrator or this user
// or, with force, of any user. Another user may have planted anything else.
func (d *Dir) Owns(name string) bool {
	f, err := d.openExisting(name, os.O_RDONLY)
	if err != nil {
		return false
	}
	return f.Close() == nil
}

// Size is the length of a file in the folder. It follows no link.
func (d *Dir) Size(name string) (int64, error) {
	st, err := d.root.Lstat(name)
	if err != nil {
		return 0, d.named(err, name)
	}
	return st.Size(), nil
}

// IsFile reports whether f is still the file of that name in the folder: whether nobody has
// moved, removed or replaced it.
func (d *Dir) IsFile(f *os.File, name string) bool {
	here, err := f.Stat()
	if err != nil {
		return false
	}
	there, err := d.root.Lstat(name)
	return err == nil && os.SameFile(here, there)
}

// isOther reports whether the name is that of something that is no regular file.
func (d *Dir) isOther(name string) bool {
	st, err := d.root.Lstat(name)
	return err == nil && !st.Mode().IsRegular()
}

// Truncate sets the length of f, a file of that name in the folder. A file that was opened
// for appending has not the right to do so.
func (d *Dir) Truncate(f *os.File, name string, size int64) error {
	st, err := f.Stat()
	if err != nil {
		return err
	}
	w, err := d.root.OpenFile(name, os.O_WRONLY, 0)
	if err != nil {
		return d.named(err, name)
	}
	defer w.Close()
	if now, err := w.Stat(); err != nil || !os.SameFile(st, now) {
		return &refusal{d.Join(name), "was replaced", "let no other program change the folder"}
	}
	return w.Truncate(size)
}

// SetModTime sets the modification time of a file that was opened for writing.
func SetModTime(f *os.File, at time.Time) error {
	ft := windows.NsecToFiletime(at.UnixNano())
	err := windows.SetFileTime(windows.Handle(f.Fd()), nil, &ft, &ft)
	if err != nil {
		return &fs.PathError{Op: "set the time of", Path: f.Name(), Err: err}
	}
	return nil
}
