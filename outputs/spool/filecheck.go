package spool

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
)

// Other programs, and people, remove and replace files. What is written to such a file is
// lost. So before each block the spool checks whether the folder, the lock and the file
// being written still have their names, and at each Sync whether the other files are
// there. What is gone counts as damaged as soon as that is noticed.

// checkedPerSync is how many files one Sync checks: all of a spool of ordinary size.
const checkedPerSync = 1000

// ensureFolder makes sure that the next Open will find what is written next: it takes the
// folder that the path leads to now, and starts a new segment if the last one's file is
// gone.
func (s *Spool) ensureFolder() error {
	current := false
	if s.dir != nil && s.lock != nil {
		var err error
		if current, err = s.dir.IsCurrent(); err != nil {
			return fmt.Errorf("check spool: %w", err)
		}
	}
	if !current {
		return s.switchFolder()
	}
	if !s.dir.IsFile(s.lock, lockName) {
		lock, _, err := lockFile(s.dir)
		if err != nil {
			return err
		}
		s.lock.Close()
		s.lock = lock
		s.o.Log.Warn("the lock of the spool was removed, and has been created again", "spool", s.o.Dir)
	}
	if s.tail != nil {
		s.checkFiles(s.tail)
	}
	return nil
}

// switchFolder takes the folder that the path leads to now, instead of the one that
// somebody has removed or replaced.
func (s *Spool) switchFolder() error {
	if s.dir != nil {
		s.mu.Lock()
		all := slices.Clone(s.segs)
		s.mu.Unlock()
		s.detachAll(all, "the folder of the spool was removed or replaced, what it held is lost; a new one is taken")
		s.leaveFolder()
	}
	err := s.takeFolder()
	if err != nil {
		s.leaveFolder()
	}
	return err
}

// checkNext checks the next n segments.
func (s *Spool) checkNext(n int) {
	s.mu.Lock()
	all := slices.Clone(s.segs)
	s.mu.Unlock()
	if len(all) > n {
		from := s.checkedTo % len(all)
		s.checkedTo = from + n
		all = append(all[from:], all[:from]...)[:n]
	}
	s.checkFiles(all...)
}

// checkFiles checks whether the files of segments are there and complete.
func (s *Spool) checkFiles(segs ...*Segment) {
	var gone []*Segment
	for _, seg := range segs {
		switch size, err := s.fileSize(seg); {
		case errors.Is(err, fs.ErrNotExist):
			gone = append(gone, seg)
		case err == nil && size < seg.size:
			s.countTruncated(seg, size)
		}
	}
	if len(gone) > 0 {
		s.detachAll(gone, "files of the spool were removed, what they held is lost")
	}
}

// fileSize is the size of a segment's file, or ErrNotExist.
func (s *Spool) fileSize(seg *Segment) (int64, error) {
	if seg == s.tail && !seg.dir.IsFile(seg.file, seg.name()) {
		return 0, fs.ErrNotExist
	}
	return seg.dir.Size(seg.name())
}

// detachAll counts what was in segments whose files are gone. What Next has read of them,
// and what was handed out, is still delivered.
func (s *Spool) detachAll(segs []*Segment, why string) {
	s.reading.Lock()
	defer s.reading.Unlock()
	var total tally
	names := 0
	for _, seg := range segs {
		lost, isNew := s.detach(seg)
		if !isNew {
			continue
		}
		names++
		total.blocks += lost.blocks
		total.events += lost.events
		if seg == s.tail {
			seg.file.Close()
			s.tail, s.synced, seg.file = nil, 0, nil
		}
		if err := seg.removeDone(); err != nil {
			s.o.Log.Warn("the spool cannot be cleaned up", "error", err)
		}
	}
	if names > 0 {
		s.o.Log.Error(why, "spool", s.o.Dir, "files", names, "events", total.events)
	}
}

// detach marks a segment's file as gone, and returns what was lost with it. isNew is false
// if the segment was detached or removed before.
func (s *Spool) detach(seg *Segment) (lost tally, isNew bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	isNew = !seg.gone && !seg.detached
	if !isNew && !s.ending {
		return lost, false
	}
	var kept tally // in memory, for Next
	switch {
	case s.readSeg == seg && s.ending:
		s.readSeg, s.expect, s.chunk = nil, tally{}, blockScanner{}
	case s.readSeg == seg:
		kept = s.expect
	}
	lost = seg.total.less(seg.taken).less(kept)
	s.countDamaged(seg, lost)
	seg.detached, seg.sealed = true, true
	if s.readSeg != seg && !seg.gone {
		s.forgetSegment(seg)
	}
	return lost, isNew
}

// countDamaged counts blocks of a segment as damaged. It is called with mu held.
func (s *Spool) countDamaged(seg *Segment, lost tally) {
	seg.total = seg.total.less(lost)
	s.stats.Pending -= lost.events
	s.stats.Damaged += lost.events
}

// countTruncated counts what a segment has lost whose file has only size bytes now.
func (s *Spool) countTruncated(seg *Segment, size int64) {
	s.reading.Lock()
	defer s.reading.Unlock()
	if s.readSeg == seg && !s.ending {
		return // Next will find out what is missing after what it has read
	}
	if seg == s.tail { // a block appended now would follow a gap
		if err := s.seal(); err != nil {
			s.o.Log.Warn("the spool cannot be cleaned up", "error", err)
		}
	}
	data, _ := readRange(seg, seg.readTo, max(size, seg.readTo))
	left := scanSegment(data, seg.doneBefore).pending
	s.mu.Lock()
	if seg.gone {
		s.mu.Unlock()
		return
	}
	lost := seg.total.less(seg.taken).less(left)
	s.countDamaged(seg, lost)
	s.stats.Bytes -= seg.size - size
	seg.size = size
	complete := seg.complete()
	s.mu.Unlock()
	s.o.Log.Error("a file of the spool was truncated, what is missing is lost", "file", seg.path(), "events", lost.events)
	if complete {
		if err := s.dropSegment(seg); err != nil {
			s.o.Log.Warn("the spool cannot be cleaned up", "error", err)
		}
	}
}
