package file

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
)

// CheckLocal reports what Check would find wrong with the folder, and changes nothing.
// It ignores the lock: a running sensor with this configuration holds it.
func (o *Output) CheckLocal() error {
	if o.path == "" {
		return nil // Settings reports it
	}
	if err := o.checkFolder(); err != nil {
		return fmt.Errorf("fileoutputpath: %w", err)
	}
	return nil
}

func (o *Output) checkFolder() error {
	d, err := openDir(o.path, o.Common.Force)
	if err != nil {
		return err
	}
	defer d.Close()
	if err := d.Writable(); err != nil {
		return notWritable(err)
	}
	f, err := d.OpenFile(logName, os.O_WRONLY, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil {
		err = f.Close()
	}
	return err
}
