package spool

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"slices"
	"time"

	"dnsmonster-sensor/outputs/safefs"
	"dnsmonster-sensor/userspace/event"
)

// Append writes a sealed block after all others. With kept set, the caller holds the
// block in memory too and will deliver it from there, with the returned segment for Done
// and Requeue; that is allowed only while HasPending is false. Otherwise Next will return
// the block. received is when the first of the block's events was received. After an error
// nothing was stored.
//
// When Append returns, the kernel has the block: it survives this process and, after the
// next Sync, a loss of power too.
func (s *Spool) Append(b *event.Block, kept bool, received time.Time) (*Segment, error) {
	s.writing.Lock()
	defer s.writing.Unlock()
	n := int64(b.Size())
	if err := s.ensureFolder(); err != nil {
		return nil, err
	}
	if err := s.makeRoom(n); err != nil {
		return nil, err
	}
	if s.tail != nil && s.tail.size > 0 && s.tail.size+n > s.segmentSize {
		if err := s.seal(); err != nil {
			return nil, err
		}
	}
	if s.tail == nil {
		seg, err := s.create(s.nextNumber)
		if err != nil {
			return nil, err
		}
		s.mu.Lock()
		s.nextNumber++
		s.segs = append(s.segs, seg)
		s.mu.Unlock()
		s.tail = seg
	}
	if err := s.tail.write(b); err != nil {
		return nil, err
	}
	s.commit(s.tail, b, kept, received)
	return s.tail, nil
}

// commit makes a written block visible to readers.
func (s *Spool) commit(seg *Segment, b *event.Block, kept bool, received time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	seg.ages.add(seg.size, received)
	seg.size += int64(b.Size())
	s.stats.Bytes += int64(b.Size())
	seg.total.add(b.Len())
	if kept {
		seg.taken.add(b.Len())
		seg.readTo = seg.size
	} else {
		s.stats.Pending += uint64(b.Len())
	}
}

// create creates the file of a new segment.
func (s *Spool) create(number uint64) (*Segment, error) {
	seg := &Segment{number: number, dir: s.dir}
	f, err := s.dir.OpenFile(seg.name(), os.O_CREATE|os.O_EXCL|os.O_WRONLY, fileMode)
	if err != nil {
		return nil, fmt.Errorf("write spool: %w", err)
	}
	if err := s.dir.Sync(); err != nil {
		f.Close()
		s.dir.Remove(seg.name())
		return nil, fmt.Errorf("sync spool: %w", err)
	}
	seg.file = f
	return seg, nil
}

// write appends a block's bytes. What a failed write leaves is cut off at once or, if that
// fails too, overwritten by the next write, which starts at the same offset.
func (g *Segment) write(b *event.Block) error {
	if err := writeAt(g.file, b, g.size); err != nil {
		return fmt.Errorf("write spool: %w", errors.Join(err, g.file.Truncate(g.size)))
	}
	return nil
}

func writeAt(f *os.File, b *event.Block, offset int64) error {
	for _, piece := range b.Pieces() {
		if _, err := f.WriteAt(piece, offset); err != nil {
			return err
		}
		offset += int64(len(piece))
	}
	return nil
}

// makeRoom checks whether n more bytes are allowed, and evicts the oldest segments for
// them.
func (s *Spool) makeRoom(n int64) error {
	if err := s.checkFree(n); err != nil {
		return err
	}
	limit := s.o.Limit
	if s.o.Wait && !s.ending {
		limit /= 2
	}
	for {
		s.mu.Lock()
		over := s.stats.Bytes+n > limit && len(s.segs) > 0
		var oldest *Segment
		if over {
			oldest = s.segs[0]
		}
		s.mu.Unlock()
		if !over {
			return nil
		}
		if s.o.Wait {
			return fmt.Errorf("write spool %s: %w (%d MiB)", s.o.Dir, ErrFull, limit>>20)
		}
		if err := s.evict(oldest); err != nil {
			return err
		}
	}
}

// ReleaseReserve lets Append use all of Limit, for the blocks that have waited for room
// until the stop. Next must not be called any more.
func (s *Spool) ReleaseReserve() {
	s.writing.Lock()
	defer s.writing.Unlock()
	s.ending = true
	s.checkNext(math.MaxInt)
}

// evict discards a segment for newer blocks. Its blocks that were handed out can still be
// delivered.
func (s *Spool) evict(seg *Segment) error {
	if seg == s.tail {
		if err := s.seal(); err != nil {
			return err
		}
	}
	s.mu.Lock()
	if !seg.gone {
		lost := seg.total.events - seg.taken.events
		s.stats.Pending -= lost
		s.stats.Evicted += lost
		seg.taken = seg.total
	}
	keepFile, blocks := seg.keepFile, len(seg.unreadable)
	seg.keepFile = false
	s.mu.Unlock()
	if keepFile { // it could not be set aside in time
		s.o.Log.Error("blocks that this build cannot read were evicted for newer ones: there was no room to set them aside", "file", seg.path(), "blocks", blocks)
	}
	return s.dropSegment(seg)
}

// checkFree returns an error unless writing n more bytes leaves the configured free space.
func (s *Spool) checkFree(n int64) error { return s.checkFreeIn(s.dir, n) }

