// Package folder is the folder of an output: a current file, to which blocks are appended
// as a whole or not at all, and old files, which are compressed and in the end removed.
//
//	block -> encode -> Folder.Append -> <name> -> rotation -> <name>.<time> -> <name>.gz.<time>
//
// In: the text of blocks, and a Framing, which says what the files look like. Out: files.
// Outputs share it; it knows none of them. Its tests, and those of outputs/file and
// outputs/dnstap, use folders of their own.
package folder

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"dnsmonster-sensor/outputs/safefs"
)

const fileMode = 0o640

// Errors that somebody has to repair: trying again does not help.
var (
	ErrInUse      = errors.New("another sensor writes there: give each its own folder")
	errNotFolder  = errors.New("not a folder")
	errNotRegular = errors.New("not a regular file")
)

// Options say where the folder is, and what its files look like.
type Options struct {
	Framing
	Rotation
	Path  string
	Force bool // accept a folder that other users can change
	Log   *slog.Logger
}

// Folder is an open folder with its current file, locked for this process. A block is
// written to the file as a whole or not at all, one block at a time.
type Folder struct {
	Options
	WriteFile   func(*os.File, []byte) (int, error) // (*os.File).Write, except in tests
	SyncFile    func(*os.File) error                // (*os.File).Sync, except in tests
	schedule    schedule
	compression compression
	meters      *meters
	tasks       sync.WaitGroup
	wake        chan struct{}      // holds a token: tidy up the old files
	quit        chan struct{}      // closed: the tasks end once the old files are tidied up
	cancel      context.CancelFunc // aborts tidying up

	mu        sync.Mutex
	dir       *safefs.Dir // nil: the path leads to no usable folder
	lock      *os.File    // in dir
	file      *os.File    // in dir; nil: none
	written   time.Time   // when the file was last written, as it was opened
	ended     bool        // the file ends with the trailer
	torn      bool        // the file ends with part of a failed block
	wholeSize int64       // of the file without that part
	next      time.Time   // of the next rotation
}

// open opens the folder and its file and completes what an earlier run left undone.
func open(o Options, m *meters) (*Folder, error) {
	f := &Folder{
		Options: o, meters: m, WriteFile: (*os.File).Write, SyncFile: (*os.File).Sync,
		wake: make(chan struct{}, 1), quit: make(chan struct{}),
	}
	var err error
	if f.schedule, err = parseSchedule(o.Cron); err != nil {
		return nil, err
	}
	if f.compression, err = findCompression(o.Compress); err != nil {
		return nil, err
	}
	if err := f.start(time.Now()); err != nil {
		f.release()
		return nil, err
	}
	var ctx context.Context
	ctx, f.cancel = context.WithCancel(context.Background())
	if o.Count > 0 {
		f.tasks.Go(f.rotateOnSchedule)
		f.tasks.Go(func() { f.tidyUp(ctx) })
	}
	return f, nil
}

// openAndLock opens and locks the folder at the path.
func (f *Folder) openAndLock() error {
	var err error
	if f.dir, err = openDir(f.Path, f.Name, f.Force); err != nil {
		return err
	}
	f.lock, err = takeLock(f.dir, f.Lock)
	if errors.Is(err, fs.ErrPermission) {
		err = notWritable(err)
	}
	return err
}

// openDir opens an existing folder. Its errors say how to repair what is wrong.
func openDir(path, name string, force bool) (*safefs.Dir, error) {
	st, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("%s: %w: make the folder with: %s", path, syscall.ENOENT, makeFolder(path))
	case err == nil && !st.IsDir():
		return nil, fmt.Errorf("%s: %w: name the folder of %s", path, errNotFolder, name)
	}
	return safefs.Open(path, force)
}

// makeFolder is the command that makes a folder. Under sudo it is root's, as the sensor is:
// it refuses a folder of another user.
func makeFolder(path string) string {
	if _, sudo := os.LookupEnv("SUDO_UID"); sudo && os.Geteuid() == 0 {
		return "sudo mkdir -p " + path
	}
	return "mkdir -p " + path
}

func notWritable(err error) error {
	return fmt.Errorf("%w: the sensor's user must be able to write there", err)
}

// release closes the file, the lock and the folder.
func (f *Folder) release() {
	f.leave()
	f.lock.Close()
	if f.dir != nil {
		f.dir.Close()
	}
	f.file, f.lock, f.dir = nil, nil, nil
}

// takeLock takes a lock that ends with the process. The lock file is never removed:
// otherwise two processes could hold a lock each.
func takeLock(dir *safefs.Dir, name string) (*os.File, error) {
	file, err := dir.OpenFile(name, os.O_RDWR|os.O_CREATE, fileMode)
	if err != nil {
		return nil, err
	}
	if err := safefs.Lock(file); err != nil {
		file.Close()
		if errors.Is(err, safefs.ErrLocked) {
			return nil, fmt.Errorf("%s: %w", dir.Path(), ErrInUse)
		}
		return nil, fmt.Errorf("lock %s: %w", file.Name(), err)
	}
	return file, nil
}

// Current is the path of the current file.
func (f *Folder) Current() string { return filepath.Join(f.Path, f.Name) }

