// Package spool keeps sealed blocks on disk until they are delivered: what
// memory cannot hold, what is left at a stop, or every block before its first
// attempt. A block keeps its id, and each one is checked by its own sums, so
// that damage costs the damaged block and no other.
//
// A spool is a folder of its own for one output:
//
//	lock                        held by the process that uses the folder; behind an orderly end: what waits
//	<16 hex digits>.blocks      a segment: sealed blocks one after the other, oldest segment first
//	<16 hex digits>.done        which of the segment's blocks need not be sent again
//	quarantine/<segment>-<offset>  bytes of a segment that are no intact block
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
	// firstSegment leaves room on both sides: what is put back stands before
	// what there is.
	firstSegment = 1 << 32
)

// Errors of Append. Both may pass.
var (
	// ErrFull: the spool has reached its bound, and is told to wait then.
	ErrFull = errors.New("spool is full")
	// ErrNoSpace: the file system has less free space than it shall keep.
	ErrNoSpace = errors.New("file system is at its free-space limit")
)

// Options say where a spool is and how large it may become.
type Options struct {
	Dir   string // for one output alone; made where it is missing
	Force bool   // Dir may be one that other users can change
	Limit int64  // bytes of segments at most
	Free  int64  // bytes that the file system keeps free: nothing is written that would go below
	Wait  bool   // at half of Limit Append gives ErrFull, until Last; else the oldest segment is thrown away at Limit
	Log   *slog.Logger
}

// Stats are a spool's numbers. Events that Append took or Open found leave by
// being handed out, evicted, damaged, or set aside as unreadable; the others are
// pending.
type Stats struct {
	Pending   uint64 // events that are on disk and in nobody's hand
	Recovered uint64 // events that Open found, the damaged ones too
	Evicted   uint64 // events thrown away for newer ones
	Damaged   uint64 // events that cannot be read any more, or whose file somebody has removed
	Bytes     int64  // of all segments
	SetAside  uint64 // damaged places

	Unreadable       uint64 // events in blocks that only another build can read: by the blocks' headers
	UnreadableBlocks uint64
}

// Spool is one output's folder. Append and Sync are for one goroutine at a
// time, and so is Next; Done may be called by many.
type Spool struct {
	o           Options
	segmentSize int64 // bytes after which a segment is complete

	writing   sync.Mutex    // Append, Sync, PutBack, Close
	dir       *safefs.Dir   // nil: the folder was removed, and there is none now
	lock      *os.File      // in dir; nil: none
	oldDirs   []*safefs.Dir // that somebody has replaced; segments of them may be in use
	tail      *Segment      // where Append writes; nil: at the next one
	checkedTo int           // where the look at the segments goes on
	synced    int64         // bytes of tail that are on the medium for sure
	ending    bool          // what waited may now be stored

	reading   sync.Mutex // Next
	readSeg   *Segment   // the segment that chunk is from
	chunk     blockScanner
	chunkSpan span  // of chunk in the segment
	expect    tally // pending blocks in chunk, as far as they are not handed out

	mu              sync.Mutex // all below, and the segments' counters
	segs            []*Segment // oldest first
	next            uint64
	stats           Stats
	freed           chan struct{} // a token: bytes were given back
	unreadableFiles fileIndex     // of unreadable blocks

	discarded bool           // this run has no ledgers: nothing in it counts
	foundLock []byte         // what the lock said of the last orderly end
	marks     []func() error // what keeps the next start from counting damage again
}

