//go:build unix && !linux

package safefs

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// lookAt looks at a component without following it. Only folders are opened: opening
// something else may have an effect on it.
func lookAt(at int, name string) (*component, error) {
	c := &component{at: at, name: name, fd: -1}
	if err := unix.Fstatat(at, name, &c.st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return nil, err
	}
	if c.st.Mode&unix.S_IFMT != unix.S_IFDIR {
		return c, nil
	}
	var err error
	if c.fd, err = openAt(at, name, forPassing|unix.O_DIRECTORY|unix.O_NOFOLLOW); err != nil {
		return nil, err
	}
	if err := unix.Fstat(c.fd, &c.st); err != nil { // of what was opened, which may be another one by now
		closeFd(c.fd)
		return nil, err
	}
	return c, nil
}

// readLink returns the target of the link that was looked at. A link that was replaced
// meanwhile may be another user's.
func (c *component) readLink() (string, error) {
	room := make([]byte, unix.PathMax)
	n, err := unix.Readlinkat(c.at, c.name, room)
	if err != nil {
		return "", err
	}
	var now unix.Stat_t
	if err := unix.Fstatat(c.at, c.name, &now, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return "", err
	}
	if n == 0 || !sameFile(&now, &c.st) || now.Ctim != c.st.Ctim {
		return "", unix.ENOENT
	}
	return string(room[:n]), nil
}

// giveTo gives what was looked at to a group. It follows no link.
func (c *component) giveTo(group int) error {
	return unix.Fchownat(c.at, c.name, -1, group, unix.AT_SYMLINK_NOFOLLOW)
}

// setMode sets the mode of what was looked at. It follows no link.
func (c *component) setMode(mode uint32) error {
	return unix.Fchmodat(c.at, c.name, mode, unix.AT_SYMLINK_NOFOLLOW)
}

func newSocket() (int, error) {
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	if err != nil {
		return -1, err
	}
	unix.CloseOnExec(fd)
	if err := unix.SetNonblock(fd, true); err != nil {
		unix.Close(fd)
		return -1, err
	}
	return fd, nil
}
