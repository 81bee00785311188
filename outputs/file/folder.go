package file

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"dnsmonster-sensor/outputs/safefs"
)

const (
	logName  = "dnsmonster.log"
	lockName = ".dnsmonster.lock"
	fileMode = 0o640
)

// Errors that somebody has to repair: trying again does not help.
var (
	errInUse      = errors.New("another sensor writes there: give each its own folder")
	errNotFolder  = errors.New("not a folder: name the folder of " + logName)
	errNotRegular = errors.New("not a regular file")
)

type folderOptions struct {
	path        string
	force       bool   // accept a folder that other users can change
	header      string // of each file
	keep        int    // number of old files; 0: no rotation
	schedule    schedule
	compression compression
	sync        bool // sync each block to the medium
	meters      *meters
	logger      *slog.Logger
}

// folder is an open folder with its current file, locked for this process. A block is
// written to the file as a whole or not at all, one block at a time.
type folder struct {
	folderOptions
	write    func(*os.File, []byte) (int, error) // (*os.File).Write, except in tests
	syncFile func(*os.File) error                // (*os.File).Sync, except in tests
	tasks    sync.WaitGroup
	wake     chan struct{}      // holds a token: tidy up the old files
	quit     chan struct{}      // closed: the tasks end once the old files are tidied up
	cancel   context.CancelFunc // aborts tidying up

	mu        sync.Mutex
	dir       *safefs.Dir // nil: the path leads to no usable folder
	lock      *os.File    // in dir
	file      *os.File    // in dir; nil: none
	torn      bool        // the file ends with part of a failed block
	wholeSize int64       // of the file without that part
	next      time.Time   // of the next rotation
}

// openFolder opens the folder and its file and completes what an earlier run left
// undone.
func openFolder(o folderOptions) (*folder, error) {
	f := &folder{folderOptions: o, write: (*os.File).Write, syncFile: (*os.File).Sync, wake: make(chan struct{}, 1), quit: make(chan struct{})}
	if err := f.start(time.Now()); err != nil {
		f.release()
		return nil, err
	}
	var ctx context.Context
	ctx, f.cancel = context.WithCancel(context.Background())
	if o.keep > 0 {
		f.tasks.Go(f.rotateOnSchedule)
		f.tasks.Go(func() { f.tidyUp(ctx) })
	}
	return f, nil
}

// openAndLock opens and locks the folder at the path.
func (f *folder) openAndLock() error {
	var err error
	if f.dir, err = openDir(f.path, f.force); err != nil {
		return err
	}
	f.lock, err = takeLock(f.dir)
	if errors.Is(err, fs.ErrPermission) {
		err = notWritable(err)
	}
	return err
}

// openDir opens an existing folder. Its errors say how to repair what is wrong.
func openDir(path string, force bool) (*safefs.Dir, error) {
	st, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("%s: %w: make the folder with: %s", path, unix.ENOENT, makeFolder(path))
	case err == nil && !st.IsDir():
		return nil, fmt.Errorf("%s: %w", path, errNotFolder)
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
func (f *folder) release() {
	f.file.Close() // nil is allowed
	f.lock.Close()
	if f.dir != nil {
		f.dir.Close()
	}
	f.file, f.lock, f.dir = nil, nil, nil
}

// takeLock takes a lock that ends with the process. The lock file is never removed:
// otherwise two processes could hold a lock each.
func takeLock(dir *safefs.Dir) (*os.File, error) {
	file, err := dir.OpenFile(lockName, os.O_RDWR|os.O_CREATE, fileMode)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		file.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, fmt.Errorf("%s: %w", dir.Path(), errInUse)
		}
		return nil, fmt.Errorf("lock %s: %w", file.Name(), err)
	}
	return file, nil
}

// logPath is the path of the current file.
func (f *folder) logPath() string { return filepath.Join(f.path, logName) }

// start opens the file. A file that was last written before the latest rotation time,
// or that lacks the header of its format, is rotated first.
func (f *folder) start(now time.Time) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.ensureOpen(); err != nil {
		return err
	}
	f.next = f.schedule.after(now)
	st, err := f.file.Stat()
	if err != nil || st.Size() == 0 {
		return err
	}
	foreign := f.header != "" && !beginsWith(f.file, f.header) // of another format
	switch {
	case f.keep == 0 && foreign:
		f.logger.Warn("the file does not start with the header of its format, and is continued: rotation is off", "file", f.logPath())
	case f.keep > 0 && (foreign || !f.schedule.after(st.ModTime()).After(now)):
		return f.rotate(now)
	}
	return nil
}