// Open takes the folder, for this process alone, and looks through all that is
// in it: about a second for each gigabyte that the disk has at hand.
func Open(o Options) (*Spool, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	s := &Spool{
		o: o, next: firstSegment, freed: make(chan struct{}, 1),
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

// enter takes the folder that the path leads to now, and counts what is in it.
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

// leaveFolder gives up the folder. What uses files of it may go on.
func (s *Spool) leaveFolder() {
	s.lock.Close() // of none, no harm
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

// find counts what is in the segments of earlier runs, of which there should be
// those of the list.
func (s *Spool) recoverSegments(list manifest) error {
	if err := removeOrphans(s.dir); err != nil {
		return err
	}
	s.reclaimUnreadable(list)
	numbers, err := segmentNumbers(s.dir)
	if err != nil {
		return err
	}
	s.countMissing(list, numbers)
	for _, n := range numbers {
		seg, err := s.recoverSegment(n, list[n])
		if err != nil {
			return err
		}
		s.mu.Lock()
		s.next = n + 1
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

// inspect reads one segment, counts what is still to be sent and what is lost,
// and sets aside what is damaged or cannot be read. In the segment there were events at least.
func (s *Spool) recoverSegment(number, events uint64) (*Segment, error) {
	seg := &Segment{number: number, dir: s.dir, sealed: true, knownDamage: make(map[int]bool)}
	data, unreadable := s.dir.ReadFile(seg.name())
	if errors.Is(unreadable, fs.ErrPermission) || errors.Is(unreadable, safefs.ErrUnsafe) {
		return nil, fmt.Errorf("read spool: %w", unreadable)
	}
	var err error
	if seg.doneBefore, err = readDone(s.dir, number); err != nil {
		return nil, err
	}
	seg.size = int64(len(data))
	found := scanSegment(data, seg.doneBefore)
	if unreadable != nil {
		end := span{len(data), len(data)}
		found.damaged = append(found.damaged, damage{end, loss{1, true}})
		s.o.Log.Error("part of the spool cannot be read, what is behind it is lost", "offset", end.from, "error", unreadable)
	}
	seg.total, seg.ages = found.pending, found.ages
	if short := found.missing(events, seg.doneBefore); short > 0 {
		s.countLost("a file of the spool was cut since the last run", seg.path(), short)
	}
	for _, sp := range found.damaged {
		seg.knownDamage[sp.from] = true
		if seg.doneBefore[damageID(sp.span)] { // an earlier start has counted it
			continue
		}
		seg.newDamage = true
		if found.intact > 0 {
			s.setAside(seg, sp, data[sp.from:sp.to])
		} else {
			s.moveDamaged(seg, sp)
		}
	}
	whole := len(found.unreadable) == 1 && found.unreadable[0].len() == len(data) && unreadable == nil
	for _, r := range found.unreadable {
		seg.newDamage = true
		if whole {
			s.moveUnreadable(seg, r)
		} else {
			s.setAsideUnreadable(seg, r, data[r.from:r.to])
		}
	}
	if seg.newDamage && found.intact > 0 && found.pending.blocks == 0 && !whole && !seg.keepFile {
		s.deferMark(seg.remove)
	}
	return seg, nil
}

// later puts off what would keep the next start from counting damage, until it
// is in the ledgers of this run for sure.
func (s *Spool) deferMark(note func() error) {
	s.mu.Lock()
	s.marks = append(s.marks, note)
	s.mu.Unlock()
}

// Stats reads the numbers, all of one moment.
func (s *Spool) Stats() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stats
}

// Behind reports whether there is something that only the disk holds.
func (s *Spool) HasPending() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stats.Pending > 0
}

// Freed gives a token when room was made.
func (s *Spool) Freed() <-chan struct{} { return s.freed }

// Done notes that a block, which seg came with, need not be sent again.
func (s *Spool) Done(seg *Segment, id event.ID) error {
	s.mu.Lock()
	if seg.gone {
		s.mu.Unlock()
		return nil
	}
	seg.settled++
	complete, there, stays := seg.complete(), !seg.detached, seg.keepFile
	s.mu.Unlock()
	var err error
	if there && (!complete || stays) {
		err = seg.writeDone(id)
	}
	if complete {
		err = errors.Join(err, s.drop(seg))
	}
	return err
}

// Return gives back a block that was handed out, or kept in memory, and not
// delivered. It reports false where the disk does not have it any more: then
// PutBack can bring it.
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

// drop removes a segment whose blocks are all settled, evicted or damaged.
func (s *Spool) drop(seg *Segment) error {
	s.mu.Lock()
	if seg.gone {
		s.mu.Unlock()
		return nil
	}
	there, stays := !seg.detached, seg.keepFile
	s.forgetSegment(seg)
	s.mu.Unlock()
	var err error
	switch {
	case there && stays:
		err = seg.closeDone()
	case there:
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

// Close brings everything to the medium and gives the folder back. What is
// pending is found by the next Open; so are blocks that were handed out and are
// not done.
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
			err = errors.Join(err, s.drop(seg))
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

// Discard gives the folder back as Open found it: also the damage, for the next
// Open to count.
func (s *Spool) Discard() error {
	s.mu.Lock()
	s.discarded = true
	s.mu.Unlock()
	return s.Close()
}

// noteCounted keeps the next start from counting damage again that is in the
// ledgers of this run.
func (s *Spool) writeMarks() (err error) {
	s.mu.Lock()
	var notes []func() error
	if !s.discarded {
		notes, s.marks = s.marks, nil
	}
	s.mu.Unlock()
	for _, note := range notes {
		err = errors.Join(err, note())
	}
	return err
}

// Dir is the folder.
func (s *Spool) Dir() string { return filepath.Clean(s.o.Dir) }
