package spool

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"

	"dnsmonster-sensor/outputs/safefs"
	"dnsmonster-sensor/userspace/event"
)

// Next returns the oldest block that only the disk holds, its segment for Done and
// Requeue, and about when its first event was received; for a block of an earlier run, when
// it was sealed. If there is none the block is nil. Blocks of one segment share memory.
func (s *Spool) Next() (b *event.Block, seg *Segment, received time.Time) {
	s.reading.Lock()
	defer s.reading.Unlock()
	for {
		if s.readSeg == nil && !s.loadChunk() {
			return nil, nil, time.Time{}
		}
		b, gap, more := s.chunk.next()
		if gap.len() > 0 {
			s.quarantineGap(gap)
		}
		if !more {
			s.finishChunk()
			continue
		}
		switch {
		case s.readSeg.doneBefore[b.ID] || s.readSeg.unreadable[b.ID]:
		case b.block == nil: // somebody has put it there since Open
			alone := blockRun{
				span: span{s.chunkSpan.from + b.from, s.chunkSpan.from + b.to}, version: b.Version, tally: tally{1, uint64(b.Events)}, ids: []event.ID{b.ID},
			}
			s.setAsideUnreadable(s.readSeg, alone, s.chunk.data[b.from:b.to])
		default:
			if seg, received := s.handOut(b.block); seg != nil {
				return b.block, seg, received
			}
		}
	}
}

// handOut counts b as taken. It returns nil if the segment, and b with it, was evicted
// meanwhile.
func (s *Spool) handOut(b *event.Block) (*Segment, time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	seg := s.readSeg
	if seg.gone {
		s.readSeg = nil
		return nil, time.Time{}
	}
	n := uint64(b.Len())
	if s.expect.events < n || s.expect.blocks == 0 { // the file holds more than was counted
		seg.total.add(b.Len())
		s.stats.Recovered += n
	} else {
		s.expect.sub(b.Len())
		s.stats.Pending -= n
	}
	seg.taken.add(b.Len())
	end := int64(s.chunkSpan.from + s.chunk.offset)
	received := seg.ages.receivedAt(end - int64(b.Size()))
	seg.handedTo = end
	return seg, received
}

// loadChunk reads what is pending in the oldest segment that has pending blocks. It reports
// false if there is none, or if its file cannot be read now.
func (s *Spool) loadChunk() bool {
	s.mu.Lock()
	i := slices.IndexFunc(s.segs, func(g *Segment) bool { return g.taken.events < g.total.events })
	if i < 0 {
		s.mu.Unlock()
		return false
	}
	seg := s.segs[i]
	from, to := seg.readTo, seg.size
	s.expect = tally{seg.total.blocks - seg.taken.blocks, seg.total.events - seg.taken.events}
	s.mu.Unlock()
	data, err := readRange(seg, from, to)
	if isAccessError(err) {
		s.waitForAccess(seg, err)
		return false
	}
	if err != nil && !s.isGone(seg) {
		s.o.Log.Error("part of the spool cannot be read, and counts as damaged", "error", err)
	}
	s.readSeg, s.chunk, s.chunkSpan = seg, blockScanner{data: data}, span{int(from), int(to)}
	return true
}

// isAccessError reports whether a file exists but may not be read or used: somebody has
// changed its mode or owner, and can change it back.
func isAccessError(err error) bool {
	return errors.Is(err, fs.ErrPermission) || errors.Is(err, safefs.ErrUnsafe)
}

// accessRetry is the pause before such a file is tried again.
const accessRetry = 200 * time.Millisecond

// waitForAccess pauses because a segment's file cannot be read now, and logs that once.
func (s *Spool) waitForAccess(seg *Segment, err error) {
	if !seg.accessLogged {
		seg.accessLogged = true
		s.o.Log.Error("part of the spool cannot be read now, its records wait", "error", err)
	}
	time.Sleep(accessRetry)
}

// isGone reports whether a segment was evicted: then its blocks are counted as evicted.
func (s *Spool) isGone(seg *Segment) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return seg.gone
}

// readRange reads the bytes [from, to) of a segment, or as many as there are, with the
// error that explains why not all. It retries what may be transient.
func readRange(seg *Segment, from, to int64) (data []byte, err error) {
	for range 3 {
		data, err = readOnce(seg, from, to)
		if err == nil {
			return data, nil
		}
		if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) || errors.Is(err, fs.ErrNotExist) || errors.Is(err, safefs.ErrUnsafe) {
			break // truncated, gone, or another user's: not transient
		}
		time.Sleep(100 * time.Millisecond)
	}
	return data, fmt.Errorf("read spool %s: %w", seg.path(), err)
}

