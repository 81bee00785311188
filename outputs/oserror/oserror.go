// Package oserror says what an error of the operating system means: each system has numbers
// of its own for the same thing. Package io/fs covers files that exist, are missing, or may
// not be used; this one has the rest.
//
// In: errors. Out: true or false. It imports nothing of this project; inputs and outputs use
// it.
package oserror

import "errors"

// IsReset reports whether the other end has ended a connection at once.
func IsReset(err error) bool { return isAny(err, reset) }

// IsReaderGone reports whether nobody reads any more what is written to a pipe or a connection.
func IsReaderGone(err error) bool { return isAny(err, brokenPipe) || IsReset(err) }

// IsUnreachable reports whether the way to the other host is interrupted, or that host does
// not answer.
func IsUnreachable(err error) bool { return isAny(err, unreachable) }

// IsInUse reports whether a program listens at the address already.
func IsInUse(err error) bool { return isAny(err, inUse) }

// IsForeignAddress reports whether the address is none of this host's.
func IsForeignAddress(err error) bool { return isAny(err, foreignAddress) }

// IsDenied reports whether this user has not the right to do it. IsNotOwner is more: nobody
// but the owner has it, or root.
func IsDenied(err error) bool { return isAny(err, denied) }

// IsNotOwner reports whether only root or the owner can do it.
func IsNotOwner(err error) bool { return isAny(err, notOwner) }

// IsDiskFull reports whether there is no space left, on the file system or for this user.
func IsDiskFull(err error) bool { return isAny(err, diskFull) }

// IsReadOnly reports whether the file system cannot be written to.
func IsReadOnly(err error) bool { return isAny(err, readOnly) }

// IsNotFolder reports whether a component of a path is no folder.
func IsNotFolder(err error) bool { return isAny(err, notFolder) }

// IsBusy reports whether something is used in a way that forbids it.
func IsBusy(err error) bool { return isAny(err, busy) }

// IsUnwritable reports whether waiting does not make a file writable: it is not open for
// writing, or has the largest size that is allowed (ulimit -f).
func IsUnwritable(err error) bool { return isAny(err, unwritable) }

// IsTerminalGone reports whether the terminal was closed, if what was used is a terminal: a
// disk that fails in the same way may recover.
func IsTerminalGone(err error) bool { return isAny(err, terminalGone) }

func isAny(err error, list []error) bool {
	for _, e := range list {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}
