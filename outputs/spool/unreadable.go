package spool

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"sync"
	"time"

	"dnsmonster-sensor/outputs/safefs"
	"dnsmonster-sensor/userspace/event"
)

// Blocks that are intact and that this build cannot read, most likely since a
// newer one wrote them, keep nothing from going on, and are not thrown away: they
// go to a folder beside, are counted and named, and the first Open of a build
// that reads them takes them up again, in front of all else.

const (
	unreadableFolder = "unreadable"
	unfinishedName   = "new" // a file in it that is being written
)

// run is blocks side by side, all of one version.
type run struct {
	span
	version uint16
	tally
	ids []event.ID
}

// extend adds a block to the runs.
func appendRun(runs []run, b storedBlock) []run {
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
func unreadableName(segment uint64, offset int, first event.ID) string {
	return fmt.Sprintf("%016x-%d-%s", segment, offset, first)
}

// origin is where the blocks of such a file stood; ok is false for another name.
func parseUnreadableName(name string) (f unreadableFile, ok bool) {
	n, err := fmt.Sscanf(name, "%16x-%d-%32s", &f.segment, &f.offset, &f.id)
	f.name = name
	return f, n == 3 && err == nil && f.offset >= 0 && fmt.Sprintf("%016x-%d-%s", f.segment, f.offset, f.id) == name
}

// setAsideUnread copies a run to where another build finds it, counts it and names
// it. Where that fails the segment's file stays, and the next Open tries again.
func (s *Spool) setAsideUnreadable(seg *Segment, r run, bytes []byte) {
	name := unreadableName(seg.number, r.from, r.ids[0])
	err := s.writeUnreadable(seg.dir, name, bytes)
	s.reportUnreadable(seg, r, name, err)
	if err != nil {
		return
	}
	s.deferMark(func() error {
		var err error
		for _, id := range r.ids {
			err = errors.Join(err, seg.writeDone(id))
		}
		s.mu.Lock()
		rest := seg.total.blocks
		s.mu.Unlock()
		if rest == 0 { // nobody else will close it
			err = errors.Join(err, seg.closeDone())
		}
		return err
	})
}

// setAsideUnreadWhole is setAsideUnread for a segment that holds nothing else:
// later, when the file itself can go there.
func (s *Spool) moveUnreadable(seg *Segment, r run) {
	name := unreadableName(seg.number, r.from, r.ids[0])
	dir, err := seg.dir.Sub(unreadableFolder, folderMode)
	s.reportUnreadable(seg, r, name, err)
	if err != nil {
		return
	}
	dir.Close()
	s.deferMark(func() error {
		dir, err := seg.dir.Sub(unreadableFolder, folderMode)
		if err != nil {
			return fmt.Errorf("set blocks aside: %w", err)
		}
		defer dir.Close()
		if err = s.makeUnreadableRoom(seg.dir, dir, name, seg.size); err == nil {
			err = seg.dir.Move(seg.name(), dir, name)
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("set blocks aside: %w", err)
		}
		s.unreadableFiles.add(name, seg.size)
		return seg.removeDone()
	})
}

// tellUnread counts a run and says where it is.
func (s *Spool) reportUnreadable(seg *Segment, r run, name string, err error) {
	s.mu.Lock()
	s.stats.Recovered += r.events
	s.stats.Unreadable += r.events
	s.stats.UnreadableBlocks += r.blocks
	if seg.unreadable == nil {
		seg.unreadable = make(map[event.ID]bool)
	}
	for _, id := range r.ids {
		seg.unreadable[id] = true
	}
	seg.keepFile = seg.keepFile || err != nil
	s.mu.Unlock()
	log := s.o.Log.With("segment", seg.name(), "offset", r.from, "layout", r.version, "blocks", r.blocks, "events", r.events)
	if err != nil {
		log.Error("this build cannot read blocks of the spool; they cannot be set aside, and stay where they are", "error", err)
		return
	}
	log.Error("this build cannot read blocks of the spool, they are set aside: a build that reads them will send them", "file", seg.dir.Join(unreadableFolder+"/"+name))
}

// writeUnread writes a file there, as a whole or not at all.
func (s *Spool) writeUnreadable(at *safefs.Dir, name string, bytes []byte) error {
	if err := s.checkFreeIn(at, int64(len(bytes))); err != nil {
		return err
	}
	dir, err := at.Sub(unreadableFolder, folderMode)
	if err != nil {
		return err
	}
	defer dir.Close()
	if err := s.makeUnreadableRoom(at, dir, name, int64(len(bytes))); err != nil {
		return err
	}
	f, err := dir.OpenFile(unfinishedName, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, fileMode)
	if err != nil {
		return err
	}
	_, err = f.Write(bytes)
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = dir.Rename(unfinishedName, name)
	}
	if err != nil {
		dir.Remove(unfinishedName)
		return err
	}
	s.unreadableFiles.add(name, int64(len(bytes)))
	return dir.Sync()
}

// shelf remembers what the folder holds: to look is slow where that is much.
type fileIndex struct {
	sync.Mutex
	parent *safefs.Dir // what the folder is in; nil: nothing is known
	files  []unreadableFile
	total  int64 // bytes
}