// start opens the file. A file that was last written before the latest rotation time,
// or that lacks the header of its format, is rotated first.
func (f *Folder) start(now time.Time) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.ensureOpen(); err != nil {
		return err
	}
	f.next = f.schedule.after(now)
	st, err := f.file.Stat()
	if err != nil || f.lacksRecords(st.Size()) {
		return err
	}
	foreign := f.Header != "" && !beginsWith(f.file, f.Header) // of another format
	switch {
	case f.Count == 0 && foreign:
		f.Log.Warn("the file does not start with the header of its format, and is continued: rotation is off", "file", f.Current())
	case f.Count > 0 && (foreign || !f.schedule.after(f.written).After(now)):
		return f.rotate(now)
	}
	return nil
}

func beginsWith(file *os.File, text string) bool {
	start := make([]byte, len(text))
	n, _ := file.ReadAt(start, 0)
	return string(start[:n]) == text
}

// openFile opens or creates the file and cuts off an incomplete record that a crash
// left. A file of another format, which cannot be continued, becomes an old file.
func (f *Folder) openFile() error {
	file, err := f.createOrOpen()
	if errors.Is(err, ErrForeign) && f.Count > 0 {
		f.Log.Warn("the file is not of this format, and is kept as an old one", "file", f.Current(), "error", err)
		if err = f.setAside(time.Now()); err == nil {
			file, err = f.createOrOpen()
		}
	}
	if err != nil {
		return err
	}
	f.file, f.torn = file, false
	return nil
}

func (f *Folder) createOrOpen() (*os.File, error) {
	f.ended, f.written = false, time.Now()
	file, err := f.dir.OpenFile(f.Name, os.O_RDWR|os.O_APPEND|os.O_CREATE|os.O_EXCL, fileMode)
	if err == nil {
		err = errors.Join(file.Chmod(fileMode), f.syncFolder()) // whatever the umask is
	} else if errors.Is(err, fs.ErrExist) {
		if file, err = f.dir.OpenFile(f.Name, os.O_RDWR|os.O_APPEND, 0); err == nil {
			err = f.cutTornRecord(file)
		}
	}
	if err == nil {
		err = f.begin(file)
	}
	if err != nil {
		if file != nil {
			file.Close()
		}
		return nil, err
	}
	return file, nil
}

// syncFolder syncs file names to the medium, if each block is synced.
func (f *Folder) syncFolder() error {
	if !f.Sync {
		return nil
	}
	return f.dir.Sync()
}

// cutTornRecord truncates a file after its last whole record. A record that is not whole
// never counted as delivered. A trailer stays until the next record.
func (f *Folder) cutTornRecord(file *os.File) error {
	st, err := file.Stat()
	if err != nil {
		return err
	}
	f.written = st.ModTime()
	end, err := f.End(file, st.Size())
	if err != nil || end == st.Size() {
		return err
	}
	if f.Trailer != "" && st.Size()-end == int64(len(f.Trailer)) && f.endsWithTrailer(file, st.Size()) {
		f.ended = true
		return nil
	}
	if err := f.dir.Truncate(file, f.Name, end); err != nil {
		return err
	}
	f.meters.tornBytes.Add(uint64(st.Size() - end))
	f.Log.Warn("the file ended with an incomplete record, which is cut off", "file", f.Current(), "bytes", st.Size()-end)
	return nil
}

// Append appends text to the file as a whole or not at all.
func (f *Folder) Append(text []byte) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.ensureOpen(); err != nil {
		return err
	}
	size, err := f.resume()
	if err != nil {
		return err
	}
	if size == 0 && f.Header != "" {
		text = append([]byte(f.Header), text...)
	}
	if _, err = f.WriteFile(f.file, text); err == nil && f.Sync {
		err = f.SyncFile(f.file)
	}
	if err != nil {
		f.torn, f.wholeSize = true, size
		return errors.Join(err, f.undoTornBlock())
	}
	return nil
}

// undoTornBlock removes what a failed block has left in the file.
func (f *Folder) undoTornBlock() error {
	if !f.torn {
		return nil
	}
	st, err := f.file.Stat()
	if err == nil && st.Size() > f.wholeSize { // otherwise it was truncated meanwhile
		err = f.dir.Truncate(f.file, f.Name, f.wholeSize)
	}
	if err != nil {
		return err
	}
	f.torn = false
	return nil
}

// ensureOpen makes sure that the file, the folder and its lock are still those at
// their paths: each may have been moved, removed or replaced.
func (f *Folder) ensureOpen() error {
	if f.file != nil {
		if err := f.undoTornBlock(); err != nil {
			return err
		}
	}
	if !f.isStillThere() {
		f.release()
		if err := f.openAndLock(); err != nil {
			f.release()
			return err
		}
	}
	if f.file != nil {
		if f.dir.IsFile(f.file, f.Name) {
			return nil
		}
		f.leave()
	}
	return f.openFile()
}

// isStillThere reports whether folder and lock are open and still those at their paths.
func (f *Folder) isStillThere() bool {
	if f.dir == nil || f.lock == nil {
		return false
	}
	current, err := f.dir.IsCurrent()
	return err == nil && current && f.dir.IsFile(f.lock, f.Lock)
}

// tidyTimeout is how long close waits for the compression of old files. The next start
// compresses the rest.
const tidyTimeout = 5 * time.Second

// close waits for background work up to tidyTimeout and releases the folder.
func (f *Folder) close() error {
	close(f.quit)
	timer := time.AfterFunc(tidyTimeout, f.cancel)
	f.tasks.Wait()
	timer.Stop()
	f.cancel()
	f.mu.Lock()
	defer f.mu.Unlock()
	defer f.release()
	if f.file == nil {
		return nil
	}
	return errors.Join(f.undoTornBlock(), f.end(), f.file.Sync())
}
