//go:build unix

package safefs

import (
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// Socket is a unix socket that this process listens on.
type Socket struct {
	*net.UnixListener
	dir  *Dir
	name string
	fd   int         // of the socket's file, where the system gives one: while it is open no other file can have its number
	st   unix.Stat_t // of the socket's file
}

// socketBacklog is how many connections may wait; the kernel has a bound of its own.
const socketBacklog = 4096

// ListenUnix makes a unix stream socket with a file, and listens on it. A socket that is
// there already is removed if nobody listens on it; other files are errors. The file has
// that mode, whatever the umask is, and that group (-1: as it comes) before anybody can
// connect. Close leaves the file; see Remove.
func ListenUnix(path string, mode fs.FileMode, group int) (*Socket, error) {
	d, err := Open(filepath.Dir(path), false)
	if err != nil {
		return nil, err
	}
	s := &Socket{dir: d, name: filepath.Base(path), fd: -1}
	if err := s.listen(path, mode, group); err != nil {
		s.release()
		return nil, err
	}
	return s, nil
}

func (s *Socket) listen(path string, mode fs.FileMode, group int) error {
	unlock := s.dir.lock()
	defer unlock()
	if err := s.dir.removeStale(s.name); err != nil {
		return err
	}
	fd, err := newSocket()
	if err != nil {
		return os.NewSyscallError("socket", err)
	}
	file := os.NewFile(uintptr(fd), path)
	defer file.Close() // the listener has its own descriptor
	if err := unix.Bind(fd, &unix.SockaddrUnix{Name: path}); err != nil {
		return &net.OpError{Op: "bind", Net: "unix", Addr: &net.UnixAddr{Net: "unix", Name: path}, Err: os.NewSyscallError("bind", err)}
	}
	if err = s.prepare(mode, group); err == nil {
		err = os.NewSyscallError("listen", unix.Listen(fd, socketBacklog)) // from here on others can connect
	}
	if err == nil {
		var l net.Listener
		if l, err = net.FileListener(file); err == nil {
			s.UnixListener = l.(*net.UnixListener)
			s.SetUnlinkOnClose(false)
			return nil
		}
	}
	s.remove()
	return err
}

// prepare sets the rights of the socket's file, on which nobody can connect yet.
func (s *Socket) prepare(mode fs.FileMode, group int) error {
	path := s.dir.Join(s.name)
	c, err := lookAt(s.dir.fd, s.name)
	if err != nil {
		return pathError("open", path, err)
	}
	s.fd, s.st = c.fd, c.st
	if s.st.Mode&unix.S_IFMT != unix.S_IFSOCK || int(s.st.Uid) != os.Geteuid() {
		s.st = unix.Stat_t{}
		return &refusal{path, "was replaced while it was made", "use a folder that only the sensor's user can write to"}
	}
	if group >= 0 {
		if err := c.giveTo(group); err != nil {
			return pathError("chgrp", path, err)
		}
	}
	return pathError("chmod", path, c.setMode(uint32(mode.Perm())))
}

// Remove removes the socket's file if it is still ours, and keeps listening: who has
// connected by then can be accepted. Another program can make its own socket from then on.
// It is called once.
func (s *Socket) Remove() error {
	defer s.release()
	return s.remove()
}

// Reachable reports whether the path still leads to the socket's file.
func (s *Socket) Reachable() bool {
	var now unix.Stat_t
	return unix.Lstat(s.dir.Join(s.name), &now) == nil && sameFile(&now, &s.st)
}

func (s *Socket) release() {
	closeFd(s.fd)
	s.dir.Close()
}

func (s *Socket) remove() error {
	var now unix.Stat_t
	err := unix.Fstatat(s.dir.fd, s.name, &now, unix.AT_SYMLINK_NOFOLLOW)
	if err == nil && sameFile(&now, &s.st) {
		err = unix.Unlinkat(s.dir.fd, s.name, 0)
	}
	if errors.Is(err, unix.ENOENT) {
		return nil
	}
	return pathError("remove", s.dir.Join(s.name), err)
}

// lock keeps other processes that use it out of the folder, so that a socket which one has
// made, and does not listen on yet, is not taken for a stale one. Anybody who can read the
// folder can hold the lock, so it is waited for only a moment.
func (d *Dir) lock() (unlock func()) {
	for end := time.Now().Add(lockWait); ; time.Sleep(5 * time.Millisecond) {
		err := unix.Flock(d.fd, unix.LOCK_EX|unix.LOCK_NB)
		switch {
		case err == nil:
			return func() { unix.Flock(d.fd, unix.LOCK_UN) }
		case time.Now().After(end) || !errors.Is(err, unix.EWOULDBLOCK) && !errors.Is(err, unix.EINTR):
			return func() {}
		}
	}
}

const lockWait = time.Second

func (d *Dir) removeStale(name string) error {
	is, err := d.stale(name)
	if err != nil || !is {
		return err
	}
	err = unix.Unlinkat(d.fd, name, 0)
	if errors.Is(err, unix.ENOENT) {
		return nil
	}
	return pathError("remove", d.Join(name), err)
}

// stale reports whether there is a socket of that name on which nobody listens. If there
// is something else, it says what.
func (d *Dir) stale(name string) (bool, error) {
	path := d.Join(name)
	var st unix.Stat_t
	err := unix.Fstatat(d.fd, name, &st, unix.AT_SYMLINK_NOFOLLOW)
	switch {
	case errors.Is(err, unix.ENOENT):
		return false, nil
	case err != nil:
		return false, pathError("stat", path, err)
	case st.Mode&unix.S_IFMT == unix.S_IFLNK:
		return false, &refusal{path, "is a symbolic link, not a socket", "remove it, or name the path that it leads to"}
	case st.Mode&unix.S_IFMT != unix.S_IFSOCK:
		return false, &refusal{path, "exists and is not a socket", "remove it, or use another path"}
	}
	fd, err := newSocket()
	if err != nil {
		return false, os.NewSyscallError("socket", err)
	}
	defer unix.Close(fd)
	switch err := unix.Connect(fd, &unix.SockaddrUnix{Name: path}); {
	case errors.Is(err, unix.ECONNREFUSED):
		return true, nil
	case errors.Is(err, unix.ENOENT):
		return false, nil
	case err == nil, errors.Is(err, unix.EAGAIN), errors.Is(err, unix.EPROTOTYPE):
		return false, &fs.PathError{Op: "listen", Path: path, Err: ErrInUse}
	default:
		return false, pathError("connect", path, err)
	}
}
