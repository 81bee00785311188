package spool

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"

	"dnsmonster-sensor/outputs/safefs"
	"dnsmonster-sensor/userspace/event"
)

// Blocks that are intact and that this build cannot read, most likely since a
// newer one wrote them, keep nothing from going on, and are not thrown away: they
// go to a folder beside, are counted and named, and the first Open of a build
// that reads them takes them up again, in front of all else.

const (
	unreadable = "unreadable"
	unfinished = "new" // a file in it that is being written
)

// run is blocks side by side, all of one version.
type run struct {
	span
	version uint16
	tally
	ids []event.ID
}

// extend adds a block to the runs.
func extend(runs []run, b stored) []run {
	if n := len(runs); n == 0 || runs[n-1].to != b.from || runs[n-1].version != b.Version {
		runs = append(runs, run{span: span{b.from, b.from}, version: b.Version})
	}
	r := &runs[len(runs)-1]
	r.to = b.to
	r.add(b.Events)
	r.ids = append(r.ids, b.ID)
	return runs
}

// unreadName names a file of the folder. The id keeps those of two segments
// apart that had the same number.
func unreadName(segment uint64, offset int, first event.ID) string {
	return fmt.Sprintf("%016x-%d-%s", segment, offset, first)
}

// origin is where the blocks of such a file stood; ok is false for another name.
func origin(name string) (segment uint64, offset int, ok bool) {
	var id string
	n, err := fmt.Sscanf(name, "%16x-%d-%32s", &segment, &offset, &id)
	return segment, offset, n == 3 && err == nil && offset >= 0 && fmt.Sprintf("%016x-%d-%s", segment, offset, id) == name
}

// setAsideUnread copies a run to where another build finds it, counts it and names
// it. Where that fails the segment's file stays, and the next Open tries again.
func (s *Spool) setAsideUnread(seg *Segment, r run, bytes []byte) {
	name := unreadName(seg.number, r.from, r.ids[0])
	err := s.writeUnread(seg.dir, name, bytes)
	s.tellUnread(seg, r, name, err)
	if err != nil {
		seg.stays = true
		return
	}
	s.later(func() error {
		var err error
		for _, id := range r.ids {
			err = errors.Join(err, seg.writeDone(id))
		}
		return err
	})
}

// setAsideUnreadWhole is setAsideUnread for a segment that holds nothing else:
// later, when the file itself can go there.
func (s *Spool) setAsideUnreadWhole(seg *Segment, r run) {
	name := unreadName(seg.number, r.from, r.ids[0])
	s.tellUnread(seg, r, name, nil)
	s.later(func() error {
		dir, err := seg.dir.Sub(unreadable, folderMode)
		if err != nil {
			return fmt.Errorf("set blocks aside: %w", err)
		}
		defer dir.Close()
		s.thinOutUnread(dir, seg.size)
		if err := seg.dir.Move(seg.name(), dir, name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("set blocks aside: %w", err)
		}
		return seg.forget()
	})
}

// tellUnread counts a run and says where it is.
func (s *Spool) tellUnread(seg *Segment, r run, name string, err error) {
	s.mu.Lock()
	s.stats.Recovered += r.events
	s.stats.Unreadable += r.events
	s.stats.UnreadableBlocks += r.blocks
	s.mu.Unlock()
	if seg.shelved == nil {
		seg.shelved = make(map[event.ID]bool)
	}
	for _, id := range r.ids {
		seg.shelved[id] = true
	}
	log := s.o.Log.With("segment", seg.name(), "offset", r.from, "layout", r.version, "blocks", r.blocks, "events", r.events)
	if err != nil {
		log.Error("this build cannot read blocks of the spool; they cannot be set aside, and stay where they are", "error", err)
		return
	}
	log.Error("this build cannot read blocks of the spool, they are set aside: a build that reads them will send them", "file", seg.dir.Join(unreadable+"/"+name))
}

// writeUnread writes a file there, as a whole or not at all.
func (s *Spool) writeUnread(at *safefs.Dir, name string, bytes []byte) error {
	if err := s.spare(int64(len(bytes))); err != nil {
		return err
	}
	dir, err := at.Sub(unreadable, folderMode)
	if err != nil {
		return err
	}
	defer dir.Close()
	s.thinOutUnread(dir, int64(len(bytes)))
	f, err := dir.OpenFile(unfinished, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, fileMode)
	if err != nil {
		return err
	}
	_, err = f.Write(bytes)
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = dir.Rename(unfinished, name)
	}
	return errors.Join(err, dir.Sync())
}

