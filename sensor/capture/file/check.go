package file

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
)

// Check reports which paths cannot be read. It opens nothing: the other end of a pipe
// would notice.
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

// stat checks that a path can be read.
func stat(path string) (fs.FileInfo, error) {
	st, err := os.Stat(path)
	switch {
	case err != nil:
		err = errors.Unwrap(err)
	case st.IsDir():
		return nil, fmt.Errorf("%s is a folder: name the files in it", path)
	default:
		err = readable(path)
	}
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	return st, nil
}
