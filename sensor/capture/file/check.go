package file

import (
	"fmt"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"
)

// Check says which of the paths that Source would be opened for cannot be
// read. It opens nothing: that may mean something to a pipe's other end.
func Check(paths []string) (errs []error) {
	for _, path := range paths {
		if path == stdinPath {
			continue
		}
		if _, err := stat(path); err != nil {
			errs = append(errs, err)
		}
	}
	return errs
}

// stat looks at a file that is to be read.
func stat(path string) (fs.FileInfo, error) {
	st, err := os.Stat(path)
	if err == nil && st.IsDir() {
		err = fmt.Errorf("%s is a folder: name the files in it", path)
	}
	if err == nil {
		if err = unix.Access(path, unix.R_OK); err != nil {
			err = &fs.PathError{Op: "open", Path: path, Err: err}
		}
	}
	return st, err
}
