package folder

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

	"dnsmonster-sensor/outputs/safefs"
)

// stampLayout is the time in the name of an old file: <name>.<time> at first, and
// <name>.gz.<time> once the file is compressed. It is the time of the rotation in UTC, so
// that names sort; no two files have the same time.
const stampLayout = "2006-01-02T15-04-05Z"

// oldFile is a rotated file.
type oldFile struct {
	name   string
	suffix string // of the compression; "": not compressed
	time   time.Time
}

// parseOld parses the name of an old file of a current one; ok is false for any other name.
func parseOld(current, name string) (o oldFile, ok bool) {
	rest, ok := strings.CutPrefix(name, current)
	o.name = name
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

// listOld lists the old files in the folder, the oldest first. It ignores files of
// other users, who can create such names in a folder like /tmp.
func listOld(dir *safefs.Dir, current string) ([]oldFile, error) {
	entries, err := dir.ReadDir()
	if err != nil {
		return nil, err
	}
	var list []oldFile
	for _, e := range entries {
		if o, ok := parseOld(current, e.Name()); ok && dir.Owns(e.Name()) {
			list = append(list, o)
		}
	}
	slices.SortStableFunc(list, func(a, b oldFile) int { return a.time.Compare(b.time) })
	return list, nil
}

// rotate ends the file, renames it and begins a new one. The caller holds mu. A file
// without records is not rotated.
func (f *Folder) rotate(now time.Time) error {
	if err := f.ensureOpen(); err != nil {
		return err
	}
	if st, err := f.file.Stat(); err != nil || f.lacksRecords(st.Size()) {
		return err
	}
	if err := f.end(); err != nil { // such as a full disk, which gets room by the rotation
		f.Log.Warn("the old file could not be ended as its format demands", "file", f.Current(), "error", err)
	}
	err := f.file.Close() // before it is renamed: not every system renames an open file
	f.file = nil
	return errors.Join(err, f.setAside(now), f.openFile())
}

// setAside renames what has the name of the file.
func (f *Folder) setAside(now time.Time) error {
	list, err := listOld(f.dir, f.Name)
	if err != nil {
		return err
	}
	stamp := now.UTC().Truncate(time.Second)
	if n := len(list); n > 0 && !list[n-1].time.Before(stamp) { // the second rotation in a second, or the clock was set back
		stamp = list[n-1].time.Add(time.Second)
	}
	if err := f.dir.Rename(f.Name, f.Name+"."+stamp.Format(stampLayout)); err != nil {
		return err
	}
	f.meters.rotations.Add(1)
	f.wakeTidyUp()
	return nil
}

// wakeTidyUp makes tidyUp look at the folder again.
func (f *Folder) wakeTidyUp() {
	select {
	case f.wake <- struct{}{}:
	default:
	}
}

// clockCheckInterval bounds each wait for a rotation: the clock may be set meanwhile.
const clockCheckInterval = 30 * time.Second

// rotateOnSchedule rotates at the times of the schedule, until quit.
func (f *Folder) rotateOnSchedule() {
	for {
		f.mu.Lock()
		wait := min(time.Until(f.next), clockCheckInterval)
		f.mu.Unlock()
		select {
		case <-f.quit:
			return
		case <-time.After(wait):
			f.Tick(time.Now())
		}
	}
}

// Tick rotates the file if the time of the next rotation has come. Nobody needs to call
// it: the folder does.
func (f *Folder) Tick(now time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	next := f.schedule.after(now)
	if now.Before(f.next) {
		f.next = next // earlier than before, if the clock was set back
		return
	}
	f.next = next
	if err := f.rotate(now); err != nil {
		f.Log.Error("rotation failed, the current file is continued", "file", f.Current(), "next", f.next, "error", err)
	}
}

// tidyRetry is the pause of tidyUp after a failure.
const tidyRetry = time.Minute

// tidyUp compresses old files and removes surplus ones, at the start and after each
// rotation, until quit. The end of ctx aborts it.
func (f *Folder) tidyUp(ctx context.Context) {
	for {
		var again <-chan time.Time
		if err := f.tidy(ctx); err != nil && ctx.Err() == nil {
			f.meters.compressionFailures.Add(1)
			f.Log.Error("compressing or removing old files failed", "folder", f.Path, "retry_after", tidyRetry, "error", err)
			again = time.After(tidyRetry)
		}
		select {
		case <-f.wake: // requested before quit: do it
			continue
		default:
		}
		select {
		case <-f.quit:
			return
		case <-f.wake:
		case <-again:
		}
	}
}

// tidy compresses and removes old files once, in the folder that is now at the path.
func (f *Folder) tidy(ctx context.Context) error {
	dir, err := safefs.Open(f.Path, f.Force)
	if err != nil {
		return err
	}
	defer dir.Close()
	if err := f.removeParts(dir); err != nil {
		return err
	}
	list, err := listOld(dir, f.Name)
	if err != nil {
		return err
	}
	// A compressed file gets its name only when it is complete: then its source has
	// been removed, or has still to be.
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
	for len(kept) > f.Count {
		if err := dir.Remove(kept[0].name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		kept = kept[1:]
	}
	for _, o := range kept {
		if o.suffix == "" && f.compression.newWriter != nil && ctx.Err() == nil {
			err = errors.Join(err, f.compress(ctx, dir, o))
		}
	}
	return err
}

const partSuffix = ".part"

// removeParts removes incomplete compressed files.
func (f *Folder) removeParts(dir *safefs.Dir) error {
	entries, err := dir.ReadDir()
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), "."+f.Name+".") && strings.HasSuffix(e.Name(), partSuffix) {
			err = errors.Join(err, dir.Remove(e.Name()))
		}
	}
	return err
}

// compress replaces o by a compressed file. It removes o once the compressed file is on the
// medium, under its final name.
func (f *Folder) compress(ctx context.Context, dir *safefs.Dir, o oldFile) error {
	to := f.Name + f.compression.suffix + "." + o.time.Format(stampLayout)
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

func (f *Folder) compressTo(ctx context.Context, dir *safefs.Dir, from, to string) error {
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
	defer out.Close() // harmless the second time
	z, err := f.compression.newWriter(out)
	if err != nil {
		return err
	}
	if _, err := io.Copy(z, contextReader{ctx, in}); err != nil {
		z.Close()
		return err
	}
	return errors.Join(z.Close(), out.Chmod(fileMode), safefs.SetModTime(out, st.ModTime()), out.Sync(), out.Close())
}

// contextReader fails once its context has ended.
type contextReader struct {
	ctx context.Context
	io.Reader
}

func (r contextReader) Read(b []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.Reader.Read(b)
}
