package spool

import (
	"bytes"
	"errors"

	"dnsmonster-sensor/userspace/event"
)

// magic is how every stored block begins.
var magic = []byte("DMSB")

// span is a range of bytes in a segment.
type span struct{ from, to int }

func (s span) len() int { return s.to - s.from }

// blockScanner finds the intact blocks in a segment's bytes, whatever else is there. It
// trusts a length only if the whole block is intact: after lost bytes the next block may
// begin anywhere.
type blockScanner struct {
	data   []byte
	offset int
}

// storedBlock is an intact block in a segment's bytes; it borrows them.
type storedBlock struct {
	span
	event.Header
	block *event.Block // nil: this build cannot read it
}

// next returns the next intact block, and the damaged bytes before it. more is false at
// the end; there may be a last gap.
func (s *blockScanner) next() (found storedBlock, gap span, more bool) {
	gap.from = s.offset
	for s.offset < len(s.data) {
		rest := s.data[s.offset:]
		b, err := event.OpenBlock(rest)
		h, _ := event.ReadHeader(rest)
		if err == nil || errors.Is(err, event.ErrBlockLayout) && s.isGenuine(gap.from, s.offset+h.Len) {
			gap.to = s.offset
			s.offset += h.Len
			return storedBlock{span{gap.to, s.offset}, h, b}, gap, true
		}
		next := bytes.Index(rest[1:], magic)
		if next < 0 {
			s.offset = len(s.data)
		} else {
			s.offset += 1 + next
		}
	}
	gap.to = len(s.data)
	return storedBlock{}, gap, false
}

// isGenuine reports whether what looks like another build's block, from s.offset to end, is
// one. The damage before it begins at from. A torn block holds messages of strangers, which
// may look like anything: so a genuine block begins where the damaged one ends, or is
// followed by an intact one.
func (s *blockScanner) isGenuine(from, end int) bool {
	for from < s.offset {
		n := damagedLen(s.data[from:])
		if n == 0 {
			break
		}
		from += n
	}
	if from == s.offset || end == len(s.data) {
		return true
	}
	_, err := event.OpenBlock(s.data[end:])
	return err == nil || errors.Is(err, event.ErrBlockLayout)
}

// damagedLen is the length of the damaged block that data begins with, as far as that can
// be told; 0 if it cannot.
func damagedLen(data []byte) int {
	if h, err := event.ReadHeader(data); err == nil {
		return h.Len
	}
	if len(data) < event.BlockHeaderLen {
		return 0
	}
	events, size := event.CountEvents(data[event.BlockHeaderLen:])
	if events == 0 {
		return 0
	}
	return event.BlockHeaderLen + size
}

// loss is how many undelivered events were in a damaged place.
type loss struct {
	events  uint64
	atLeast bool // there may have been more: a header is damaged too
}

// damage is a damaged place.
type damage struct {
	span
	loss
}

// contents is what the bytes of a segment hold.
type contents struct {
	pending    tally // readable blocks that wait to be sent
	ages       ages  // of those; their sealing counts as receipt
	intact     int   // intact blocks, readable or not
	damaged    []damage
	unreadable []blockRun // unreadable blocks that are not done
}

// scanSegment reads a segment's bytes. Blocks in done need not be sent.
func scanSegment(data []byte, done map[event.ID]bool) (c contents) {
	s := blockScanner{data: data}
	missing := 0 // done blocks that were not found
	for id := range done {
		if isBlockID(id) {
			missing++
		}
	}
	for {
		b, gap, more := s.next()
		if gap.len() > 0 {
			c.damaged = append(c.damaged, damage{span: gap})
		}
		if !more {
			break
		}
		c.intact++
		switch {
		case done[b.ID]:
			missing--
		case b.block == nil:
			c.unreadable = appendRun(c.unreadable, b)
		default:
			c.pending.add(b.Events)
			c.ages.add(int64(b.from), b.block.Sealed())
		}
	}
	for i := range c.damaged {
		d := &c.damaged[i]
		d.loss = estimateLoss(data[d.from:d.to], done, &missing)
	}
	return c
}

// missing is how many of the manifest's events were neither found nor are known to be lost
// by damage. If the size of a damaged place is unknown, they are counted there.
func (c *contents) missing(events uint64, done map[event.ID]bool) uint64 {
	events -= min(events, c.pending.events)
	for i := range c.unreadable {
		events -= min(events, c.unreadable[i].events)
	}
	var unknown *damage
	for i := range c.damaged {
		d := &c.damaged[i]
		if done[damageID(d.span)] { // already counted, and not among events
			continue
		}
		events -= min(events, d.events)
		if d.atLeast {
			unknown = d
		}
	}
	if unknown == nil || events == 0 {
		return events
	}
	unknown.events += events
	unknown.atLeast = false
	return 0
}

// estimateLoss counts the events lost in a damaged place. Done blocks are not lost: a
// damaged header is taken for one of the done blocks that were not found elsewhere.
func estimateLoss(data []byte, done map[event.ID]bool, missing *int) (l loss) {
	for off := 0; off < len(data); {
		rest := data[off:]
		if h, err := event.ReadHeader(rest); err == nil {
			if done[h.ID] {
				*missing--
			} else {
				l.events += uint64(h.Events)
			}
			off += h.Len
			continue
		}
		header := min(len(rest), event.BlockHeaderLen)
		events, size := event.CountEvents(rest[header:])
		if *missing > 0 {
			*missing--
		} else {
			l.events += uint64(max(events, 1))
			l.atLeast = true
		}
		off = nextHeader(data, off+header+size)
	}
	return l
}

// nextHeader is the offset of the next intact header, or the end.
func nextHeader(data []byte, off int) int {
	for off < len(data) {
		next := bytes.Index(data[off:], magic)
		if next < 0 {
			break
		}
		off += next
		if _, err := event.ReadHeader(data[off:]); err == nil {
			return off
		}
		off++
	}
	return len(data)
}
