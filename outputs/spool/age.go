package spool

import "time"

// ages say when the blocks of a segment were received. One entry covers many blocks, so
// that a long outage does not fill the memory.
type ages []age

type age struct {
	from     int64 // offset in the segment; valid up to the next entry's
	received time.Time
}

// ageStep is the precision of ages. In a segment that took long to fill it is a sixteenth
// of that time instead, if that is more.
const ageStep = time.Second

func (a *ages) add(from int64, received time.Time) {
	if n := len(*a); n > 0 {
		last := (*a)[n-1].received
		step := received.Sub(last)
		if max(step, -step) < max(ageStep, last.Sub((*a)[0].received)/16) {
			return
		}
	}
	*a = append(*a, age{from, received})
}

// receivedAt is when the block at that offset was received.
func (a ages) receivedAt(from int64) (t time.Time) {
	for i, entry := range a {
		if i == 0 || entry.from <= from {
			t = entry.received
		}
	}
	return t
}

// Oldest is the approximate time when the oldest event that only the disk holds was
// received; zero if there is none. A block of an earlier run counts from when it was sealed.
func (s *Spool) Oldest() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, seg := range s.segs {
		switch {
		case seg.taken.events >= seg.total.events:
		case seg.requeued:
			return seg.ages.receivedAt(0)
		default:
			return seg.ages.receivedAt(max(seg.handedTo, seg.readTo))
		}
	}
	return time.Time{}
}
