package spool

import (
	"bytes"
	"errors"

	"dnsmonster-sensor/userspace/event"
)

// magic is how every stored block begins.
var magic = []byte("DMSB")

// span is a place in a segment.
type span struct{ from, to int }

func (s span) len() int { return s.to - s.from }

// walker finds the intact blocks in a segment's bytes, whatever else is there.
// A length is believed only where the whole block it spans is intact: behind a
// cut the next block may begin anywhere.
type walker struct {
	data    []byte
	off     int
	foreign error // where a block should stand there was one that another build can read
}

// next returns the next intact block, which borrows the data, and the bytes
// before it that are none. more is false at the end; there may be a last gap.
func (w *walker) next() (b *event.Block, gap span, more bool) {
	gap.from = w.off
	for w.off < len(w.data) {
		rest := w.data[w.off:]
		n, err := event.StoredLen(rest)
		// What stands in a torn block is what others have sent: it may look like
		// anything, and must not keep the sensor from starting.
		if errors.Is(err, event.ErrBlockLayout) && w.off == gap.from {
			w.foreign = err
		}
		if err == nil && n <= len(rest) {
			if b, err := event.OpenBlock(rest[:n]); err == nil {
				gap.to = w.off
				w.off += n
				return b, gap, true
			}
		}
		next := bytes.Index(rest[1:], magic)
		if next < 0 {
			w.off = len(w.data)
		} else {
			w.off += 1 + next
		}
	}
	gap.to = len(w.data)
	return nil, gap, false
}

// lost is what a damaged place held that was still to be sent.
type lost struct {
	events uint64
	guess  bool // at least so many: the header of a block is damaged, too
}

// spot is a damaged place.
type spot struct {
	span
	lost
}

// findings are what the bytes of a segment hold.
type findings struct {
	all     tally // intact blocks that are to be sent
	whole   int   // intact blocks
	spots   []spot
	foreign error
}

// examine looks through a segment's bytes, of which the done blocks need not be
// sent.
func examine(data []byte, done map[event.ID]bool) (f findings) {
	w := walker{data: data}
	missing := 0 // done blocks that have not been found
	for id := range done {
		if !isSpot(id) {
			missing++
		}
	}
	for {
		b, gap, more := w.next()
		if gap.len() > 0 {
			f.spots = append(f.spots, spot{span: gap})
		}
		if !more {
			break
		}
		f.whole++
		if done[b.ID()] {
			missing--
		} else {
			f.all.add(b.Len())
		}
	}
	for i := range f.spots {
		s := &f.spots[i]
		s.lost = judge(data[s.from:s.to], done, &missing)
	}
	f.foreign = w.foreign
	return f
}

// short is how many events should be there, beside what was found and what is
// known to be damaged. Where a damaged place is one of unknown contents, they
// count as what it held.
func (f *findings) short(events uint64, done map[event.ID]bool) uint64 {
	events -= min(events, f.all.events)
	var unknown *spot
	for i := range f.spots {
		s := &f.spots[i]
		if done[spotID(s.span)] { // has been counted, and is not among events
			continue
		}
		events -= min(events, s.events)
		if s.guess {
			unknown = s
		}
	}
	if unknown == nil || events == 0 {
		return events
	}
	unknown.events += events
	unknown.guess = false
	return 0
}

// judge tells how much was lost in a damaged place. What is done is not lost:
// where a header is damaged, one of the done blocks that are missing elsewhere
// is taken for it.
func judge(data []byte, done map[event.ID]bool, missing *int) (l lost) {
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
		events, size := event.CountRecords(rest[header:])
		if *missing > 0 {
			*missing--
		} else {
			l.events += uint64(max(events, 1))
			l.guess = true
		}
		off = nextHeader(data, off+header+size)
	}
	return l
}

// nextHeader is where the next intact header begins, or the end.
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
