package spool

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
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
	Oldest, Newest time.Time
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
func Look(path string, block func(*event.Block) error) (Info, error) {
	dir, err := openFolder(path)
	if err != nil {
		return Info{Dir: path}, err
	}
	defer dir.Close()
	said, err := dir.ReadFile(lockName)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return Info{Dir: path}, fmt.Errorf("read spool: %w", err)
	}
	return look(dir, readLeft(said), block)
}

// openFolder opens a folder that there is, whose ever it is: it is read, or what a
// user has named is deleted.
func openFolder(path string) (*safefs.Dir, error) {
	dir, err := safefs.Open(path, true)
	if err != nil {
		return nil, fmt.Errorf("open spool: %w", err)
	}
	return dir, nil
}

func look(dir *safefs.Dir, list lefts, block func(*event.Block) error) (Info, error) {
	info := Info{Dir: dir.Path()}
	numbers, err := segments(dir)
	if err != nil {
		return info, err
	}
	info.InUse = inUse(dir)
	for _, n := range numbers {
		if err := info.add(dir, n, list[n], block); err != nil {
			return info, err
		}
	}
	for _, events := range list.without(numbers) {
		info.Damaged++
		info.Lost += events
	}
	if aside, err := dir.Sub(quarantine, 0); err == nil {
		entries, _ := aside.ReadDir()
		info.Quarantined = len(entries)
		aside.Close()
	}
	return info, nil
}

// Export is Look of a spool that nobody else uses meanwhile. It fails where a
// process does.
func Export(path string, block func(*event.Block) error) (Info, error) {
	dir, err := openFolder(path)
	if err != nil {
		return Info{Dir: path}, err
	}
	defer dir.Close()
	lock, said, err := lockFile(dir)
	if err != nil {
		return Info{Dir: path}, err
	}
	defer lock.Close()
	info, err := look(dir, readLeft(said), block)
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
	found := examine(data, done)
	if found.foreign != nil {
		return fmt.Errorf("read spool %s: %w", dir.Join(name), found.foreign)
	}
	info.Segments++
	info.Bytes += int64(len(data))
	info.Blocks += found.all.blocks
	info.Events += found.all.events
	if short := found.short(events, done); short > 0 {
		info.Damaged++
		info.Lost += short
	}
	info.Damaged += len(found.spots)
	for _, sp := range found.spots {
		info.Lost += sp.events
	}
	w := walker{data: data}
	for b, _, more := w.next(); more; b, _, more = w.next() {
		if done[b.ID()] {
			continue
		}
		at := b.Sealed()
		if info.Oldest.IsZero() || at.Before(info.Oldest) {
			info.Oldest = at
		}
		if at.After(info.Newest) {
			info.Newest = at
		}
		if block != nil {
			if err := block(b); err != nil {
				return err
			}
		}
	}
	return nil
}

// Drop deletes all that a spool holds. It fails where a process uses the spool.
func Drop(path string) error {
	dir, err := openFolder(path)
	if err != nil {
		return err
	}
	defer dir.Close()
	lock, _, err := lockFile(dir)
	if err != nil {
		return err
	}
	defer lock.Close()
	numbers, err := segments(dir)
	if err != nil {
		return err
	}
	for _, n := range numbers {
		if err := (&Segment{number: n, dir: dir}).remove(); err != nil {
			return err
		}
	}
	if err := dropQuarantine(dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("drop spool: %w", err)
	}
	return nil
}

func dropQuarantine(dir *safefs.Dir) error {
	aside, err := dir.Sub(quarantine, 0)
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
	return dir.RemoveDir(quarantine)
}