// room makes room for a file, or for another one of its name, within the spool's
// bound: the oldest go. They have been counted when they were set aside.
func (s *Spool) makeUnreadableRoom(at, dir *safefs.Dir, name string, size int64) error {
	sh := &s.unreadableFiles
	sh.Lock()
	defer sh.Unlock()
	if sh.parent != at {
		files, err := listUnreadable(dir)
		if err != nil {
			return err
		}
		sh.parent, sh.files, sh.total = at, files, 0
		for _, f := range files {
			sh.total += f.size
		}
	}
	if i := slices.IndexFunc(sh.files, func(f unreadableFile) bool { return f.name == name }); i >= 0 {
		sh.remove(i)
	}
	for sh.total+size > s.o.Limit && len(sh.files) > 0 {
		gone := sh.remove(0)
		if err := dir.Remove(gone.name); err == nil {
			s.o.Log.Error("blocks that were set aside for another build are thrown away for newer ones", "file", dir.Join(gone.name))
		}
	}
	return nil
}

// take forgets a file.
func (sh *fileIndex) remove(i int) (f unreadableFile) {
	f = sh.files[i]
	sh.files = slices.Delete(sh.files, i, i+1)
	sh.total -= f.size
	return f
}

// put notes a file that is there now.
func (sh *fileIndex) add(name string, size int64) {
	sh.Lock()
	sh.files = append(sh.files, unreadableFile{name: name, size: size})
	sh.total += size
	sh.Unlock()
}

// unreadFile is one file of the folder.
type unreadableFile struct {
	name    string
	size    int64
	segment uint64 // where its blocks stood
	offset  int
	id      string        // of its first block
	first   *event.Header // of that; nil: it is damaged
	err     error         // why nothing can be read of it
}

// unreadFiles lists the folder, the oldest first.
func listUnreadable(dir *safefs.Dir) (files []unreadableFile, err error) {
	entries, err := dir.ReadDir()
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		f, ok := parseUnreadableName(e.Name())
		if !ok {
			continue
		}
		var header []byte
		if header, f.err = readHeaderAt(dir, f.name, 0); errors.Is(f.err, fs.ErrNotExist) {
			continue
		}
		if h, err := event.ReadHeader(header); err == nil {
			f.first = &h
		}
		f.size, _ = dir.Size(f.name) // what cannot be read counts nothing
		files = append(files, f)
	}
	slices.SortFunc(files, func(a, b unreadableFile) int {
		return cmp.Or(a.sealed().Compare(b.sealed()), cmp.Compare(a.segment, b.segment), cmp.Compare(a.offset, b.offset))
	})
	return files, nil
}

// sealed is when the first block was; long ago, where that is not known.
func (f *unreadableFile) sealed() (t time.Time) {
	if f.first != nil {
		t = f.first.Sealed
	}
	return t
}

// readAt reads what may be a block's header.
func readHeaderAt(dir *safefs.Dir, name string, offset int) ([]byte, error) {
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
func (f *unreadableFile) inSegment(dir *safefs.Dir) bool {
	header, err := readHeaderAt(dir, fileName(f.segment, blocksSuffix), f.offset)
	if err != nil {
		return false
	}
	h, err := event.ReadHeader(header)
	return err == nil && h.ID.String() == f.id
}

// read returns a file's bytes; foreign tells that it takes another build to read
// what is in them. Where the first block is damaged it does not: what is behind it
// may be whole.
func (f *unreadableFile) read(dir *safefs.Dir) (data []byte, foreign bool, err error) {
	if f.err != nil || f.first != nil && !f.first.Readable() {
		return nil, f.err == nil, f.err
	}
	if data, err = dir.ReadFile(f.name); err != nil {
		return nil, false, err
	}
	_, err = event.OpenBlock(data)
	return data, errors.Is(err, event.ErrBlockLayout), nil
}

// takeUp makes segments of what earlier builds have set aside and this one can
// read: they stand before all others, and before those of the list. What cannot be
// taken up stays where it is, and keeps nothing from going on.
func (s *Spool) reclaimUnreadable(list manifest) {
	aside, err := s.dir.Sub(unreadableFolder, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return
	}
	var files []unreadableFile
	if err == nil {
		defer aside.Close()
		files, err = listUnreadable(aside)
	}
	if err != nil {
		s.o.Log.Error("cannot look for blocks that another build has set aside", "error", err)
		return
	}
	before := s.lowestNumber(list)
	rest := 0
	for _, f := range slices.Backward(files) {
		data, foreign, err := f.read(aside)
		if foreign {
			rest++
			continue
		}
		if err == nil {
			err = s.markCopiesDone(&f, data)
		}
		if err == nil {
			err = aside.Move(f.name, s.dir, fileName(before-1, blocksSuffix))
		}
		if err != nil {
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
	aside.Remove(unfinishedName)
	s.dir.RemoveDir(unreadableFolder) // stays where there is something else in it
}

// first is the lowest number that a segment has, or had on the list.
func (s *Spool) lowestNumber(list manifest) uint64 {
	numbers, _ := segmentNumbers(s.dir) // an error will come again, from find
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
func (s *Spool) markCopiesDone(f *unreadableFile, data []byte) (err error) {
	if !f.inSegment(s.dir) {
		return nil
	}
	seg := &Segment{number: f.segment, dir: s.dir}
	w := blockScanner{data: data}
	for b, _, more := w.next(); more; b, _, more = w.next() {
		err = errors.Join(err, seg.writeDone(b.ID))
	}
	if seg.done.file != nil {
		err = errors.Join(err, seg.done.file.Sync())
	}
	return errors.Join(err, seg.closeDone())
}
