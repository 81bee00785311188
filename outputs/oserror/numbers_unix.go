//go:build unix

package oserror

import "syscall"

var (
	reset          = []error{syscall.ECONNRESET}
	brokenPipe     = []error{syscall.EPIPE}
	unreachable    = []error{syscall.ETIMEDOUT, syscall.EHOSTUNREACH, syscall.ENETUNREACH}
	inUse          = []error{syscall.EADDRINUSE}
	foreignAddress = []error{syscall.EADDRNOTAVAIL}
	denied         = []error{syscall.EACCES}
	notOwner       = []error{syscall.EPERM}
	diskFull       = []error{syscall.ENOSPC, syscall.EDQUOT}
	readOnly       = []error{syscall.EROFS}
	notFolder      = []error{syscall.ENOTDIR}
	busy           = []error{syscall.EBUSY}
	unwritable     = []error{syscall.EFBIG, syscall.EBADF, syscall.EINVAL, syscall.EPERM, syscall.ENXIO}
	terminalGone   = []error{syscall.EIO}
)
