package stage

import (
	"slices"
	"time"

	"dnsmonster-sensor/userspace/account"
	"dnsmonster-sensor/userspace/clock"
	"dnsmonster-sensor/userspace/event"
)

// expireEvery is how much time passes between two calls of Expire while events
// bring the time.
const expireEvery = int64(10 * time.Millisecond)

// Counters are those of all kinds of stages, in the stages' order.
type Counters []*account.Counters

// NewCounters makes counters for each kind.
func NewCounters(kinds []Kind) (counters Counters) {
	for range kinds {
		counters = append(counters, account.NewStageCounters())
	}
	return counters
}

// Chain takes the events of one lane through all stages. It counts what each of them
// is given and what it emits. It is for one goroutine.
type Chain struct {
	links   []link
	sink    func(*event.Event)
	event   event.Event // a copy of what came in, for stages to change
	bytes   []byte      // which event borrows
	clock   clock.Clock
	base    int64 // what clock counts from
	expired int64 // when Expire was called last
	begun   bool  // the time is known
	at      int   // index of the stage that is at work; -1: none
	ended   bool
}

type link struct {
	name  string
	stage Stage
	shard *account.Shard
	emit  func(*event.Event)
}

// NewChain makes one lane's stages, of which sink is given what the last one emits.
// There is at least one kind.
func NewChain(kinds []Kind, counters Counters, sink func(*event.Event)) *Chain {
	c := &Chain{sink: sink, links: make([]link, len(kinds)), at: -1}
	for i, k := range kinds {
		shard := counters[i].Shard()
		c.links[i] = link{k.Name, k.New(), shard, func(e *event.Event) {
			shard.Add(account.StagePassed, 1)
			c.hand(i+1, e)
		}}
	}
	return c
}

// hand gives an event to a stage, or behind the last one to the sink.
func (c *Chain) hand(i int, e *event.Event) {
	before := c.at
	if i == len(c.links) {
		c.at = -1
		c.sink(e)
	} else {
		c.at = i
		c.links[i].stage.Event(e, c.links[i].emit)
	}
	c.at = before
}

// Event takes one event, of which it borrows nothing: where reading it fails, as of a
// mapped file that became shorter, no stage has seen it and nothing has counted it.
func (c *Chain) Event(e *event.Event) {
	c.copy(e)
	c.PacketTime(e.Interface, e.Time)
	c.hand(0, &c.event)
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

// Tick tells the time of a clock that nobody sets, which is the stages' time from
// then on. Call it first before the first event.
func (c *Chain) Tick(now int64) {
	c.clock.Set(now)
	c.begun = true
	c.expire(now)
}

// PacketTime tells that the time of a packet was reached, 0 where it has none.
func (c *Chain) PacketTime(number uint32, t int64) {
	if !c.begun && t != 0 {
		c.begun, c.base = true, t
		c.clock.Observe(number, t)
		c.expire(t)
		return
	}
	if !c.clock.Observe(number, t) {
		return
	}
	if now := c.base + c.clock.Now(); now-c.expired >= expireEvery {
		c.expire(now)
	}
}

// expire tells the last stage first: what others let go comes at a time that it knows.
func (c *Chain) expire(now int64) {
	c.expired = now
	for i := len(c.links) - 1; i >= 0; i-- {
		c.at = i
		c.links[i].stage.Expire(now, c.links[i].emit)
		c.at = -1
	}
}

// Flush ends the stages in their order, so that what one lets go passes through
// those behind it. What a stage still holds then will not come any more: the ledgers show
// it as unaccounted.
func (c *Chain) Flush() {
	c.ended = true
	for i := range c.links {
		c.at = i
		c.links[i].stage.Flush(c.links[i].emit)
		c.at = -1
	}
}

// Publish shows the ledgers to readers. Call it once per batch.
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

// Working is the name of the stage that is at work, "" for none: whose fault a panic
// is.
func (c *Chain) Working() string {
	if c.at < 0 {
		return ""
	}
	return c.links[c.at].name
}
