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

// Errors that trying again does not mend.
var (
	errInUse    = errors.New("another sensor writes there: give each its own folder")
	errNoFolder = errors.New("not a folder: name the one that shall hold " + logName)
	errNoFile   = errors.New("not a regular file")
)

type folderOptions struct {
	path        string
	forced      bool   // also a folder that others may change
	header      string // of each file
	keep        int    // old files; 0: no rotation
	when        schedule
	compression compression
	sync        bool // each block is forced to the medium
	meters      *meters
	logger      *slog.Logger
}

// folder is a folder with its current file, for this process alone. Blocks go
// into the file whole or not at all, one at a time.
type folder struct {
	folderOptions
	write   func(*os.File, []byte) (int, error) // tests make these two fail
	force   func(*os.File) error
	tasks   sync.WaitGroup
	untidy  chan struct{}      // a token: look after the old files
	quit    chan struct{}      // closed: end when that is done
	abandon context.CancelFunc // end at once

	mu    sync.Mutex
	dir   *safefs.Dir // nil: the path has led nowhere lately
	lock  *os.File    // in dir
	file  *os.File    // in dir; nil: none
	torn  bool        // the file holds part of a block that failed, behind
	whole int64       // so many bytes
	next  time.Time
}

// openFolder takes the folder and its file, and finishes what an earlier run
// had begun.
func openFolder(o folderOptions) (*folder, error) {
	f := &folder{folderOptions: o, write: (*os.File).Write, force: (*os.File).Sync, untidy: make(chan struct{}, 1), quit: make(chan struct{})}
	if err := f.begin(time.Now()); err != nil {
		f.leave()
		return nil, err
	}
	var ctx context.Context
	ctx, f.abandon = context.WithCancel(context.Background())
	if o.keep > 0 {
		f.tasks.Go(f.follow)
		f.tasks.Go(func() { f.tidyUp(ctx) })
	}
	return f, nil
}

// enter takes the folder that the path leads to now.
func (f *folder) enter() error {
	st, err := os.Stat(f.path)
	if err == nil && !st.IsDir() {
		return fmt.Errorf("%s: %w", f.path, errNoFolder)
	}
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%w: make it first, with mkdir -p", err)
	}
	if f.dir, err = safefs.Open(f.path, f.forced); err != nil {
		return err
	}
	f.lock, err = takeLock(f.dir)
	if errors.Is(err, fs.ErrPermission) {
		err = fmt.Errorf("%w: the sensor's user has to be able to write there", err)
	}
	return err
}

// leave gives the folder back, with its file.
func (f *folder) leave() {
	f.file.Close() // of none, no harm
	f.lock.Close()
	if f.dir != nil {
		f.dir.Close()
	}
	f.file, f.lock, f.dir = nil, nil, nil
}

// takeLock takes a lock that ends with the process. The file stays: removing it
// would let two processes hold a lock each.
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

// current is the path of the file being written.
func (f *folder) current() string { return filepath.Join(f.path, logName) }

// begin opens the file. One that an earlier run has left from before the last
// rotation, or that has no header and needs one, is turned over first.
func (f *folder) begin(now time.Time) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.ready(); err != nil {
		return err
	}
	f.next = f.when.after(now)
	st, err := f.file.Stat()
	if err != nil || st.Size() == 0 {
		return err
	}
	strange := f.header != "" && !startsWith(f.file, f.header)
	switch {
	case f.keep == 0 && strange:
		f.logger.Warn("the file does not start with the header of its format, and is not rotated", "file", f.current())
	case f.keep > 0 && (strange || !f.when.after(st.ModTime()).After(now)):
		return f.rotate(now)
	}
	return nil
}

func startsWith(file *os.File, text string) bool {
	start := make([]byte, len(text))
	n, _ := file.ReadAt(start, 0)
	return string(start[:n]) == text
}

// open opens the file, or makes it, and takes off what a crash has left of half
// a line.
func (f *folder) open() error {
	file, err := f.dir.OpenFile(logName, os.O_RDWR|os.O_APPEND|os.O_CREATE|os.O_EXCL, fileMode)
	if err == nil {
		err = errors.Join(file.Chmod(fileMode), f.syncFolder()) // whatever the umask is
	} else if errors.Is(err, fs.ErrExist) {
		if file, err = f.dir.OpenFile(logName, os.O_RDWR|os.O_APPEND, 0); err == nil {
			err = f.mend(file)
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

// syncFolder forces names to the medium, where that is asked for.
func (f *folder) syncFolder() error {
	if !f.sync {
		return nil
	}
	return f.dir.Sync()
}

// mend cuts a file behind its last whole line. Half a line is of a record that
// never counted as delivered.
func (f *folder) mend(file *os.File) error {
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
	f.meters.cut.Add(uint64(st.Size() - end))
	f.logger.Warn("the file ended in half a record, which is cut off", "file", f.current(), "bytes", st.Size()-end)
	return nil
}

// longestLine bounds the search for a line's end: the longest record is a few
// hundred KiB.
const longestLine = 16 << 20

// lastLineEnd is the offset behind the last line end.
func lastLineEnd(file *os.File, size int64) (int64, error) {
	buf := make([]byte, 64<<10)
	for end := size; end > 0; {
		if size-end > longestLine {
			return 0, fmt.Errorf("%s: %w of records: it ends in more than %d MiB without a line end", file.Name(), errNoFile, longestLine>>20)
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

// append puts text into the file, whole or not at all.
func (f *folder) append(text []byte) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.ready(); err != nil {
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
		err = f.force(f.file)
	}
	if err != nil {
		f.torn, f.whole = true, st.Size()
		return errors.Join(err, f.mendTorn())
	}
	return nil
}

// mendTorn takes off what came into the file of a block that failed.
func (f *folder) mendTorn() error {
	if !f.torn {
		return nil
	}
	st, err := f.file.Stat()
	if err == nil && st.Size() > f.whole { // else somebody has emptied it
		err = f.file.Truncate(f.whole)
	}
	if err != nil {
		return err
	}
	f.torn = false
	return nil
}

// ready sees to it that the file, the folder and its lock are those of their
// names: somebody may have moved, removed or replaced each of them.
func (f *folder) ready() error {
	if f.file != nil {
		if err := f.mendTorn(); err != nil {
			return err
		}
	}
	if !f.isThere() {
		f.leave()
		if err := f.enter(); err != nil {
			f.leave()
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
	return f.open()
}

// isThere reports whether folder and lock are still those that were taken.
func (f *folder) isThere() bool {
	if f.dir == nil || f.lock == nil {
		return false
	}
	current, err := f.dir.IsCurrent()
	return err == nil && current && f.dir.IsFile(f.lock, lockName)
}

// tidyPatience is how long close waits for old files being compressed. The next
// start begins with those that are left.
const tidyPatience = 5 * time.Second

// close finishes what goes on in the background, if that is soon done, and gives
// the folder back.
func (f *folder) close() error {
	close(f.quit)
	timer := time.AfterFunc(tidyPatience, f.abandon)
	f.tasks.Wait()
	timer.Stop()
	f.abandon()
	f.mu.Lock()
	defer f.mu.Unlock()
	defer f.leave()
	if f.file == nil {
		return nil
	}
	return errors.Join(f.mendTorn(), f.file.Sync(), f.file.Close())
}
