// Package spool keeps sealed blocks on disk until they are delivered: what memory cannot
// hold, what is left at a stop, or every block before its first attempt. A block keeps its
// id, and has checksums of its own, so that damage costs the damaged block and no other.
//
// In: blocks, through Append and PutBack. Out: the same blocks, oldest first, through
// Next, also after a restart or a crash. Open counts what it finds; Inspect, Export and
// Drop serve the command line. The package imports safefs and event alone: it knows
// nothing of queues and outputs. The tests make their blocks themselves; those of an
// earlier build are in userspace/event/testdata and test/scenes/testdata/spool-v1.
//
// A spool is a folder of its own for one output:
//
//	lock                        held by the process that uses the folder; after an orderly end: the manifest
//	<16 hex digits>.blocks      a segment: sealed blocks back to back; the lowest number is the oldest
//	<16 hex digits>.done        which of the segment's blocks need not be sent again, and notes about others
//	quarantine/<segment>-<offset>  damaged bytes of a segment
//	unreadable/<segment>-<offset>-<id>  blocks of another build, for a build that can read them
package spool

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"dnsmonster-sensor/outputs/safefs"
	"dnsmonster-sensor/userspace/event"
)

const (
	folderMode = 0o700
	fileMode   = 0o600

	maxSegment = 8 << 20
	minSegment = 64 << 10
	// firstSegment is the number of the first segment. It is high since PutBack counts down.
	firstSegment = 1 << 32
)

// Errors of Append. Both may be transient.
var (
	// ErrFull: the spool has reached its bound, and Options.Wait is set.
	ErrFull = errors.New("spool is full")
	// ErrNoSpace: the file system would have less free space than Options.Free.
	ErrNoSpace = errors.New("file system is at its free-space limit")
)

// Options say where a spool is and how large it may become.
type Options struct {
	Dir   string // for one output only; created if missing
	Force bool   // Dir may be one that other users can change
	Limit int64  // most bytes of segments
	Free  int64  // bytes of the file system that must stay free
	Wait  bool   // at half of Limit Append returns ErrFull, until ReleaseReserve; false: at Limit the oldest segment is evicted
	Log   *slog.Logger
}

// Stats are a spool's numbers. Events that Append took or Open found leave the spool by
// being handed out, evicted, damaged, or set aside as unreadable; the others are pending.
type Stats struct {
	Pending   uint64 // events on disk that were not handed out
	Recovered uint64 // events that Open found, damaged ones too
	Evicted   uint64 // events discarded for newer ones
	Damaged   uint64 // events that cannot be read any more, or whose file somebody has removed
	Bytes     int64  // of all segments
	SetAside  uint64 // damaged places

	Unreadable       uint64 // events in blocks that only another build can read, according to their headers
	UnreadableBlocks uint64
}

// Spool is one output's folder. One goroutine at a time may call Append and Sync, and one
// Next; any number may call Done.
type Spool struct {
	o           Options
	segmentSize int64 // a segment that has grown to this size is sealed

	writing   sync.Mutex    // held by Append, Sync, PutBack and Close; guards the fields up to ending
	dir       *safefs.Dir   // nil: the folder was removed, and there is no new one yet
	lock      *os.File      // in dir; nil: not locked
	oldDirs   []*safefs.Dir // folders that somebody has replaced; their segments may be in use
	tail      *Segment      // the segment that Append writes; nil: the next Append creates one
	checkedTo int           // where checkNext goes on
	synced    int64         // bytes of tail that are known to be on the medium
	ending    bool          // ReleaseReserve was called

	reading   sync.Mutex // held by Next; guards the fields up to expect
	readSeg   *Segment   // the segment that chunk is from
	chunk     blockScanner
	chunkSpan span  // of chunk in the segment
	expect    tally // pending blocks of chunk that were not handed out yet

	mu              sync.Mutex // guards everything below, and the segments' counters
	segs            []*Segment // oldest first
	nextNumber      uint64     // of the next segment
	stats           Stats
	freed           chan struct{} // holds a token: a segment was removed
	unreadableFiles fileIndex     // index of the folder of unreadable blocks

	discarded bool           // Discard was called: what this run has counted is void
	foundLock []byte         // contents of the lock file before this run: the manifest
	marks     []func() error // each notes on disk that damage has been counted; see deferMark
}

