package spool

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
)

// Other programs, and people, remove and replace files. What is written behind
// that goes nowhere: so the spool looks before each block whether the folder, the
// lock and the file being written are still the ones of their names, and at each
// Sync whether the other files are there. What is gone counts as damaged, in the
// moment in which that is seen.

// patrolSegments is how many files one Sync looks at: all of a spool of usual size.
const checkedPerSync = 1000

// stay makes sure that what is written next will be found by the next Open: it
// takes the folder that the path leads to now, and begins a new segment where
// the last one is not there.
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

// moveIn takes the folder that the path leads to, in the place of the one that
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

// patrol looks at the next n segments.
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

// check looks whether segments are there as they should be.
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

// onDisk is the size of a segment's file, or ErrNotExist.
func (s *Spool) fileSize(seg *Segment) (int64, error) {
	if seg == s.tail && !seg.dir.IsFile(seg.file, seg.name()) {
		return 0, fs.ErrNotExist
	}
	return seg.dir.Size(seg.name())
}

// giveUp counts what segments held whose files are gone. What Next has read of
// them, and what others have in hand, goes its way.
func (s *Spool) detachAll(segs []*Segment, why string) {
	s.reading.Lock()
	defer s.reading.Unlock()
	var total tally
	names := 0
	for _, seg := range segs {
		l, first := s.detach(seg)
		if !first {
			continue
		}
		names++
		total.blocks += l.blocks
		total.events += l.events
		if seg == s.tail {
			seg.file.Close()
			s.tail, s.synced, seg.file = nil, 0, nil
		}
		if err := seg.removeDone(); err != nil {
			s.o.Log.Warn("clean up spool", "error", err)
		}
	}
	if names > 0 {
		s.o.Log.Error(why, "spool", s.o.Dir, "files", names, "events", total.events)
	}
}

// cutOff takes a segment's file for gone, and returns what was lost with it.
func (s *Spool) detach(seg *Segment) (l tally, first bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	first = !seg.gone && !seg.detached
	if !first && !s.ending {
		return l, false
	}
	var kept tally // in memory, for Next
	switch {
	case s.readSeg == seg && s.ending:
		s.readSeg, s.expect, s.chunk = nil, tally{}, blockScanner{}
	case s.readSeg == seg:
		kept = s.expect
	}
	l = seg.total.less(seg.taken).less(kept)
	s.countDamaged(seg, l)
	seg.detached, seg.sealed = true, true
	if s.readSeg != seg && !seg.gone {
		s.forgetSegment(seg)
	}
	return l, first
}

// writeOff counts events of a segment as damaged. It is called with mu held.
func (s *Spool) countDamaged(seg *Segment, l tally) {
	seg.total = seg.total.less(l)
	s.stats.Pending -= l.events
	s.stats.Damaged += l.events
}

// shorter counts what a segment lost that somebody has cut.
func (s *Spool) countTruncated(seg *Segment, size int64) {
	s.reading.Lock()
	defer s.reading.Unlock()
	if s.readSeg == seg && !s.ending {
		return // Next will find out what is missing behind what it has read
	}
	if seg == s.tail { // a block behind a cut would stand behind a gap
		if err := s.seal(); err != nil {
			s.o.Log.Warn("clean up spool", "error", err)
		}
	}
	data, _ := readRange(seg, seg.readTo, max(size, seg.readTo))
	there := scanSegment(data, seg.doneBefore).pending
	s.mu.Lock()
	if seg.gone {
		s.mu.Unlock()
		return
	}
	l := seg.total.less(seg.taken).less(there)
	s.countDamaged(seg, l)
	s.stats.Bytes -= seg.size - size
	seg.size = size
	complete := seg.complete()
	s.mu.Unlock()
	s.o.Log.Error("a file of the spool was cut, what is missing is lost", "file", seg.path(), "events", l.events)
	if complete {
		if err := s.drop(seg); err != nil {
			s.o.Log.Warn("clean up spool", "error", err)
		}
	}
}
