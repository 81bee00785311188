package table

import (
	"cmp"
	"encoding/binary"
	"encoding/hex"
	"hash/fnv"
	"slices"
	"time"

	"dnsmonster-sensor/userspace/event"
)

// timed is an event of a block: its position, and its time or the start of its period.
type timed struct {
	at    int64
	event int32
}

// sorted returns the events of a part that have rows, in the order of their times, or of
// periods if the key of the partitions is known.
func (e *Encoder) sorted(b *event.Block, only []int32) []timed {
	e.times = e.times[:0]
	ev, i := &e.events[0], int32(0)
	for r := b.Reader(); r.Next(ev); i++ {
		if only != nil {
			if len(only) == 0 {
				break
			}
			if only[0] != i {
				continue
			}
			only = only[1:]
		}
		if ev.Selected != nil && !hasRows(ev) {
			continue
		}
		at := ev.Time
		if len(e.key.steps) > 0 {
			at = e.period(at).from
		}
		e.times = append(e.times, timed{at, i})
	}
	slices.SortFunc(e.times, func(a, b timed) int { return cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(a.event, b.event)) })
	return e.times
}

// hasRows reports whether the filter selects a question.
func hasRows(ev *event.Event) bool {
	var q event.Row
	rows := ev.Rows()
	return rows.Next(&q)
}

// split makes parts of neighbouring partitions. What a part has depends on nothing but the
// events and the key: with the same token it must always have the same rows.
func (e *Encoder) split(b *event.Block, now time.Time) {
	list := e.sorted(b, nil)
	for from := 0; from < len(list); {
		to, periods := from+1, 1
		for ; to < len(list); to++ {
			if list[to].at != list[to-1].at {
				if periods++; periods > partitionsOfPart {
					break
				}
			}
		}
		p := Part{Events: positions(list[from:to]), set: len(e.parts)}
		p.Suffix = suffix(p.Events)
		p, _ = e.encode(b, now, p, false)
		e.parts = append(e.parts, p)
		from = to
	}
}

// Order returns the events of a part that have rows, in the order in which Halve divides
// them.
func (e *Encoder) Order(b *event.Block, p *Part) []int32 {
	list := e.sorted(b, p.Events)
	events := make([]int32, len(list))
	for i := range list {
		events[i] = list[i].event
	}
	return events
}

// Only encodes some events of a part in the part's place. The columns of p are no longer
// valid, those of other parts are.
func (e *Encoder) Only(b *event.Block, now time.Time, p *Part, events []int32) Part {
	some := slices.Sorted(slices.Values(events))
	only, _ := e.encode(b, now, Part{Events: some, Suffix: suffix(some), set: p.set}, false)
	return only
}

// SuffixOf is the suffix of the part that Only or Halve make of some events.
func SuffixOf(events []int32) string { return suffix(slices.Sorted(slices.Values(events))) }

// Halve encodes a part as two, of about as many events, the earlier ones first: for a
// server that says that p has rows of too many partitions. ok is false if no more than one
// event of p has rows. The columns of p are no longer valid, those of other parts are.
func (e *Encoder) Halve(b *event.Block, now time.Time, p *Part) (halves [2]Part, ok bool) {
	list := e.sorted(b, p.Events)
	if len(list) < 2 {
		return halves, false
	}
	half := len(list) / 2
	for i, l := range [...][]timed{list[:half], list[half:]} {
		halves[i].Events = positions(l)
		halves[i].Suffix = suffix(halves[i].Events)
	}
	halves[0].set, halves[1].set = p.set, e.freeSet()
	for i := range halves {
		halves[i], _ = e.encode(b, now, halves[i], false)
	}
	return halves, true
}

// freeSet is the number of a set that no part of this block has.
func (e *Encoder) freeSet() int {
	for i, s := range e.sets {
		if s.idle > 0 {
			return i
		}
	}
	return len(e.sets)
}

// positions is the events of a part, in their order.
func positions(list []timed) []int32 {
	events := make([]int32, len(list))
	for i := range list {
		events[i] = list[i].event
	}
	slices.Sort(events)
	return events
}

// suffix names a part of a block by its events: with the same token a part always has the
// same rows, and other rows never have it.
func suffix(events []int32) string {
	h := fnv.New128a()
	var b [4]byte
	for _, at := range events {
		binary.LittleEndian.PutUint32(b[:], uint32(at))
		h.Write(b[:])
	}
	return "-" + hex.EncodeToString(h.Sum(nil))
}
