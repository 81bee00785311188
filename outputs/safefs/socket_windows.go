package safefs

import (
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/windows"
)

// Socket is a unix socket that this process listens on.
type Socket struct {
	*net.UnixListener
	dir  *Dir
	name string
	file fs.FileInfo // the socket's file
}

// ListenUnix makes a unix stream socket with a file, and listens on it. A socket that is
// there already is removed if nobody listens on it; other files are errors. The rights of
// the folder say who can connect: mode and group have no meaning here. Close leaves the
// file; see Remove.
func ListenUnix(path string, _ fs.FileMode, group int) (*Socket, error) {
	if group >= 0 {
		return nil, &refusal{path, "cannot be given to a group on Windows", "set the rights of its folder instead"}
	}
	d, err := Open(filepath.Dir(path), false)
	if err != nil {
		return nil, err
	}
	s := &Socket{dir: d, name: filepath.Base(path)}
	if err := s.listen(path); err != nil {
		d.Close()
		return nil, err
	}
	return s, nil
}

func (s *Socket) listen(path string) error {
	stale, err := s.dir.stale(s.name)
	if err == nil && stale {
		err = s.dir.Remove(s.name)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if s.UnixListener, err = net.ListenUnix("unix", &net.UnixAddr{Net: "unix", Name: path}); err != nil {
		return err
	}
	s.SetUnlinkOnClose(false)
	if s.file, err = s.dir.root.Lstat(s.name); err != nil {
		s.Close()
	}
	return err
}

// Remove removes the socket's file if it is still ours, and keeps listening: who has
// connected by then can be accepted. Another program can make its own socket from then on.
// It is called once.
func (s *Socket) Remove() error {
	defer s.dir.Close()
	if !s.Reachable() {
		return nil
	}
	return s.dir.Remove(s.name)
}

// Reachable reports whether the path still leads to the socket's file.
func (s *Socket) Reachable() bool {
	now, err := os.Lstat(s.dir.Join(s.name))
	return err == nil && os.SameFile(now, s.file)
}

// connectPatience is how long a socket may take to say whether somebody listens on it.
const connectPatience = time.Second

// stale reports whether there is a socket of that name on which nobody listens. If there
// is something else, it says what.
func (d *Dir) stale(name string) (bool, error) {
	path := d.Join(name)
	st, err := d.root.Lstat(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return false, nil
	case err != nil:
		return false, err
	case st.Mode()&fs.ModeSymlink != 0:
		return false, &refusal{path, "is a symbolic link, not a socket", "remove it, or name the path that it leads to"}
	case st.Mode()&fs.ModeSocket == 0:
		return false, &refusal{path, "exists and is not a socket", "remove it, or use another path"}
	}
	c, err := net.DialTimeout("unix", path, connectPatience)
	switch {
	case err == nil:
		c.Close()
		return false, &fs.PathError{Op: "listen", Path: path, Err: ErrInUse}
	case errors.Is(err, windows.WSAECONNREFUSED):
		return true, nil
	}
	return false, pathError("connect", path, err)
}
