package spool

import "time"

// ages tell when the blocks of a segment were received: one entry for many blocks,
// so that a long outage does not fill the memory.
type ages []age

type age struct {
	from     int64 // where in the segment; it is true up to the next one
	received time.Time
}

// ageStep is how exact ages are at least; in a segment that took long to fill, a
// sixteenth of that time.
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

// at is when the block at that place was received.
func (a ages) receivedAt(from int64) (t time.Time) {
	for i, g := range a {
		if i == 0 || g.from <= from {
			t = g.received
		}
	}
	return t
}

// Oldest is about when the first event was received of all that only the disk has;
// zero where there is none. Where an earlier run has left it, the time of its
// block's sealing counts.
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
