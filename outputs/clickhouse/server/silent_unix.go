//go:build unix

package server

import "syscall"

// isSilent reports whether a connection is open and nothing has come. It does not wait.
func isSilent(fd uintptr) bool {
	var b [1]byte
	_, _, err := syscall.Recvfrom(int(fd), b[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
	return err == syscall.EAGAIN
}
