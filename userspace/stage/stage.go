// Package stage runs the steps between the workers and the outputs. They change events,
// drop some, hold some back or make new ones, once for all outputs. Without stages, a lane
// hands its events to the outputs directly.
//
// In: the events of one lane's worker, and the time. Out: the events of the last stage,
// and counters. The package imports packages event, account and clock alone. Its tests
// make their own events and stages.
package stage

import "dnsmonster-sensor/userspace/event"

// Stage is one lane's part of a step. All calls come from the goroutine of that lane.
//
// A stage hands events on by calling emit, any number of times, but only until the call
// that was given it returns. Each event that it was given leaves it once: it is emitted,
// or counted by Counts as dropped or held. Any other event is unaccounted for in the
// ledger.
type Stage interface {
	// Event handles one event, which the stage may change and emit. The event and its
	// bytes are borrowed until Event returns: a stage that holds it copies it, as
	// event.Block does. Later stages may change an event, so after emit a stage relies
	// on nothing in it. Stages do not write to the bytes of an event, since others may
	// borrow the same: to change a slice, point it to the stage's own bytes. The
	// Message of an emitted event has at least a DNS header, and its DNS is what dns.Read
	// makes of it.
	Event(e *event.Event, emit func(*event.Event))
	// Expire gives the time, so that the stage can release what it has held for too
	// long. It is called before the first event, then about every 10 ms, and before each
	// event that is that much later. now is in nanoseconds and never goes back. On an
	// interface it is the monotonic time since the start, the same on all lanes.
	// Elsewhere it is the time of the lane's packets; package clock decides on steps in
	// it. While a pipe is idle, or packets have no times, Expire is not called.
	Expire(now int64, emit func(*event.Event))
	// Flush is called once, at the end of the lane's input: the stage emits or drops
	// what it holds. Event and Expire are not called afterwards.
	Flush(emit func(*event.Event))
	// Counts returns what became of events that were not emitted. It is called once per
	// batch, and for the last time after Flush: nothing is held then.
	Counts() Counts
}

// Counts are a stage's own numbers since its start.
type Counts struct {
	Dropped uint64 // events dropped on purpose
	Made    uint64 // events emitted beside those that came in
	Held    uint64 // level: events waiting in the stage
}

// Kind is a step that is in use. Its unique name is the label of its ledger.
//
// New is called once for each lane, before the first event. A query and its response may
// come on different lanes: state that needs both is shared by the stages that New
// returns, in the memory of its closure, with its own locks. Such stages count each event
// on one lane, whichever. A lane may end before others: events that its Flush leaves to
// another lane count as held there, and the last lane leaves none. Values that a reload
// changes belong in the closure, too, and stages read them each time.
type Kind struct {
	Name string
	New  func() Stage
}
