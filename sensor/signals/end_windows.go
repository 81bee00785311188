package signals

import (
	"os"
	"syscall"
)

// interrupted is STATUS_CONTROL_C_EXIT, as a number with a sign.
const interrupted = -0x3ffffec6

// endBy ends the process as the system does after Ctrl-C, or when the console is closed.
func endBy(syscall.Signal) { os.Exit(interrupted) }
