package stage

import (
	"slices"
	"time"

	"dnsmonster-sensor/userspace/account"
	"dnsmonster-sensor/userspace/clock"
	"dnsmonster-sensor/userspace/event"
)

// expireEvery is the time between two calls of Expire if it comes from events.
const expireEvery = int64(10 * time.Millisecond)

// Counters are the counters of all kinds, in the order of the stages.
type Counters []*account.Counters

// NewCounters makes the counters of each kind.
func NewCounters(kinds []Kind) (counters Counters) {
	for range kinds {
		counters = append(counters, account.NewStageCounters())
	}
	return counters
}

// Chain passes the events of one lane through all stages, and counts what each of them
// emits. It is for one goroutine.
type Chain struct {
	links   []link
	sink    func(*event.Event)
	event   event.Event // a copy of the event that came in, for stages to change
	bytes   []byte      // which event borrows
	clock   clock.Clock
	base    int64 // the time at which clock is 0
	expired int64 // when Expire was last called
	begun   bool  // the time is known
	running int   // index of the stage that is running; -1: none
	ended   bool
}

type link struct {
	name  string
	stage Stage
	shard *account.Shard
	emit  func(*event.Event)
}

// NewChain makes the stages of one lane. The last one emits to sink. There must be at
// least one kind.
func NewChain(kinds []Kind, counters Counters, sink func(*event.Event)) *Chain {
	c := &Chain{sink: sink, links: make([]link, len(kinds)), running: -1}
	for i, k := range kinds {
		shard := counters[i].Shard()
		c.links[i] = link{k.Name, k.New(), shard, func(e *event.Event) {
			shard.Add(account.StagePassed, 1)
			c.pass(i+1, e)
		}}
	}
	return c
}

// pass passes an event to stage i, or after the last one to sink.
func (c *Chain) pass(i int, e *event.Event) {
	before := c.running
	if i == len(c.links) {
		c.running = -1
		c.sink(e)
	} else {
		c.running = i
		c.links[i].stage.Event(e, c.links[i].emit)
	}
	c.running = before
}

// Event takes a copy of an event through all stages. If reading it faults, because a
// mapped file was truncated, no stage has seen it and nothing was counted.
func (c *Chain) Event(e *event.Event) {
	c.copy(e)
	c.PacketTime(e.Interface, e.Time)
	c.pass(0, &c.event)
}

func (c *Chain) copy(e *event.Event) {
	c.event = *e
	c.bytes = slices.Grow(c.bytes[:0], len(e.Message)+len(e.Identity)+len(e.Version)+len(e.Fields))
	c.event.Message = c.own(e.Message)
	c.event.Identity = c.own(e.Identity)
	c.event.Version = c.own(e.Version)
	c.event.Fields = c.own(e.Fields)
}

func (c *Chain) own(b []byte) []byte {
	if len(b) == 0 {
		return nil
	}
	at := len(c.bytes)
	c.bytes = append(c.bytes, b...)
	return c.bytes[at:len(c.bytes):len(c.bytes)]
}

// Tick sets the time of a monotonic clock, which is the time of the stages from then on.
// The first call must come before the first event.
func (c *Chain) Tick(now int64) {
	c.clock.Set(now)
	c.begun = true
	c.expire(now)
}

// PacketTime notes the time of a packet of an interface; 0 is none.
func (c *Chain) PacketTime(iface uint32, t int64) {
	if !c.begun && t != 0 {
		c.begun, c.base = true, t
		c.clock.Observe(iface, t)
		c.expire(t)
		return
	}
	if !c.clock.Observe(iface, t) {
		return
	}
	if now := c.base + c.clock.Now(); now-c.expired >= expireEvery {
		c.expire(now)
	}
}

// expire starts with the last stage: when earlier ones release events, later ones know
// the time already.
func (c *Chain) expire(now int64) {
	c.expired = now
	for i := len(c.links) - 1; i >= 0; i-- {
		c.running = i
		c.links[i].stage.Expire(now, c.links[i].emit)
		c.running = -1
	}
}

// Flush flushes the stages in order, so that the events of one pass through the later
// ones. Events that a stage still holds afterwards are unaccounted for.
func (c *Chain) Flush() {
	c.ended = true
	for i := range c.links {
		c.running = i
		c.links[i].stage.Flush(c.links[i].emit)
		c.running = -1
	}
}

// Publish shows the counters to readers. Call it once per batch.
func (c *Chain) Publish() {
	for i := range c.links {
		l := &c.links[i]
		n := l.stage.Counts()
		if c.ended {
			n.Held = 0
		}
		l.shard.Set(account.StageDropped, n.Dropped)
		l.shard.Set(account.StageMade, n.Made)
		l.shard.Set(account.StageHeld, n.Held)
		l.shard.Publish()
	}
}

// Running is the name of the stage that is running, "" for none. It tells which stage
// panicked.
func (c *Chain) Running() string {
	if c.running < 0 {
		return ""
	}
	return c.links[c.running].name
}