// thinOutUnread keeps the folder within the spool's bound, the oldest out. They
// have been counted when they were set aside.
func (s *Spool) thinOutUnread(dir *safefs.Dir, more int64) {
	files, err := unreadFiles(dir)
	if err != nil {
		return
	}
	total := more
	for _, f := range files {
		total += f.size
	}
	for _, f := range files {
		if total <= s.o.Limit {
			return
		}
		if dir.Remove(f.name) == nil {
			total -= f.size
			s.o.Log.Error("blocks that were set aside for another build are thrown away for newer ones", "file", dir.Join(f.name))
		}
	}
}

// unreadFile is one file of the folder, with its first block's header.
type unreadFile struct {
	name    string
	size    int64
	segment uint64
	offset  int
	first   event.Header
}

// unreadFiles lists the folder, the oldest first.
func unreadFiles(dir *safefs.Dir) (files []unreadFile, err error) {
	entries, err := dir.ReadDir()
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		f := unreadFile{name: e.Name()}
		var ok bool
		if f.segment, f.offset, ok = origin(f.name); !ok {
			continue
		}
		header, err := readAt(dir, f.name, 0)
		if err != nil {
			continue
		}
		if f.first, err = event.ReadHeader(header); err != nil {
			continue
		}
		if f.size, err = dir.Size(f.name); err == nil {
			files = append(files, f)
		}
	}
	slices.SortFunc(files, func(a, b unreadFile) int {
		return cmp.Or(a.first.Sealed.Compare(b.first.Sealed), cmp.Compare(a.segment, b.segment), cmp.Compare(a.offset, b.offset))
	})
	return files, nil
}

// readAt reads what may be a block's header.
func readAt(dir *safefs.Dir, name string, offset int) ([]byte, error) {
	f, err := dir.OpenFile(name, os.O_RDONLY, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	header := make([]byte, event.BlockHeaderLen)
	n, err := f.ReadAt(header, int64(offset))
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return header[:n], err
}

// copied tells whether the segment that a file was copied from still has its
// blocks.
func (f *unreadFile) copied(dir *safefs.Dir) bool {
	header, err := readAt(dir, fileName(f.segment, blocksSuffix), f.offset)
	if err != nil {
		return false
	}
	h, err := event.ReadHeader(header)
	return err == nil && h.ID == f.first.ID
}

// readable returns a file's bytes where this build can read what is in it.
func (f *unreadFile) readable(dir *safefs.Dir) []byte {
	if !f.first.Readable() {
		return nil
	}
	data, err := dir.ReadFile(f.name)
	if err != nil {
		return nil
	}
	if _, err := event.OpenBlock(data); err != nil {
		return nil
	}
	return data
}

// takeUp makes segments of what earlier builds have set aside and this one can
// read: they stand before all others, and before those of the list. What cannot be
// taken up stays where it is, and keeps nothing from going on.
func (s *Spool) takeUp(list lefts) {
	aside, err := s.dir.Sub(unreadable, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return
	}
	var files []unreadFile
	if err == nil {
		defer aside.Close()
		files, err = unreadFiles(aside)
	}
	if err != nil {
		s.o.Log.Error("cannot look for blocks that another build has set aside", "error", err)
		return
	}
	before := s.first(list)
	rest := 0
	for _, f := range slices.Backward(files) {
		data := f.readable(aside)
		if data == nil {
			rest++
			continue
		}
		err := s.settle(&f, data)
		if err == nil {
			err = aside.Move(f.name, s.dir, fileName(before-1, blocksSuffix))
		}
		if err != nil {
			rest++
			s.o.Log.Error("blocks that another build has set aside cannot be taken up", "file", aside.Join(f.name), "error", err)
			continue
		}
		before--
		s.o.Log.Info("blocks that another build has set aside can be read, and are sent first", "file", aside.Join(f.name))
	}
	if rest > 0 {
		s.o.Log.Warn("blocks are set aside that this build cannot read: start the build that wrote them, and it will send them", "folder", aside.Path(), "files", rest)
		return
	}
	aside.Remove(unfinished)
	s.dir.RemoveDir(unreadable) // stays where there is something else in it
}

// first is the lowest number that a segment has, or had on the list.
func (s *Spool) first(list lefts) uint64 {
	numbers, _ := segments(s.dir) // an error will come again, from find
	first := uint64(firstSegment)
	for _, n := range numbers {
		first = min(first, n)
	}
	for n := range list {
		first = min(first, n)
	}
	return first
}

// settle notes the blocks of a file as done where they were copied from.
func (s *Spool) settle(f *unreadFile, data []byte) (err error) {
	if !f.copied(s.dir) {
		return nil
	}
	seg := &Segment{number: f.segment, dir: s.dir}
	w := walker{data: data}
	for b, _, more := w.next(); more; b, _, more = w.next() {
		err = errors.Join(err, seg.writeDone(b.ID))
	}
	if seg.done.file != nil {
		err = errors.Join(err, seg.done.file.Sync())
	}
	return errors.Join(err, seg.closeDone())
}
