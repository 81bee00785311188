package folder

import (
	"errors"
	"io/fs"
	"os"
	"sync"
	"sync/atomic"

	"dnsmonster-sensor/outputs"
	"dnsmonster-sensor/outputs/oserror"
	"dnsmonster-sensor/outputs/safefs"
	"dnsmonster-sensor/userspace/account"
)

// Files is the folder of an output, open from Check, or the first Open, to the Close of
// the last writer. The zero value is closed.
type Files struct {
	meters meters

	mu      sync.Mutex
	folder  *Folder
	writers int // that use folder
}

// meters counts what happens beside the delivery.
type meters struct{ rotations, compressionFailures, tornBytes atomic.Uint64 }

// Check opens the folder and keeps it open. An error that trying again does not repair
// is permanent.
func (s *Files) Check(o Options) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	err := s.acquire(o)
	for _, lasting := range []error{ErrInUse, ErrForeign, errNotFolder, errNotRegular, safefs.ErrUnsafe, fs.ErrNotExist, fs.ErrPermission} {
		if errors.Is(err, lasting) {
			return outputs.Permanent(err)
		}
	}
	if oserror.IsNotFolder(err) || oserror.IsReadOnly(err) {
		return outputs.Permanent(err)
	}
	return err // other errors are temporary, such as a full disk
}

// acquire opens the folder unless it is open.
func (s *Files) acquire(o Options) (err error) {
	if s.folder == nil {
		s.folder, err = open(o, &s.meters)
	}
	return err
}

// Open returns a writer. All writers share the file and write one block at a time.
func (s *Files) Open(o Options, encode Encode) (outputs.Writer, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.acquire(o); err != nil {
		return nil, err
	}
	s.writers++
	return &writer{files: s, folder: s.folder, encode: encode}, nil
}

// release is called once by each writer. The last call closes the folder.
func (s *Files) release() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.writers--; s.writers > 0 {
		return nil
	}
	f := s.folder
	s.folder = nil
	return f.close()
}

// Folder is the folder, nil while it is closed.
func (s *Files) Folder() *Folder {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.folder
}

// Meters returns counters beside the ledgers.
func (s *Files) Meters() []account.Line {
	return []account.Line{
		{Name: "rotations", Value: s.meters.rotations.Load()},
		{Name: "compression_failures", Value: s.meters.compressionFailures.Load()}, // attempts; each is repeated
		{Name: "torn_bytes", Value: s.meters.tornBytes.Load()},                     // of an incomplete record that a crash left
	}
}

// CheckLocal reports what Check would find wrong, and changes nothing. It ignores the
// lock: a running sensor with this configuration holds it.
func CheckLocal(o Options) error {
	d, err := openDir(o.Path, o.Name, o.Force)
	if err != nil {
		return err
	}
	defer d.Close()
	if err := d.Writable(); err != nil {
		return notWritable(err)
	}
	f, err := d.OpenFile(o.Name, os.O_WRONLY, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil {
		err = f.Close()
	}
	return err
}
