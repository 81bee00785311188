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

// Blocks may be intact and yet unreadable for this build, most likely because a newer one
// wrote them. They do not delay others and are not discarded: they are moved to a folder
// of their own, counted and logged. The first Open of a build that can read them reclaims
// them, before all else.

const (
	unreadableFolder = "unreadable"
	unfinishedName   = "new" // of a file in that folder that is being written
)

// blockRun is a sequence of adjacent blocks of one version.
type blockRun struct {
	span
	version uint16
	tally
	ids []event.ID
}

// appendRun adds a block to the last run, or starts a new one.
func appendRun(runs []blockRun, b storedBlock) []blockRun {
	if n := len(runs); n == 0 || runs[n-1].to != b.from || runs[n-1].version != b.Version {
		runs = append(runs, blockRun{span: span{b.from, b.from}, version: b.Version})
	}
	r := &runs[len(runs)-1]
	r.to = b.to
	r.add(b.Events)
	r.ids = append(r.ids, b.ID)
	return runs
}

// unreadableName names a file of the folder. The id tells apart two segments that had
// the same number.
func unreadableName(segment uint64, offset int, first event.ID) string {
	return fmt.Sprintf("%016x-%d-%s", segment, offset, first)
}

// parseUnreadableName parses such a name; ok is false for any other name.
func parseUnreadableName(name string) (f unreadableFile, ok bool) {
	n, err := fmt.Sscanf(name, "%16x-%d-%32s", &f.segment, &f.offset, &f.id)
	f.name = name
	return f, n == 3 && err == nil && f.offset >= 0 && fmt.Sprintf("%016x-%d-%s", f.segment, f.offset, f.id) == name
}

