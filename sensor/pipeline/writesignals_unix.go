//go:build unix

package pipeline

import (
	"os/signal"
	"syscall"
)

// ignoreWriteSignals turns two signals that would end the process into write errors: a
// reader closes its end of a pipe, or a file reaches its limit (ulimit -f).
func ignoreWriteSignals() { signal.Ignore(syscall.SIGPIPE, syscall.SIGXFSZ) }
