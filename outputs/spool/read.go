package spool

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"dnsmonster-sensor/userspace/event"
)

// Next hands out the oldest block that only the disk has, with its segment for
// Done and Return; a nil block where there is none. Blocks of one segment share
// memory.
func (s *Spool) Next() (*event.Block, *Segment) {
	s.reading.Lock()
	defer s.reading.Unlock()
	for {
		if s.cur == nil && !s.load() {
			return nil, nil
		}
		b, gap, more := s.chunk.next()
		if gap.len() > 0 {
			s.damaged(gap)
		}
		if !more {
			s.leave()
			continue
		}
		if s.cur.old[b.ID()] {
			continue
		}
		if seg := s.handOut(b); seg != nil {
			return b, seg
		}
	}
}

// handOut counts b as taken. It returns nil where the segment was evicted
// meanwhile, and b counted with it.
func (s *Spool) handOut(b *event.Block) *Segment {
	s.mu.Lock()
	defer s.mu.Unlock()
	seg := s.cur
	if seg.gone {
		s.cur = nil
		return nil
	}
	n := uint64(b.Len())
	if s.expect.events < n || s.expect.blocks == 0 { // the file holds more than we know of
		seg.all.add(b.Len())
		s.stats.Recovered += n
	} else {
		s.expect.sub(b.Len())
		s.stats.Pending -= n
	}
	seg.out.add(b.Len())
	return seg
}

// load reads what is pending in the oldest segment that has something.
func (s *Spool) load() bool {
	s.mu.Lock()
	i := slices.IndexFunc(s.segs, func(g *Segment) bool { return g.out.events < g.all.events })
	if i < 0 {
		s.mu.Unlock()
		return false
	}
	seg := s.segs[i]
	from, to := seg.read, seg.size
	s.expect = tally{seg.all.blocks - seg.out.blocks, seg.all.events - seg.out.events}
	s.mu.Unlock()
	data, err := readRange(seg.path(s.o.Dir), from, to)
	if err != nil && !s.isGone(seg) {
		s.o.Log.Error("part of the spool cannot be read, and counts as damaged", "error", err)
	}
	s.cur, s.chunk, s.place = seg, walker{data: data}, span{int(from), int(to)}
	return true
}

// isGone tells that a segment was evicted, and its blocks are counted so.
func (s *Spool) isGone(seg *Segment) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return seg.gone
}

// readRange reads bytes from to to of a file: all, or as many as there are,
// with the error that says why not all. A trouble that passes gets time to.
func readRange(path string, from, to int64) (data []byte, err error) {
	for range 3 {
		data, err = readOnce(path, from, to)
		if err == nil {
			return data, nil
		}
		if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) || errors.Is(err, fs.ErrNotExist) {
			break // cut, or gone: that does not pass
		}
		time.Sleep(100 * time.Millisecond)
	}
	return data, fmt.Errorf("read spool %s: %w", path, err)
}

func readOnce(path string, from, to int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data := make([]byte, to-from)
	n, err := io.ReadFull(io.NewSectionReader(f, from, to-from), data)
	return data[:n], err
}

// leave ends the reading of a chunk. What should have been in it and was not
// is lost.
func (s *Spool) leave() {
	s.mu.Lock()
	seg, lost := s.cur, s.expect
	s.cur, s.expect = nil, tally{}
	if seg.gone {
		lost = tally{} // evicted, and counted so
	} else {
		s.stats.Pending -= lost.events
		s.stats.Damaged += lost.events
		seg.all.blocks -= lost.blocks
		seg.all.events -= lost.events
		seg.read = max(seg.read, int64(s.place.to))
	}
	complete := seg.complete()
	s.chunk = walker{}
	s.mu.Unlock()
	if lost.blocks > 0 {
		s.o.Log.Error("blocks of the spool are lost", "segment", fileName(seg.number, blocksSuffix), "blocks", lost.blocks, "events", lost.events)
	}
	if complete {
		if err := s.drop(seg); err != nil {
			s.o.Log.Warn("spool", "error", err)
		}
	}
}

// damaged sets a gap of the chunk aside, unless Open has.
func (s *Spool) damaged(gap span) {
	from := s.place.from
	if !s.cur.known[from+gap.from] {
		s.setAside(s.cur, span{from + gap.from, from + gap.to}, s.chunk.data[gap.from:gap.to])
	}
}

const quarantine = "quarantine"

// setAside copies bytes that are no block to where somebody can look at them,
// counts them and names them.
func (s *Spool) setAside(seg *Segment, gap span, bytes []byte) {
	dir := filepath.Join(s.o.Dir, quarantine)
	path := filepath.Join(dir, fmt.Sprintf("%016x-%d", seg.number, gap.from))
	err := os.MkdirAll(dir, folderMode)
	if err == nil {
		s.thinOut(dir, int64(len(bytes)))
		err = os.WriteFile(path, bytes, fileMode)
	}
	s.mu.Lock()
	s.stats.SetAside++
	s.mu.Unlock()
	log := s.o.Log.With("segment", fileName(seg.number, blocksSuffix), "offset", gap.from, "bytes", gap.len())
	if err != nil {
		log.Warn("the spool is damaged, and the damaged part cannot be set aside", "error", err)
		return
	}
	log.Warn("the spool is damaged, the damaged part is set aside", "file", path)
}

// moveAside sets a whole segment aside, in which nothing is intact.
func (s *Spool) moveAside(seg *Segment) {
	dir := filepath.Join(s.o.Dir, quarantine)
	path := filepath.Join(dir, fmt.Sprintf("%016x-0", seg.number))
	err := os.MkdirAll(dir, folderMode)
	if err == nil {
		s.thinOut(dir, seg.size)
		err = os.Rename(seg.path(s.o.Dir), path)
	}
	s.stats.SetAside++
	log := s.o.Log.With("segment", fileName(seg.number, blocksSuffix), "bytes", seg.size)
	if err != nil {
		log.Warn("nothing in a segment of the spool is intact, and it cannot be set aside", "error", err)
		return
	}
	log.Warn("nothing in a segment of the spool is intact, it is set aside", "file", path)
}

// thinOut keeps the quarantine within a sixteenth of the spool's bound, oldest
// segment out.
func (s *Spool) thinOut(dir string, more int64) {
	entries, err := os.ReadDir(dir) // sorted by name, so by segment
	if err != nil {
		return
	}
	total := more
	var sizes []int64
	for _, e := range entries {
		n := int64(0)
		if info, err := e.Info(); err == nil {
			n = info.Size()
		}
		sizes = append(sizes, n)
		total += n
	}
	for i, e := range entries {
		if total <= s.o.Limit/16 {
			return
		}
		if strings.Contains(e.Name(), "-") && os.Remove(filepath.Join(dir, e.Name())) == nil {
			total -= sizes[i]
		}
	}
}