// setAsideUnreadable copies a run of blocks to where another build finds it, and counts and
// logs it.
// If that fails the segment's file stays, and the next Open tries again.
func (s *Spool) setAsideUnreadable(seg *Segment, r blockRun, bytes []byte) {
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

// moveUnreadable is setAsideUnreadable for a segment that holds nothing else: the file
// itself is moved, once its blocks are counted for certain.
func (s *Spool) moveUnreadable(seg *Segment, r blockRun) {
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

// reportUnreadable counts a run and logs where it is now. err is why it could not be set
// aside.
func (s *Spool) reportUnreadable(seg *Segment, r blockRun, name string, err error) {
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

// writeUnreadable writes a file of the folder, completely or not at all.
func (s *Spool) writeUnreadable(parent *safefs.Dir, name string, bytes []byte) error {
	if err := s.checkFreeIn(parent, int64(len(bytes))); err != nil {
		return err
	}
	dir, err := parent.Sub(unreadableFolder, folderMode)
	if err != nil {
		return err
	}
	defer dir.Close()
	if err := s.makeUnreadableRoom(parent, dir, name, int64(len(bytes))); err != nil {
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

// fileIndex remembers what the folder holds: listing a large folder is slow.
type fileIndex struct {
	sync.Mutex
	parent *safefs.Dir // the folder's parent; nil: nothing is known yet
	files  []unreadableFile
	total  int64 // bytes
}

// makeUnreadableRoom makes room for a file, or for its replacement, within Limit: the
// oldest files go. Their blocks were counted when they were set folder.
func (s *Spool) makeUnreadableRoom(parent, dir *safefs.Dir, name string, size int64) error {
	idx := &s.unreadableFiles
	idx.Lock()
	defer idx.Unlock()
	if idx.parent != parent {
		files, err := listUnreadable(dir)
		if err != nil {
			return err
		}
		idx.parent, idx.files, idx.total = parent, files, 0
		for _, f := range files {
			idx.total += f.size
		}
	}
	if i := slices.IndexFunc(idx.files, func(f unreadableFile) bool { return f.name == name }); i >= 0 {
		idx.remove(i)
	}
	for idx.total+size > s.o.Limit && len(idx.files) > 0 {
		gone := idx.remove(0)
		if err := dir.Remove(gone.name); err == nil {
			s.o.Log.Error("blocks that were set aside for another build were removed for newer ones", "file", dir.Join(gone.name))
		}
	}
	return nil
}

// remove removes a file from the index.
func (idx *fileIndex) remove(i int) (f unreadableFile) {
	f = idx.files[i]
	idx.files = slices.Delete(idx.files, i, i+1)
	idx.total -= f.size
	return f
}

// add adds a file to the index.
func (idx *fileIndex) add(name string, size int64) {
	idx.Lock()
	idx.files = append(idx.files, unreadableFile{name: name, size: size})
	idx.total += size
	idx.Unlock()
}

// unreadableFile is one file of the folder.
type unreadableFile struct {
	name    string
	size    int64
	segment uint64 // where its blocks were
	offset  int
	id      string        // of its first block
	first   *event.Header // of that block; nil: it is damaged
	err     error         // why nothing can be read of it
}

// listUnreadable lists the folder, oldest first.
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
		f.size, _ = dir.Size(f.name) // 0 for what cannot be read
		files = append(files, f)
	}
	slices.SortFunc(files, func(a, b unreadableFile) int {
		return cmp.Or(a.sealed().Compare(b.sealed()), cmp.Compare(a.segment, b.segment), cmp.Compare(a.offset, b.offset))
	})
	return files, nil
}

// sealed is when the first block was sealed; zero if that is unknown.
func (f *unreadableFile) sealed() (t time.Time) {
	if f.first != nil {
		t = f.first.Sealed
	}
	return t
}

// readHeaderAt reads what may be a block's header.
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

// inSegment reports whether the segment that a file was copied from still has its blocks.
func (f *unreadableFile) inSegment(dir *safefs.Dir) bool {
	header, err := readHeaderAt(dir, fileName(f.segment, blocksSuffix), f.offset)
	if err != nil {
		return false
	}
	h, err := event.ReadHeader(header)
	return err == nil && h.ID.String() == f.id
}

// read returns a file's bytes. unreadable reports that only another build can read its
// blocks. If the first block is damaged it is false: later blocks may be intact.
func (f *unreadableFile) read(dir *safefs.Dir) (data []byte, unreadable bool, err error) {
	if f.err != nil || f.first != nil && !f.first.Readable() {
		return nil, f.err == nil, f.err
	}
	if data, err = dir.ReadFile(f.name); err != nil {
		return nil, false, err
	}
	_, err = event.OpenBlock(data)
	return data, errors.Is(err, event.ErrBlockLayout), nil
}

// reclaimUnreadable turns files of the folder that this build can read into segments, with
// numbers below those of all others and of the manifest. What cannot be reclaimed stays
// where it is.
func (s *Spool) reclaimUnreadable(m manifest) {
	folder, err := s.dir.Sub(unreadableFolder, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return
	}
	var files []unreadableFile
	if err == nil {
		defer folder.Close()
		files, err = listUnreadable(folder)
	}
	if err != nil {
		s.o.Log.Error("cannot look for blocks that another build has set aside", "error", err)
		return
	}
	before := s.lowestNumber(m)
	remaining := 0
	for _, f := range slices.Backward(files) {
		data, unreadable, err := f.read(folder)
		if unreadable {
			remaining++
			continue
		}
		if err == nil {
			err = s.markCopiesDone(&f, data)
		}
		if err == nil {
			err = folder.Move(f.name, s.dir, fileName(before-1, blocksSuffix))
		}
		if err != nil {
			s.o.Log.Error("blocks that another build has set aside cannot be reclaimed", "file", folder.Join(f.name), "error", err)
			continue
		}
		before--
		s.o.Log.Info("blocks that another build has set aside can be read, and are sent first", "file", folder.Join(f.name))
	}
	if remaining > 0 {
		s.o.Log.Warn("blocks that this build cannot read are set aside: start the build that wrote them, and it will send them", "folder", folder.Path(), "files", remaining)
		return
	}
	folder.Remove(unfinishedName)
	s.dir.RemoveDir(unreadableFolder) // stays if there is something else in it
}

// lowestNumber is the lowest number of a segment, in the folder or in the manifest.
func (s *Spool) lowestNumber(m manifest) uint64 {
	numbers, _ := segmentNumbers(s.dir) // recoverSegments will meet the same error
	first := uint64(firstSegment)
	for _, n := range numbers {
		first = min(first, n)
	}
	for n := range m {
		first = min(first, n)
	}
	return first
}

// markCopiesDone notes a file's blocks as done in the segment that they were copied from.
func (s *Spool) markCopiesDone(f *unreadableFile, data []byte) (err error) {
	if !f.inSegment(s.dir) {
		return nil
	}
	seg := &Segment{number: f.segment, dir: s.dir}
	scan := blockScanner{data: data}
	for b, _, more := scan.next(); more; b, _, more = scan.next() {
		err = errors.Join(err, seg.writeDone(b.ID))
	}
	if seg.done.file != nil {
		err = errors.Join(err, seg.done.file.Sync())
	}
	return errors.Join(err, seg.closeDone())
}
