package capture

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// LookAtInterfaces says which of the interfaces that a Ring would be opened for
// are not there. It changes nothing.
func LookAtInterfaces(names []string) error {
	var errs []error
	for _, name := range names {
		var missing netlink.LinkNotFoundError
		if _, err := netlink.LinkByName(name); name == Any || !errors.As(err, &missing) {
			continue
		}
		var there []string
		if all, err := net.Interfaces(); err == nil {
			for _, i := range all {
				there = append(there, i.Name)
			}
		}
		errs = append(errs, fmt.Errorf("interface %s: there is none (there are: %s)", name, strings.Join(there, ", ")))
	}
	return errors.Join(errs...)
}

// LookAtFiles says which of the paths that Inputs would be opened for cannot be
// read. It opens nothing: that may mean something to a pipe's other end.
func LookAtFiles(paths []string) (errs []error) {
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
