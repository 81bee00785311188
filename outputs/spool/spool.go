// Package spool keeps sealed blocks on disk until they are delivered: what
// memory cannot hold, what is left at a stop, or every block before its first
// attempt. A block keeps its id, and each one is checked by its own sums, so
// that damage costs the damaged block and no other.
//
// A spool is a folder of its own for one output:
//
//	lock                        held by the process that uses the folder
//	<16 hex digits>.blocks      a segment: sealed blocks one after the other, oldest segment first
//	<16 hex digits>.done        which of the segment's blocks need not be sent again
//	quarantine/<segment>-<offset>  bytes of a segment that are no intact block
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
	ErrNoSpace = errors.New("file system is at its free-space mark")
)

// Options say where a spool is and how large it may become.
type Options struct {
	Dir   string // for one output alone; made where it is missing
	Limit int64  // bytes of segments at most
	Free  int64  // bytes that the file system keeps free: nothing is written that would go below
	Wait  bool   // at half of Limit Append gives ErrFull, until Last; else the oldest segment is thrown away at Limit
	Log   *slog.Logger
}

// Stats are a spool's numbers. Events that Append took or Open found leave by
// being handed out, evicted or damaged; the others are pending.
type Stats struct {
	Pending   uint64 // events that are on disk and in nobody's hand
	Recovered uint64 // events that Open found
	Evicted   uint64 // events thrown away for newer ones
	Damaged   uint64 // events that could not be read any more
	Bytes     int64  // of all segments
	SetAside  uint64 // damaged places
}

// Spool is one output's folder. Append and Sync are for one goroutine at a
// time, and so is Next; Done may be called by many.
type Spool struct {
	o       Options
	lock    *os.File
	segment int64 // bytes after which a segment is complete

	writing sync.Mutex // Append, Sync, PutBack, Close
	tail    *Segment   // where Append writes; nil: at the next one
	synced  int64      // bytes of tail that are on the medium for sure
	last    bool       // what waited may now be stored

	reading sync.Mutex // Next
	cur     *Segment   // the segment that chunk is from
	chunk   walker
	place   span  // of chunk in the segment
	expect  tally // pending blocks in chunk, as far as they are not handed out

	mu    sync.Mutex // all below, and the segments' counters
	segs  []*Segment // oldest first
	next  uint64
	stats Stats
	freed chan struct{} // a token: bytes were given back
}

// Open takes the folder, for this process alone, and looks through all that is
// in it: about a second for each gigabyte that the disk has at hand.
func Open(o Options) (*Spool, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if err := os.MkdirAll(o.Dir, folderMode); err != nil {
		return nil, fmt.Errorf("make spool: %w", err)
	}
	if err := os.Chmod(o.Dir, folderMode); err != nil { // records are private
		return nil, fmt.Errorf("close spool to others: %w", err)
	}
	lock, err := lockFile(o.Dir)
	if err != nil {
		return nil, err
	}
	s := &Spool{
		o: o, lock: lock, next: firstSegment, freed: make(chan struct{}, 1),
		segment: min(max(o.Limit/16, minSegment), maxSegment),
	}
	if err := s.find(); err != nil {
		lock.Close()
		return nil, err
	}
	if err := s.spare(0); err != nil {
		o.Log.Warn("nothing can be stored in the spool now", "error", err)
	}
	return s, nil
}

// find counts what is in the segments of earlier runs.
func (s *Spool) find() error {
	numbers, err := segments(s.o.Dir)
	if err != nil {
		return err
	}
	if err := removeOrphans(s.o.Dir, numbers); err != nil {
		return err
	}
	for _, n := range numbers {
		seg, err := s.inspect(n)
		if err != nil {
			return err
		}
		s.next = n + 1
		if seg.all.blocks == 0 {
			if err := seg.remove(s.o.Dir); err != nil {
				return err
			}
			continue
		}
		s.segs = append(s.segs, seg)
		s.stats.Bytes += seg.size
		s.stats.Pending += seg.all.events
		s.stats.Recovered += seg.all.events
	}
	return nil
}

// inspect reads one segment, counts what is still to be sent, and sets aside what
// is damaged.
func (s *Spool) inspect(number uint64) (*Segment, error) {
	seg := &Segment{number: number, sealed: true, known: make(map[int]bool)}
	data, unreadable := os.ReadFile(seg.path(s.o.Dir))
	if errors.Is(unreadable, fs.ErrPermission) {
		return nil, fmt.Errorf("read spool: %w", unreadable)
	}
	var err error
	if seg.old, err = readDone(s.o.Dir, number); err != nil {
		return nil, err
	}
	seg.size = int64(len(data))
	w := walker{data: data}
	var gaps []span
	intact := false
	for {
		b, gap, more := w.next()
		if gap.len() > 0 {
			gaps = append(gaps, gap)
		}
		if !more {
			break
		}
		intact = true
		if !seg.old[b.ID()] {
			seg.all.add(b.Len())
		}
	}
	if w.foreign != nil {
		return nil, fmt.Errorf("read spool %s: %w: deliver it with the build that wrote it, or throw it away with `dnsmonster-sensor spool drop`", seg.path(s.o.Dir), w.foreign)
	}
	if unreadable != nil {
		s.stats.SetAside++
		s.o.Log.Error("part of the spool cannot be read, what is behind it is lost", "offset", len(data), "error", unreadable)
	}
	if !intact && (len(gaps) > 0 || unreadable != nil) {
		s.moveAside(seg)
		return seg, nil
	}
	for _, gap := range gaps {
		seg.known[gap.from] = true
		s.setAside(seg, gap, data[gap.from:gap.to])
	}
	return seg, nil
}

// Stats reads the numbers, all of one moment.
func (s *Spool) Stats() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stats
}

// Behind reports whether there is something that only the disk holds.
func (s *Spool) Behind() bool {
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
	complete := seg.complete()
	s.mu.Unlock()
	if complete {
		return s.drop(seg)
	}
	return seg.writeDone(s.o.Dir, id)
}

// Return gives back a block that was handed out, or kept in memory, and not
// delivered. It reports false where the disk does not have it any more: then
// PutBack can bring it.
func (s *Spool) Return(seg *Segment, events int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if seg.gone {
		return false
	}
	seg.out.sub(events)
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
	seg.gone = true
	s.stats.Bytes -= seg.size
	s.segs = slices.DeleteFunc(s.segs, func(other *Segment) bool { return other == seg })
	s.mu.Unlock()
	err := seg.remove(s.o.Dir)
	select {
	case s.freed <- struct{}{}:
	default:
	}
	return err
}

// Close brings everything to the medium and gives the folder back. What is
// pending is found by the next Open; so are blocks that were handed out and are
// not done.
func (s *Spool) Close() error {
	s.writing.Lock()
	defer s.writing.Unlock()
	err := s.seal()
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
			err = errors.Join(err, seg.closeDone(s.o.Dir))
		}
	}
	return errors.Join(err, syncFolder(s.o.Dir), s.lock.Close())
}

// Dir is the folder.
func (s *Spool) Dir() string { return filepath.Clean(s.o.Dir) }