func readOnce(seg *Segment, from, to int64) ([]byte, error) {
	f, err := seg.dir.OpenFile(seg.name(), os.O_RDONLY, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data := make([]byte, to-from)
	n, err := io.ReadFull(io.NewSectionReader(f, from, to-from), data)
	return data[:n], err
}

// finishChunk ends the reading of a chunk. Blocks that should have been in it and were
// not are lost.
func (s *Spool) finishChunk() {
	s.mu.Lock()
	seg, lost := s.readSeg, s.expect
	s.readSeg, s.expect = nil, tally{}
	if seg.gone {
		lost = tally{} // counted as evicted
	} else {
		s.stats.Pending -= lost.events
		s.stats.Damaged += lost.events
		seg.total.blocks -= lost.blocks
		seg.total.events -= lost.events
		seg.readTo = max(seg.readTo, int64(s.chunkSpan.to))
	}
	complete := seg.complete()
	s.chunk = blockScanner{}
	s.mu.Unlock()
	if lost.blocks > 0 {
		s.o.Log.Error("blocks of the spool are lost", "segment", fileName(seg.number, blocksSuffix), "blocks", lost.blocks, "events", lost.events)
	}
	if complete {
		if err := s.dropSegment(seg); err != nil {
			s.o.Log.Warn("the spool cannot be cleaned up", "error", err)
		}
	}
}

// quarantineGap quarantines a gap of the chunk, unless Open has done so. finishChunk finds
// out what was lost in it.
func (s *Spool) quarantineGap(gap span) {
	from := s.chunkSpan.from
	if !s.readSeg.knownDamage[from+gap.from] {
		s.quarantine(s.readSeg, damage{span: span{from + gap.from, from + gap.to}}, s.chunk.data[gap.from:gap.to])
	}
}

const quarantineFolder = "quarantine"

// quarantine copies damaged bytes to the quarantine folder, where somebody can look at them,
// and counts and logs them.
func (s *Spool) quarantine(seg *Segment, d damage, bytes []byte) {
	name := fmt.Sprintf("%016x-%d", seg.number, d.from)
	err := s.writeQuarantine(seg, name, bytes)
	s.reportDamage(seg, d, name, err)
	s.deferMark(func() error { return seg.writeDone(damageID(d.span)) })
}

// quarantineFile is quarantine for a segment without any intact block: the file itself is moved,
// once the damage is counted for certain.
func (s *Spool) quarantineFile(seg *Segment, d damage) {
	name := fmt.Sprintf("%016x-0", seg.number)
	s.reportDamage(seg, d, name, nil)
	s.deferMark(func() error {
		dir, err := seg.dir.Sub(quarantineFolder, folderMode)
		if err != nil {
			return err
		}
		defer dir.Close()
		s.trimQuarantine(dir, seg.size)
		if err := seg.dir.Move(seg.name(), dir, name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return seg.removeDone()
	})
}

// reportDamage counts a damaged place and logs where its bytes are now, or why they could
// not be set aside.
func (s *Spool) reportDamage(seg *Segment, d damage, name string, err error) {
	s.mu.Lock()
	s.stats.SetAside++
	s.stats.Recovered += d.events
	s.stats.Damaged += d.events
	s.mu.Unlock()
	log := s.o.Log.With("segment", seg.name(), "offset", d.from, "bytes", d.len())
	if d.events > 0 {
		log = log.With("events_lost", d.events)
	}
	if d.atLeast {
		log = log.With("at_least", true)
	}
	if err != nil {
		log.Error("the spool is damaged, and the damaged part cannot be set aside", "error", err)
		return
	}
	log.Error("the spool is damaged, the damaged part is set aside", "file", seg.dir.Join(quarantineFolder+"/"+name))
}

// writeQuarantine writes a file of the quarantine folder.
func (s *Spool) writeQuarantine(seg *Segment, name string, bytes []byte) error {
	dir, err := seg.dir.Sub(quarantineFolder, folderMode)
	if err != nil {
		return err
	}
	defer dir.Close()
	s.trimQuarantine(dir, int64(len(bytes)))
	f, err := dir.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, fileMode)
	if err != nil {
		return err
	}
	_, err = f.Write(bytes)
	return errors.Join(err, f.Close())
}

// trimQuarantine keeps the quarantine folder within a sixteenth of Limit; the oldest
// segment's files go first.
func (s *Spool) trimQuarantine(dir *safefs.Dir, more int64) {
	entries, err := dir.ReadDir() // sorted by name, so by segment
	if err != nil {
		return
	}
	total := more
	var sizes []int64
	for _, e := range entries {
		n, _ := dir.Size(e.Name())
		sizes = append(sizes, n)
		total += n
	}
	for i, e := range entries {
		if total <= s.o.Limit/16 {
			return
		}
		if strings.Contains(e.Name(), "-") && dir.Remove(e.Name()) == nil {
			total -= sizes[i]
		}
	}
}
