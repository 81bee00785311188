package file

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"dnsmonster-sensor/outputs/safefs"
)

// Look says what Check would find wrong with the folder, and changes nothing.
// That another sensor writes there is no matter: it may be the one that is asked
// about.
func (o *Output) CheckLocal() error {
	if o.path == "" {
		return nil // Settings says so
	}
	st, err := os.Stat(o.path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		err = fmt.Errorf("%w: make it first, with mkdir -p", err)
	case err == nil && !st.IsDir():
		err = fmt.Errorf("%s: %w", o.path, errNoFolder)
	case err == nil:
		err = o.lookInto()
	}
	if err != nil {
		return fmt.Errorf("fileoutputpath: %w", err)
	}
	return nil
}

func (o *Output) lookInto() error {
	d, err := safefs.Open(o.path, o.Common.Force)
	if err != nil {
		return err
	}
	defer d.Close()
	if err := d.Writable(); err != nil {
		return fmt.Errorf("%w: the sensor's user has to be able to write there", err)
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
