package spool

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"dnsmonster-sensor/userspace/event"
)

// Info is what a folder holds, for people.
type Info struct {
	Dir            string
	InUse          bool // by a running process: the numbers are of a moment ago
	Segments       int
	Blocks, Events uint64
	Bytes          int64
	Damaged        int // places that are no block
	Quarantined    int // files set aside
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
func Look(dir string, block func(*event.Block) error) (Info, error) {
	info := Info{Dir: dir}
	numbers, err := segments(dir)
	if err != nil {
		return info, err
	}
	info.InUse = inUse(dir)
	for _, n := range numbers {
		if err := info.add(dir, n, block); err != nil {
			return info, err
		}
	}
	if entries, err := os.ReadDir(filepath.Join(dir, quarantine)); err == nil {
		info.Quarantined = len(entries)
	}
	return info, nil
}

// Export is Look of a spool that nobody else uses meanwhile. It fails where a
// process does.
func Export(dir string, block func(*event.Block) error) (Info, error) {
	lock, err := lockFile(dir)
	if err != nil {
		return Info{Dir: dir}, err
	}
	defer lock.Close()
	return Look(dir, block)
}

func (info *Info) add(dir string, number uint64, block func(*event.Block) error) error {
	data, err := os.ReadFile(filepath.Join(dir, fileName(number, blocksSuffix)))
	if errors.Is(err, fs.ErrNotExist) {
		return nil // delivered meanwhile
	}
	if errors.Is(err, fs.ErrPermission) {
		return fmt.Errorf("read spool: %w", err)
	}
	if err != nil {
		info.Damaged++ // what could be read still counts
	}
	done, err := readDone(dir, number)
	if err != nil {
		return err
	}
	info.Segments++
	info.Bytes += int64(len(data))
	for w := (walker{data: data}); ; {
		b, gap, more := w.next()
		if w.foreign != nil {
			return fmt.Errorf("read spool %s: %w", filepath.Join(dir, fileName(number, blocksSuffix)), w.foreign)
		}
		if gap.len() > 0 {
			info.Damaged++
		}
		if !more {
			return nil
		}
		if done[b.ID()] {
			continue
		}
		info.Blocks++
		info.Events += uint64(b.Len())
		if at := b.Sealed(); info.Oldest.IsZero() || at.Before(info.Oldest) {
			info.Oldest = at
		}
		if at := b.Sealed(); at.After(info.Newest) {
			info.Newest = at
		}
		if block != nil {
			if err := block(b); err != nil {
				return err
			}
		}
	}
}

// Drop deletes all that a spool holds. It fails where a process uses the spool.
func Drop(dir string) error {
	if _, err := os.Stat(dir); err != nil {
		return fmt.Errorf("drop spool: %w", err)
	}
	lock, err := lockFile(dir)
	if err != nil {
		return err
	}
	defer lock.Close()
	numbers, err := segments(dir)
	if err != nil {
		return err
	}
	for _, n := range numbers {
		if err := (&Segment{number: n}).remove(dir); err != nil {
			return err
		}
	}
	if err := os.RemoveAll(filepath.Join(dir, quarantine)); err != nil {
		return fmt.Errorf("drop spool: %w", err)
	}
	return nil
}
