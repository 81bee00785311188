package cli

import (
	"io/fs"
	"os"

	"golang.org/x/sys/windows"
)

// ignoreSizeSignal has nothing to do: the system has no such signal.
func ignoreSizeSignal() {}

// noFollow opens a file, and no link to one.
const noFollow = windows.FILE_FLAG_OPEN_REPARSE_POINT

// keepOwner has nothing to do: a file gets its owner and rights from the folder.
func keepOwner(*os.File, fs.FileInfo) error { return nil }