// Open takes the folder for this process alone, and reads everything in it. That takes about
// a second per gigabyte in the page cache.
func Open(o Options) (*Spool, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	s := &Spool{
		o: o, nextNumber: firstSegment, freed: make(chan struct{}, 1),
		segmentSize: min(max(o.Limit/16, minSegment), maxSegment),
	}
	if err := s.takeFolder(); err != nil {
		s.leaveFolder()
		s.closeFolders()
		return nil, err
	}
	if err := s.checkFree(0); err != nil {
		o.Log.Warn("nothing can be stored in the spool now", "error", err)
	}
	return s, nil
}

// takeFolder locks the folder that the path leads to now, and counts what is in it.
func (s *Spool) takeFolder() (err error) {
	if s.dir, err = safefs.Make(s.o.Dir, folderMode, s.o.Force); err != nil {
		return fmt.Errorf("make spool: %w", err)
	}
	if err := s.dir.SetMode(folderMode); err != nil { // records are private
		return fmt.Errorf("restrict spool to its owner: %w", err)
	}
	if s.lock, s.foundLock, err = lockFile(s.dir); err != nil {
		return err
	}
	return s.recoverSegments(parseManifest(s.foundLock))
}

// leaveFolder unlocks the folder, and keeps it open for what still uses its files.
func (s *Spool) leaveFolder() {
	s.lock.Close() // harmless for nil
	if s.dir != nil {
		s.oldDirs = append(s.oldDirs, s.dir)
	}
	s.dir, s.lock = nil, nil
}

func (s *Spool) closeFolders() {
	for _, d := range s.oldDirs {
		d.Close()
	}
	s.oldDirs = nil
}

// recoverSegments counts what is in the segments of earlier runs, and compares it with the
// manifest.
func (s *Spool) recoverSegments(m manifest) error {
	if err := removeOrphans(s.dir); err != nil {
		return err
	}
	s.reclaimUnreadable(m)
	numbers, err := segmentNumbers(s.dir)
	if err != nil {
		return err
	}
	s.countMissing(m, numbers)
	for _, n := range numbers {
		seg, err := s.recoverSegment(n, m[n])
		if err != nil {
			return err
		}
		s.mu.Lock()
		s.nextNumber = n + 1
		if seg.total.blocks > 0 {
			s.segs = append(s.segs, seg)
			s.stats.Bytes += seg.size
			s.stats.Pending += seg.total.events
			s.stats.Recovered += seg.total.events
		}
		s.mu.Unlock()
		if seg.total.blocks == 0 && !seg.newDamage {
			if err := seg.remove(); err != nil {
				return err
			}
		}
	}
	return nil
}

// recoverSegment reads one segment, counts what is still to be sent and what is lost, and
// sets aside what is damaged or unreadable. events is what the manifest says of it.
func (s *Spool) recoverSegment(number, events uint64) (*Segment, error) {
	seg := &Segment{number: number, dir: s.dir, sealed: true, knownDamage: make(map[int]bool)}
	data, readErr := s.dir.ReadFile(seg.name())
	if errors.Is(readErr, fs.ErrPermission) || errors.Is(readErr, safefs.ErrUnsafe) {
		return nil, fmt.Errorf("read spool: %w", readErr)
	}
	var err error
	if seg.doneBefore, err = readDone(s.dir, number); err != nil {
		return nil, err
	}
	seg.size = int64(len(data))
	found := scanSegment(data, seg.doneBefore)
	if readErr != nil {
		end := span{len(data), len(data)}
		found.damaged = append(found.damaged, damage{end, loss{1, true}})
		s.o.Log.Error("part of the spool cannot be read, the rest of the file is lost", "offset", end.from, "error", readErr)
	}
	seg.total, seg.ages = found.pending, found.ages
	if missing := found.missing(events, seg.doneBefore); missing > 0 {
		s.countLost("a file of the spool was truncated since the last run", seg.path(), missing)
	}
	s.recoverDamage(seg, data, found)
	allUnreadable := len(found.unreadable) == 1 && found.unreadable[0].len() == len(data) && readErr == nil
	for _, r := range found.unreadable {
		seg.newDamage = true
		if allUnreadable {
			s.moveUnreadable(seg, r)
		} else {
			s.setAsideUnreadable(seg, r, data[r.from:r.to])
		}
	}
	if seg.newDamage && found.intact > 0 && found.pending.blocks == 0 && !allUnreadable && !seg.keepFile {
		s.deferMark(seg.remove)
	}
	return seg, nil
}

// recoverDamage quarantines damage that no earlier start has counted.
func (s *Spool) recoverDamage(seg *Segment, data []byte, found contents) {
	for _, d := range found.damaged {
		seg.knownDamage[d.from] = true
		if seg.doneBefore[damageID(d.span)] {
			continue
		}
		seg.newDamage = true
		if found.intact > 0 {
			s.quarantine(seg, d, data[d.from:d.to])
		} else {
			s.quarantineFile(seg, d)
		}
	}
}