func (s *Spool) checkFreeIn(dir *safefs.Dir, n int64) error {
	free, err := dir.FreeBytes()
	if err != nil {
		return fmt.Errorf("read free space of spool: %w", err)
	}
	if free < s.o.Free+n {
		return fmt.Errorf("write spool %s: %w of %d MiB", s.o.Dir, ErrNoSpace, s.o.Free>>20)
	}
	return nil
}

// Sync flushes what was appended to the medium, and checks whether all files are still
// there. Append does not wait for it.
func (s *Spool) Sync() error {
	s.writing.Lock()
	if err := errors.Join(s.ensureFolder(), s.writeMarks()); err != nil {
		s.writing.Unlock()
		return err
	}
	s.checkNext(checkedPerSync)
	seg := s.tail
	if seg == nil || seg.size == s.synced {
		s.writing.Unlock()
		return nil
	}
	file, size := seg.file, seg.size
	s.writing.Unlock()
	err := file.Sync()
	s.writing.Lock()
	defer s.writing.Unlock()
	switch {
	case s.tail != seg:
		return nil // seal has completed and synced it meanwhile
	case err == nil:
		s.synced = size
		return nil
	}
	// The kernel reports bytes that it could not write only once: later syncs of this
	// file would succeed.
	s.synced = seg.size
	return fmt.Errorf("sync spool: %w", errors.Join(err, s.seal()))
}

// seal ends the segment that Append writes: nothing more is added to it.
func (s *Spool) seal() error {
	seg := s.tail
	if seg == nil {
		return nil
	}
	var err error
	if seg.size > s.synced {
		if err = seg.file.Sync(); err != nil {
			err = fmt.Errorf("sync spool: %w", err)
		}
	}
	if e := seg.file.Close(); e != nil {
		err = errors.Join(err, fmt.Errorf("close spool: %w", e))
	}
	s.tail, s.synced, seg.file = nil, 0, nil
	s.mu.Lock()
	seg.sealed = true
	complete := seg.complete()
	s.mu.Unlock()
	if complete {
		err = errors.Join(err, s.dropSegment(seg))
	}
	return err
}

// PutBack stores blocks, oldest first, before all others: they were next to be sent when
// sending ended. Next must not be called any more. If Limit is too small for all, the
// oldest go. safe is how many blocks, counted from the last one, are stored or evicted;
// the others could not be written. notes are words about some of the blocks, as for Note.
func (s *Spool) PutBack(blocks []*event.Block, notes map[event.ID]string) (safe int, err error) {
	s.writing.Lock()
	defer s.writing.Unlock()
	if err := s.ensureFolder(); err != nil {
		return 0, err
	}
	blocks, safe = s.evictOverflow(blocks)
	for len(blocks) > 0 { // from the newest, since the numbers descend
		first, size := len(blocks), int64(0)
		for first > 0 && (size == 0 || size+int64(blocks[first-1].Size()) <= s.segmentSize) {
			first--
			size += int64(blocks[first].Size())
		}
		seg, putErr := s.putSegment(blocks[first:])
		if putErr != nil {
			return safe, errors.Join(err, putErr)
		}
		for _, b := range blocks[first:] {
			if word := notes[b.ID()]; word != "" {
				err = errors.Join(err, s.Note(seg, b.ID(), word))
			}
		}
		safe += len(blocks) - first
		blocks = blocks[:first]
	}
	return safe, err
}

// evictOverflow drops the oldest of blocks until Limit has room for the others. gone is how
// many it dropped.
func (s *Spool) evictOverflow(blocks []*event.Block) (rest []*event.Block, gone int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	total := s.stats.Bytes
	for _, b := range blocks {
		total += int64(b.Size())
	}
	for gone < len(blocks) && total > s.o.Limit {
		total -= int64(blocks[gone].Size())
		s.stats.Evicted += uint64(blocks[gone].Len())
		gone++
	}
	return blocks[gone:], gone
}

// putSegment stores blocks as the first segment.
func (s *Spool) putSegment(blocks []*event.Block) (*Segment, error) {
	var size int64
	for _, b := range blocks {
		size += int64(b.Size())
	}
	if err := s.checkFree(size); err != nil {
		return nil, err
	}
	seg, err := s.createFirst()
	if err != nil {
		return nil, err
	}
	if err = writeAll(seg.file, blocks); err == nil {
		err = seg.file.Sync()
	}
	seg.file.Close()
	seg.file, seg.sealed = nil, true
	if err != nil {
		return nil, errors.Join(err, seg.remove())
	}
	for _, b := range blocks {
		s.commit(seg, b, false, b.Sealed())
	}
	s.mu.Lock()
	s.segs = slices.Insert(s.segs, 0, seg)
	s.mu.Unlock()
	return seg, nil
}

// createFirst creates a segment with a number below those of all others.
func (s *Spool) createFirst() (*Segment, error) {
	s.mu.Lock()
	number := s.nextNumber
	for _, seg := range s.segs {
		if !seg.detached {
			number = seg.number
			break
		}
	}
	s.mu.Unlock()
	for {
		number--
		seg, err := s.create(number)
		if !errors.Is(err, fs.ErrExist) { // the number of a file that stays, but has nothing to send
			return seg, err
		}
	}
}

func writeAll(f *os.File, blocks []*event.Block) error {
	var written int64
	for _, b := range blocks {
		if err := writeAt(f, b, written); err != nil {
			return fmt.Errorf("write spool: %w", err)
		}
		written += int64(b.Size())
	}
	return nil
}
