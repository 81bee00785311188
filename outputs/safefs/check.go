package safefs

import (
	"errors"
	"io/fs"
	"path/filepath"
)

// Check reports why Open or, with mayMake, Make would refuse a folder, or why nothing can
// be written to it. It changes nothing.
func Check(path string, mayMake, force bool) error {
	d, err := Open(path, force)
	if mayMake && errors.Is(err, fs.ErrNotExist) {
		if above := filepath.Dir(path); above != path {
			return Check(above, true, force)
		}
	}
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Writable()
}
