package safefs

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// forPassing opens a folder, for which the right to pass through it is enough.
const forPassing = unix.O_PATH

// lookAt opens a component without following it and without any effect on it.
func lookAt(at int, name string) (*component, error) {
	c := &component{at: at, name: name}
	var err error
	if c.fd, err = openAt(at, name, unix.O_PATH|unix.O_NOFOLLOW); err != nil {
		return nil, err
	}
	if err := unix.Fstat(c.fd, &c.st); err != nil {
		closeFd(c.fd)
		return nil, err
	}
	return c, nil
}

// readLink returns the target of the link that was looked at.
func (c *component) readLink() (string, error) {
	room := make([]byte, unix.PathMax)
	n, err := unix.Readlinkat(c.fd, "", room)
	if err != nil {
		return "", err
	}
	if n == 0 {
		return "", unix.ENOENT
	}
	return string(room[:n]), nil
}

func freeBytes(st *unix.Statfs_t) int64 { return int64(st.Bavail) * int64(st.Bsize) }

// giveTo gives what was looked at to a group.
func (c *component) giveTo(group int) error {
	return unix.Fchownat(c.fd, "", -1, group, unix.AT_EMPTY_PATH)
}

// setMode goes through /proc, because before Linux 6.6 no call changes the mode of such a
// descriptor.
func (c *component) setMode(mode uint32) error {
	return unix.Chmod(fmt.Sprintf("/proc/self/fd/%d", c.fd), mode)
}

func newSocket() (int, error) {
	return unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
}
