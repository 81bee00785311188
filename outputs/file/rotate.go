package file

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"dnsmonster-sensor/outputs/safefs"
)

// Old files are dnsmonster.log.<time> at first, and dnsmonster.log.gz.<time>
// once they are compressed. The time is that of the rotation, in UTC, so that
// names sort; no two are the same.
const stampLayout = "2006-01-02T15-04-05Z"

// old is one of these.
type old struct {
	name   string
	suffix string // of the compression; "": none yet
	time   time.Time
}

// parseOld reads a file's name.
func parseOld(name string) (old, bool) {
	rest, ok := strings.CutPrefix(name, logName)
	o := old{name: name}
	for _, c := range compressions {
		if c.suffix != "" && strings.HasPrefix(rest, c.suffix+".") {
			o.suffix = c.suffix
		}
	}
	stamp, dot := strings.CutPrefix(rest[len(o.suffix):], ".")
	var err error
	o.time, err = time.Parse(stampLayout, stamp)
	return o, ok && dot && err == nil
}

// olds lists the old files in the folder, the oldest first. In a folder like /tmp
// others can put files with such names: they count for nothing.
func olds(dir *safefs.Dir) ([]old, error) {
	entries, err := dir.ReadDir()
	if err != nil {
		return nil, err
	}
	var list []old
	for _, e := range entries {
		if o, ok := parseOld(e.Name()); ok && dir.Owns(e.Name()) {
			list = append(list, o)
		}
	}
	slices.SortStableFunc(list, func(a, b old) int { return a.time.Compare(b.time) })
	return list, nil
}

// rotate gives the file a name of its own and begins a new one. It is called
// with mu held. An empty file stays.
func (f *folder) rotate(now time.Time) error {
	if err := f.ready(); err != nil {
		return err
	}
	if st, err := f.file.Stat(); err != nil || st.Size() == 0 {
		return err
	}
	list, err := olds(f.dir)
	if err != nil {
		return err
	}
	stamp := now.UTC().Truncate(time.Second)
	if n := len(list); n > 0 && !list[n-1].time.Before(stamp) { // also where the clock was set back
		stamp = list[n-1].time.Add(time.Second)
	}
	if err := f.dir.Rename(logName, logName+"."+stamp.Format(stampLayout)); err != nil {
		return err
	}
	f.meters.rotations.Add(1)
	err = f.file.Close()
	f.file = nil
	f.lookAfter()
	return errors.Join(err, f.open())
}

// lookAfter wakes tidyUp.
func (f *folder) lookAfter() {
	select {
	case f.untidy <- struct{}{}:
	default:
	}
}

// clockEvery is how often the clock is looked at, which somebody may set.
const clockEvery = 30 * time.Second

// follow rotates at the times of the schedule.
func (f *folder) follow() {
	for {
		f.mu.Lock()
		wait := min(time.Until(f.next), clockEvery)
		f.mu.Unlock()
		select {
		case <-f.quit:
			return
		case <-time.After(wait):
			f.tick(time.Now())
		}
	}
}

// tick rotates if it is time.
func (f *folder) tick(now time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	next := f.when.after(now)
	if now.Before(f.next) {
		f.next = next // sooner, where the clock was set back
		return
	}
	f.next = next
	if err := f.rotate(now); err != nil {
		f.logger.Error("rotate: the file goes on", "file", f.current(), "next", f.next, "error", err)
	}
}

// tidyAgain is how long tidyUp waits after a failure.
const tidyAgain = time.Minute

// tidyUp compresses old files and removes those that are too many, at start and
// after each rotation, until quit. The end of ctx breaks it off.
func (f *folder) tidyUp(ctx context.Context) {
	for {
		var again <-chan time.Time
		if err := f.tidy(ctx); err != nil && ctx.Err() == nil {
			f.meters.compressionFailures.Add(1)
			f.logger.Error("old files wait to be compressed or removed", "folder", f.path, "again after", tidyAgain, "error", err)
			again = time.After(tidyAgain)
		}
		select {
		case <-f.untidy: // asked for before quit, it is done
			continue
		default:
		}
		select {
		case <-f.quit:
			return
		case <-f.untidy:
		case <-again:
		}
	}
}

// tidy does both once, in the folder that the path leads to now.
func (f *folder) tidy(ctx context.Context) error {
	dir, err := safefs.Open(f.path, f.forced)
	if err != nil {
		return err
	}
	defer dir.Close()
	if err := removeParts(dir); err != nil {
		return err
	}
	list, err := olds(dir)
	if err != nil {
		return err
	}
	// A compressed file has its name only when it is complete: what it was made
	// of is there no more, or will be removed again.
	done := make(map[time.Time]bool)
	for _, o := range list {
		if o.suffix != "" {
			done[o.time] = true
		}
	}
	kept := list[:0]
	for _, o := range list {
		if o.suffix == "" && done[o.time] {
			if err := dir.Remove(o.name); err != nil {
				return err
			}
			continue
		}
		kept = append(kept, o)
	}
	for len(kept) > f.keep {
		if err := dir.Remove(kept[0].name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		kept = kept[1:]
	}
	for _, o := range kept {
		if o.suffix == "" && f.compression.open != nil && ctx.Err() == nil {
			err = errors.Join(err, f.compress(ctx, dir, o))
		}
	}
	return err
}

const partSuffix = ".part"

// removeParts removes what was begun and not completed.
func removeParts(dir *safefs.Dir) error {
	entries, err := dir.ReadDir()
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), "."+logName+".") && strings.HasSuffix(e.Name(), partSuffix) {
			err = errors.Join(err, dir.Remove(e.Name()))
		}
	}
	return err
}

// compress makes o a compressed file. o is removed when that is on the medium
// under its name.
func (f *folder) compress(ctx context.Context, dir *safefs.Dir, o old) error {
	to := logName + f.compression.suffix + "." + o.time.Format(stampLayout)
	part := "." + to + partSuffix
	err := f.compressTo(ctx, dir, o.name, part)
	if err == nil {
		err = dir.Rename(part, to)
	}
	if err != nil {
		dir.Remove(part)
		return fmt.Errorf("compress %s: %w", dir.Join(o.name), err)
	}
	if err := dir.Sync(); err != nil {
		return err
	}
	return dir.Remove(o.name)
}

func (f *folder) compressTo(ctx context.Context, dir *safefs.Dir, from, to string) error {
	in, err := dir.OpenFile(from, os.O_RDONLY, 0)
	if err != nil {
		return err
	}
	defer in.Close()
	st, err := in.Stat()
	if err != nil {
		return err
	}
	out, err := dir.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, fileMode)
	if err != nil {
		return err
	}
	defer out.Close() // a second time is no harm
	z, err := f.compression.open(out)
	if err != nil {
		return err
	}
	if _, err := io.Copy(z, reader{ctx, in}); err != nil {
		z.Close()
		return err
	}
	return errors.Join(z.Close(), out.Chmod(fileMode), setTime(out, st.ModTime()), out.Sync(), out.Close())
}

// setTime gives a file the time that it was written.
func setTime(f *os.File, at time.Time) error {
	tv := unix.NsecToTimeval(at.UnixNano())
	if err := unix.Futimes(int(f.Fd()), []unix.Timeval{tv, tv}); err != nil {
		return fmt.Errorf("set the time of %s: %w", f.Name(), err)
	}
	return nil
}

// reader ends with its context.
type reader struct {
	ctx context.Context
	io.Reader
}

func (r reader) Read(b []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.Reader.Read(b)
}
