package spool

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"dnsmonster-sensor/outputs/safefs"
	"dnsmonster-sensor/userspace/event"
)

// Info is what a folder holds, for people.
type Info struct {
	Dir            string
	InUse          bool // by a running process: the numbers are of a moment ago
	Segments       int
	Blocks, Events uint64
	Bytes          int64
	Damaged        int    // places that are no block
	Lost           uint64 // events that stood there and were not delivered, at least
	Quarantined    int    // files set aside
	Unreadable     Unreadable
	Oldest, Newest time.Time
}

// Unreadable is what only another build can read.
type Unreadable struct {
	Blocks, Events uint64
	Layouts        []uint16 // their versions, in order
	Errors         []error  // files that were set aside and cannot be opened, or their folder
}

func (u *Unreadable) add(version uint16, blocks, events uint64) {
	u.Blocks += blocks
	u.Events += events
	if at, found := slices.BinarySearch(u.Layouts, version); !found {
		u.Layouts = slices.Insert(u.Layouts, at, version)
	}
}

// Names lists the outputs that have a spool in the folder of all spools.
func Names(spools string) (names []string, err error) {
	entries, err := os.ReadDir(spools)
	if err != nil {
		return nil, fmt.Errorf("list spools: %w", err)
	}
	for _, e := range entries {
		_, err := os.Stat(filepath.Join(spools, e.Name(), lockName))
		switch {
		case err == nil:
			names = append(names, e.Name())
		case errors.Is(err, fs.ErrPermission):
			return nil, fmt.Errorf("list spools: %w", err)
		}
	}
	return names, nil
}

// Look reads a spool without taking it, and calls block, where given, for each
// block that is to be sent, the oldest first. The block is borrowed.
func Inspect(path string, block func(*event.Block) error) (Info, error) {
	dir, err := openExisting(path)
	if err != nil {
		return Info{Dir: path}, err
	}
	defer dir.Close()
	said, err := dir.ReadFile(lockName)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return Info{Dir: path}, fmt.Errorf("read spool: %w", err)
	}
	return inspectDir(dir, parseManifest(said), block)
}

// openFolder opens a folder that there is, whose ever it is: it is read, or what a
// user has named is deleted.
func openExisting(path string) (*safefs.Dir, error) {
	dir, err := safefs.Open(path, true)
	if err != nil {
		return nil, fmt.Errorf("open spool: %w", err)
	}
	return dir, nil
}

func inspectDir(dir *safefs.Dir, list manifest, block func(*event.Block) error) (Info, error) {
	info := Info{Dir: dir.Path()}
	numbers, err := segmentNumbers(dir)
	if err != nil {
		return info, err
	}
	info.InUse = inUse(dir)
	if err := info.addUnreadable(dir, block); err != nil {
		return info, err
	}
	for _, n := range numbers {
		if err := info.add(dir, n, list[n], block); err != nil {
			return info, err
		}
	}
	for _, events := range list.without(numbers) {
		info.Damaged++
		info.Lost += events
	}
	if aside, err := dir.Sub(quarantineFolder, 0); err == nil {
		entries, _ := aside.ReadDir()
		info.Quarantined = len(entries)
		aside.Close()
	}
	return info, nil
}

// Export is Look of a spool that nobody else uses meanwhile. It fails where a
// process does.
func Export(path string, block func(*event.Block) error) (Info, error) {
	dir, err := openExisting(path)
	if err != nil {
		return Info{Dir: path}, err
	}
	defer dir.Close()
	lock, said, err := lockFile(dir)
	if err != nil {
		return Info{Dir: path}, err
	}
	defer lock.Close()
	info, err := inspectDir(dir, parseManifest(said), block)
	return info, errors.Join(err, rewrite(lock, said))
}

func (info *Info) add(dir *safefs.Dir, number, events uint64, block func(*event.Block) error) error {
	name := fileName(number, blocksSuffix)
	data, err := dir.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // delivered meanwhile
	}
	if errors.Is(err, fs.ErrPermission) || errors.Is(err, safefs.ErrUnsafe) {
		return fmt.Errorf("read spool: %w", err)
	}
	if err != nil { // what could be read still counts
		info.Damaged++
		info.Lost++
	}
	done, err := readDone(dir, number)
	if err != nil {
		return err
	}
	found := scanSegment(data, done)
	info.Segments++
	info.Bytes += int64(len(data))
	info.Blocks += found.pending.blocks
	info.Events += found.pending.events
	if short := found.missing(events, done); short > 0 {
		info.Damaged++
		info.Lost += short
	}
	info.Damaged += len(found.damaged)
	for _, sp := range found.damaged {
		info.Lost += sp.events
	}
	for _, r := range found.unreadable {
		info.Unreadable.add(r.version, r.blocks, r.events)
	}
	return info.read(data, done, block)
}