func beginsWith(file *os.File, text string) bool {
	start := make([]byte, len(text))
	n, _ := file.ReadAt(start, 0)
	return string(start[:n]) == text
}

// openFile opens or creates the file and cuts off an incomplete line that a crash
// left.
func (f *folder) openFile() error {
	file, err := f.dir.OpenFile(logName, os.O_RDWR|os.O_APPEND|os.O_CREATE|os.O_EXCL, fileMode)
	if err == nil {
		err = errors.Join(file.Chmod(fileMode), f.syncFolder()) // whatever the umask is
	} else if errors.Is(err, fs.ErrExist) {
		if file, err = f.dir.OpenFile(logName, os.O_RDWR|os.O_APPEND, 0); err == nil {
			err = f.cutTornRecord(file)
		}
	}
	if err != nil {
		if file != nil {
			file.Close()
		}
		return err
	}
	f.file, f.torn = file, false
	return nil
}

// syncFolder syncs file names to the medium, with --fileoutputsync.
func (f *folder) syncFolder() error {
	if !f.sync {
		return nil
	}
	return f.dir.Sync()
}

// cutTornRecord truncates a file after its last complete line. An incomplete line
// belongs to a record that never counted as delivered.
func (f *folder) cutTornRecord(file *os.File) error {
	st, err := file.Stat()
	if err != nil {
		return err
	}
	end, err := lastLineEnd(file, st.Size())
	if err != nil || end == st.Size() {
		return err
	}
	if err := file.Truncate(end); err != nil {
		return err
	}
	f.meters.tornBytes.Add(uint64(st.Size() - end))
	f.logger.Warn("the file ended with an incomplete record, which is cut off", "file", f.logPath(), "bytes", st.Size()-end)
	return nil
}

// longestLine bounds the search for a line end: the longest record has a few hundred
// KiB.
const longestLine = 16 << 20

// lastLineEnd returns the offset after the last line end.
func lastLineEnd(file *os.File, size int64) (int64, error) {
	buf := make([]byte, 64<<10)
	for end := size; end > 0; {
		if size-end > longestLine {
			return 0, fmt.Errorf("%s: %w of records: its last %d MiB have no line end", file.Name(), errNotRegular, longestLine>>20)
		}
		start := max(0, end-int64(len(buf)))
		part := buf[:end-start]
		if _, err := file.ReadAt(part, start); err != nil {
			return 0, err
		}
		for i := len(part) - 1; i >= 0; i-- {
			if part[i] == '\n' {
				return start + int64(i) + 1, nil
			}
		}
		end = start
	}
	return 0, nil
}

// append appends text to the file as a whole or not at all.
func (f *folder) append(text []byte) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.ensureOpen(); err != nil {
		return err
	}
	st, err := f.file.Stat()
	if err != nil {
		return err
	}
	if st.Size() == 0 && f.header != "" {
		text = append([]byte(f.header), text...)
	}
	if _, err = f.write(f.file, text); err == nil && f.sync {
		err = f.syncFile(f.file)
	}
	if err != nil {
		f.torn, f.wholeSize = true, st.Size()
		return errors.Join(err, f.undoTornBlock())
	}
	return nil
}

// undoTornBlock removes what a failed block has left in the file.
func (f *folder) undoTornBlock() error {
	if !f.torn {
		return nil
	}
	st, err := f.file.Stat()
	if err == nil && st.Size() > f.wholeSize { // otherwise it was truncated meanwhile
		err = f.file.Truncate(f.wholeSize)
	}
	if err != nil {
		return err
	}
	f.torn = false
	return nil
}

// ensureOpen makes sure that the file, the folder and its lock are still those at
// their paths: each may have been moved, removed or replaced.
func (f *folder) ensureOpen() error {
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
		if f.dir.IsFile(f.file, logName) {
			return nil
		}
		f.file.Close()
		f.file = nil
	}
	return f.openFile()
}

// isStillThere reports whether folder and lock are open and still those at their paths.
func (f *folder) isStillThere() bool {
	if f.dir == nil || f.lock == nil {
		return false
	}
	current, err := f.dir.IsCurrent()
	return err == nil && current && f.dir.IsFile(f.lock, lockName)
}

// tidyTimeout is how long close waits for the compression of old files. The next start
// compresses the rest.
const tidyTimeout = 5 * time.Second

// close waits for background work up to tidyTimeout and releases the folder.
func (f *folder) close() error {
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
	return errors.Join(f.undoTornBlock(), f.file.Sync(), f.file.Close())
}