// deferMark puts off a mark on disk that keeps the next start from counting damage again,
// until the damage is in this run's ledgers for certain.
func (s *Spool) deferMark(mark func() error) {
	s.mu.Lock()
	s.marks = append(s.marks, mark)
	s.mu.Unlock()
}

// Stats reads the numbers, all at one moment.
func (s *Spool) Stats() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stats
}

// HasPending reports whether there are blocks that only the disk holds.
func (s *Spool) HasPending() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stats.Pending > 0
}

// Freed receives a token when a segment has been removed.
func (s *Spool) Freed() <-chan struct{} { return s.freed }

// Done notes that a block, which came with seg, need not be sent again.
func (s *Spool) Done(seg *Segment, id event.ID) error {
	s.mu.Lock()
	if seg.gone {
		s.mu.Unlock()
		return nil
	}
	seg.doneBlocks++
	complete, onDisk, keepFile := seg.complete(), !seg.detached, seg.keepFile
	s.mu.Unlock()
	var err error
	if onDisk && (!complete || keepFile) {
		err = seg.writeDone(id)
	}
	if complete {
		err = errors.Join(err, s.dropSegment(seg))
	}
	return err
}

// Note keeps a word about a block on disk that is not done, for a later run that finds it:
// see Segment.Noted.
func (s *Spool) Note(seg *Segment, id event.ID, word string) error {
	s.mu.Lock()
	absent := seg.gone || seg.detached
	s.mu.Unlock()
	if absent {
		return nil
	}
	return seg.writeDone(noteID(id, word))
}

// Requeue makes a block pending again that was handed out, or kept in memory, and was not
// delivered. It reports false if the block is no longer on disk: then PutBack can store it.
func (s *Spool) Requeue(seg *Segment, events int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if seg.gone || seg.detached {
		return false
	}
	seg.taken.sub(events)
	seg.requeued = true
	s.stats.Pending += uint64(events)
	return true
}

// dropSegment removes a segment whose blocks are all done, evicted or damaged.
func (s *Spool) dropSegment(seg *Segment) error {
	s.mu.Lock()
	if seg.gone {
		s.mu.Unlock()
		return nil
	}
	onDisk, keepFile := !seg.detached, seg.keepFile
	s.forgetSegment(seg)
	s.mu.Unlock()
	var err error
	switch {
	case onDisk && keepFile:
		err = seg.closeDone()
	case onDisk:
		err = seg.remove()
	}
	select {
	case s.freed <- struct{}{}:
	default:
	}
	return err
}

// forgetSegment is called with mu held.
func (s *Spool) forgetSegment(seg *Segment) {
	seg.gone = true
	s.stats.Bytes -= seg.size
	s.segs = slices.DeleteFunc(s.segs, func(other *Segment) bool { return other == seg })
}

// Close flushes everything to the medium and releases the folder. The next Open finds what
// is pending, and blocks that were handed out and are not done.
func (s *Spool) Close() error {
	s.writing.Lock()
	defer s.writing.Unlock()
	err := errors.Join(s.seal(), s.writeMarks())
	s.mu.Lock()
	all := slices.Clone(s.segs)
	s.mu.Unlock()
	for _, seg := range all {
		s.mu.Lock()
		complete := seg.complete()
		s.mu.Unlock()
		if complete {
			err = errors.Join(err, s.dropSegment(seg))
		} else {
			err = errors.Join(err, seg.closeDone())
		}
	}
	if s.dir != nil {
		err = errors.Join(err, s.writeManifest(), s.dir.Sync())
	}
	s.leaveFolder()
	s.closeFolders()
	return err
}

// Discard leaves the folder as Open found it, even the damage, for the next Open to count.
func (s *Spool) Discard() error {
	s.mu.Lock()
	s.discarded = true
	s.mu.Unlock()
	return s.Close()
}

// writeMarks writes the marks: from now on no start counts the damage again.
func (s *Spool) writeMarks() (err error) {
	s.mu.Lock()
	var marks []func() error
	if !s.discarded {
		marks, s.marks = s.marks, nil
	}
	s.mu.Unlock()
	for _, mark := range marks {
		err = errors.Join(err, mark())
	}
	return err
}

// Dir is the path of the folder.
func (s *Spool) Dir() string { return filepath.Clean(s.o.Dir) }
