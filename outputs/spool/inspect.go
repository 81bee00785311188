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

// Info describes the contents of a spool, for people.
type Info struct {
	Dir            string
	InUse          bool // by a running process: the numbers may have changed since
	Segments       int
	Blocks, Events uint64
	Bytes          int64
	Damaged        int    // damaged places
	Lost           uint64 // events in them that were still to be delivered, at least
	Quarantined    int    // files in the quarantine folder
	Unreadable     Unreadable
	Oldest, Newest time.Time
}

// Unreadable describes blocks that only another build can read.
type Unreadable struct {
	Blocks, Events uint64
	Layouts        []uint16 // their versions, ascending
	Errors         []error  // why files that were set aside, or their folder, cannot be opened
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

// Inspect reads a spool without locking it. If block is not nil, it is called for each
// block that waits, oldest first, and must not keep the block.
func Inspect(path string, block func(*event.Block) error) (Info, error) {
	dir, err := openExisting(path)
	if err != nil {
		return Info{Dir: path}, err
	}
	defer dir.Close()
	lockText, err := dir.ReadFile(lockName)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return Info{Dir: path}, fmt.Errorf("read spool: %w", err)
	}
	return inspectDir(dir, parseManifest(lockText), block)
}

// openExisting opens a folder, whoever owns it: its contents are only read, or deleted at
// the user's request.
func openExisting(path string) (*safefs.Dir, error) {
	dir, err := safefs.Open(path, true)
	if err != nil {
		return nil, fmt.Errorf("open spool: %w", err)
	}
	return dir, nil
}

func inspectDir(dir *safefs.Dir, m manifest, block func(*event.Block) error) (Info, error) {
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
		if err := info.add(dir, n, m[n], block); err != nil {
			return info, err
		}
	}
	for _, events := range m.without(numbers) {
		info.Damaged++
		info.Lost += events
	}
	if quarantine, err := dir.Sub(quarantineFolder, 0); err == nil {
		entries, _ := quarantine.ReadDir()
		info.Quarantined = len(entries)
		quarantine.Close()
	}
	return info, nil
}

// Export is Inspect with the spool locked. It fails if a process uses the spool.
func Export(path string, block func(*event.Block) error) (Info, error) {
	dir, err := openExisting(path)
	if err != nil {
		return Info{Dir: path}, err
	}
	defer dir.Close()
	lock, lockText, err := lockFile(dir)
	if err != nil {
		return Info{Dir: path}, err
	}
	defer lock.Close()
	info, err := inspectDir(dir, parseManifest(lockText), block)
	return info, errors.Join(err, rewrite(lock, lockText))
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
	if missing := found.missing(events, done); missing > 0 {
		info.Damaged++
		info.Lost += missing
	}
	info.countLosses(found)
	return info.read(data, done, block)
}

// countLosses adds what is damaged, and what this build cannot read.
func (info *Info) countLosses(found contents) {
	info.Damaged += len(found.damaged)
	for _, d := range found.damaged {
		info.Lost += d.events
	}
	for _, r := range found.unreadable {
		info.Unreadable.add(r.version, r.blocks, r.events)
	}
}

// read calls block for all blocks that are readable and not done.
func (info *Info) read(data []byte, done map[event.ID]bool, block func(*event.Block) error) error {
	s := blockScanner{data: data}
	for b, _, more := s.next(); more; b, _, more = s.next() {
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

// addUnreadable adds the blocks that were set aside for another build. Those that this build
// can read count as waiting to be sent. Blocks that are still in their segment are not
// counted here.
func (info *Info) addUnreadable(dir *safefs.Dir, block func(*event.Block) error) error {
	folder, err := dir.Sub(unreadableFolder, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	var files []unreadableFile
	if err == nil {
		defer folder.Close()
		files, err = listUnreadable(folder)
	}
	if err != nil {
		info.Unreadable.Errors = append(info.Unreadable.Errors, err)
		return nil
	}
	for _, f := range files {
		data, err := folder.ReadFile(f.name)
		if errors.Is(err, fs.ErrNotExist) {
			continue // reclaimed meanwhile
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
		info.countLosses(found)
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

// stillPending returns the blocks of a file that are also in the segment, and not done
// there.
func (f *unreadableFile) stillPending(dir *safefs.Dir, data []byte) (map[event.ID]bool, error) {
	if !f.inSegment(dir) {
		return nil, nil
	}
	done, err := readDone(dir, f.segment)
	if err != nil {
		return nil, err
	}
	ids := make(map[event.ID]bool)
	s := blockScanner{data: data}
	for b, _, more := s.next(); more; b, _, more = s.next() {
		if !done[b.ID] {
			ids[b.ID] = true
		}
	}
	return ids, nil
}

// Drop deletes everything that a spool holds. It fails if a process uses the spool.
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
	folder, err := dir.Sub(name, 0)
	if err != nil {
		return err
	}
	defer folder.Close()
	entries, err := folder.ReadDir()
	if err != nil {
		return err
	}
	for _, e := range entries {
		if err := folder.Remove(e.Name()); err != nil {
			return err
		}
	}
	return dir.RemoveDir(name)
}