// read calls block for the blocks that can be read and are not done.
func (info *Info) read(data []byte, done map[event.ID]bool, block func(*event.Block) error) error {
	w := blockScanner{data: data}
	for b, _, more := w.next(); more; b, _, more = w.next() {
		if done[b.ID] || b.block == nil {
			continue
		}
		if info.Oldest.IsZero() || b.Sealed.Before(info.Oldest) {
			info.Oldest = b.Sealed
		}
		if b.Sealed.After(info.Newest) {
			info.Newest = b.Sealed
		}
		if block != nil {
			if err := block(b.block); err != nil {
				return err
			}
		}
	}
	return nil
}

// addAside adds what was set aside for another build: where this build reads it, it
// is to be sent. What its segment still counts is left to that.
func (info *Info) addUnreadable(dir *safefs.Dir, block func(*event.Block) error) error {
	aside, err := dir.Sub(unreadableFolder, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	var files []unreadableFile
	if err == nil {
		defer aside.Close()
		files, err = listUnreadable(aside)
	}
	if err != nil {
		info.Unreadable.Errors = append(info.Unreadable.Errors, err)
		return nil
	}
	for _, f := range files {
		data, err := aside.ReadFile(f.name)
		if errors.Is(err, fs.ErrNotExist) {
			continue // taken up meanwhile
		}
		if err != nil {
			info.Unreadable.Errors = append(info.Unreadable.Errors, err)
			continue
		}
		counted, err := f.stillPending(dir, data)
		if err != nil {
			return err
		}
		found := scanSegment(data, counted)
		info.Damaged += len(found.damaged)
		for _, sp := range found.damaged {
			info.Lost += sp.events
		}
		for _, r := range found.unreadable {
			info.Unreadable.add(r.version, r.blocks, r.events)
		}
		if found.pending.blocks == 0 {
			continue
		}
		info.Segments++
		info.Bytes += int64(len(data))
		info.Blocks += found.pending.blocks
		info.Events += found.pending.events
		if err := info.read(data, counted, block); err != nil {
			return err
		}
	}
	return nil
}

// counted are the blocks of a file that the segment has, too, and counts as not
// done.
func (f *unreadableFile) stillPending(dir *safefs.Dir, data []byte) (map[event.ID]bool, error) {
	if !f.inSegment(dir) {
		return nil, nil
	}
	done, err := readDone(dir, f.segment)
	if err != nil {
		return nil, err
	}
	ids := make(map[event.ID]bool)
	w := blockScanner{data: data}
	for b, _, more := w.next(); more; b, _, more = w.next() {
		if !done[b.ID] {
			ids[b.ID] = true
		}
	}
	return ids, nil
}

// Drop deletes all that a spool holds. It fails where a process uses the spool.
func Drop(path string) error {
	dir, err := openExisting(path)
	if err != nil {
		return err
	}
	defer dir.Close()
	lock, _, err := lockFile(dir)
	if err != nil {
		return err
	}
	defer lock.Close()
	numbers, err := segmentNumbers(dir)
	if err != nil {
		return err
	}
	for _, n := range numbers {
		if err := (&Segment{number: n, dir: dir}).remove(); err != nil {
			return err
		}
	}
	for _, name := range []string{quarantineFolder, unreadableFolder} {
		if err := removeFolder(dir, name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("drop spool: %w", err)
		}
	}
	return nil
}

func removeFolder(dir *safefs.Dir, name string) error {
	aside, err := dir.Sub(name, 0)
	if err != nil {
		return err
	}
	defer aside.Close()
	entries, err := aside.ReadDir()
	if err != nil {
		return err
	}
	for _, e := range entries {
		if err := aside.Remove(e.Name()); err != nil {
			return err
		}
	}
	return dir.RemoveDir(name)
}
