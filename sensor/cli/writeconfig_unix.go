//go:build unix

package cli

import (
	"io/fs"
	"os"
	"os/signal"
	"syscall"
)

// ignoreSizeSignal makes a limit of file size a write error.
func ignoreSizeSignal() { signal.Ignore(syscall.SIGXFSZ) }

// noFollow opens a file, and no link to one, without waiting for a pipe's other end.
const noFollow = syscall.O_NOFOLLOW | syscall.O_NONBLOCK

// keepOwner gives a file to the owner of the one that it replaces. Only root can.
func keepOwner(f *os.File, old fs.FileInfo) error {
	owner := old.Sys().(*syscall.Stat_t)
	if err := f.Chown(int(owner.Uid), int(owner.Gid)); err != nil && os.Geteuid() == 0 {
		return err
	}
	return nil
}
