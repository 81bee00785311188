package pipeline

import (
	"context"
	"sync/atomic"

	"dnsmonster-sensor/outputs"
	"dnsmonster-sensor/userspace/account"
	"dnsmonster-sensor/userspace/event"
)

// limit ends a run after a number of records. A record counts if at least one output
// accepts it. All lanes share the limit; what they bring beyond it is counted, and goes to
// no output.
type limit struct {
	records  uint64
	claimed  atomic.Uint64
	reached  context.Context // ends with the last record
	end      context.CancelFunc
	counters *account.Counters
}

func newLimit(records uint64) *limit {
	l := &limit{records: records, counters: account.NewLimitCounters()}
	l.reached, l.end = context.WithCancel(context.Background())
	return l
}

// full reports whether there is no room for one more record.
func (l *limit) full() bool { return l.claimed.Load() >= l.records }

// claim takes the room for one record, and reports whether there was any.
func (l *limit) claim() bool {
	n := l.claimed.Add(1)
	if n == l.records {
		l.end()
	}
	return n <= l.records
}

// setLimit ends the run after a number of records; 0: it has no limit. It comes before the
// lanes start.
func (p *pipeline) setLimit(records uint64) {
	if records > 0 {
		p.limit = newLimit(records)
		p.ledgers.limit = p.limit.counters
	}
}

// closeAtLimit ends the capture with the last record of the limit, also during the start.
func (p *pipeline) closeAtLimit() (cancel func() bool) {
	if p.limit == nil {
		return func() bool { return true }
	}
	return context.AfterFunc(p.limit.reached, p.closeSource)
}

// limitReached reports whether the run has as many records as were asked for.
func (p *pipeline) limitReached() bool { return p.limit != nil && p.limit.reached.Err() != nil }

// limitedLane offers the events of one lane within the limit.
type limitedLane struct {
	limit   *limit
	shard   *account.Shard
	intakes []*outputs.Intake
}

// offer asks all filters before it claims room, so that a record that no output accepts
// takes none. Like a worker, it counts an event when all outputs have it: before that,
// reading it can fault.
func (l *limitedLane) offer(e *event.Event) {
	if l.limit.full() {
		l.shard.Add(account.BeyondCount, 1)
		return
	}
	accepted := false
	for _, in := range l.intakes {
		accepted = in.Decide(e) || accepted
	}
	if accepted && !l.limit.claim() {
		l.shard.Add(account.BeyondCount, 1)
		return
	}
	for _, in := range l.intakes {
		in.OfferDecided(e)
	}
	l.shard.Add(account.WithinCount, 1)
}
