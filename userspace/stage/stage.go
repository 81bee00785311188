// Package stage is what stands between the workers and the outputs: steps that add
// to events, leave some out, hold some back or make new ones, once for all
// outputs. Where there is none, a lane hands its events to the outputs as before.
package stage

import "dnsmonster-sensor/userspace/event"

// Stage is one lane's share of a step. All calls come from that lane's goroutine.
//
// A stage hands on what it has by calling emit, any number of times, and only until
// the call that was given it returns. Each event that it was given leaves it once: as an
// emitted event, or by its Counts, as dropped or held. What the ledgers cannot find
// shows there as unaccounted.
type Stage interface {
	// Event takes one event, which the stage may change and emit. The event and its
	// bytes are borrowed until Event returns: a stage that holds it copies it, as
	// event.Block does. Those behind may change an event, so after emit a stage
	// relies on nothing in it. The bytes of an event are not written to, as others
	// may borrow the same: to change a field, let it point to bytes of the stage's
	// own. An emitted event's Message is at least a DNS header long, and its DNS is
	// what dns.Read says of it.
	Event(e *event.Event, emit func(*event.Event))
	// Expire tells the time and lets the stage give up what it has held for too
	// long. It comes before the first event, about every 10 ms from then on, and before
	// each event that is so much later. now is in nanoseconds and never goes back. On an interface it is
	// the monotonic time since the start, the same on all lanes. Elsewhere it is the
	// packets' time, of which each lane knows its own; a step in it is believed as
	// package clock says. A silent pipe tells none, nor do packets that have none.
	Expire(now int64, emit func(*event.Event))
	// Flush comes once, at the end of the lane's input: the stage emits or drops what
	// it holds. No Event and no Expire follow.
	Flush(emit func(*event.Event))
	// Counts says what became of events that were not emitted. It is asked for once a
	// batch, and behind Flush for the last time: nothing is held then.
	Counts() Counts
}

// Counts are a stage's own numbers, from its beginning on.
type Counts struct {
	Dropped uint64 // events left out on purpose
	Made    uint64 // events emitted beside those that came in
	Held    uint64 // level: events that wait in the stage
}

// Kind is a step that is in use. Its name is the part of ledger "stage", and no
// other kind's.
//
// New is called once for each lane, before any of its events. A query and its response
// may come on different lanes: what has to know both is shared by the stages that
// New returns, in memory of its closure and behind locks of its own. Such stages
// count each event on any one lane. A lane may end before others: what its Flush leaves to
// another lane counts as held there, and the last lane to end leaves nothing. So do
// values that a reload changes belong to the closure; stages read them anew.
type Kind struct {
	Name string
	New  func() Stage
}
