// Package clock measures how long packets have waited on a lane.
//
// In: the interface and time of packets, or the system's monotonic time. Out: a time that
// only goes forward, and stamps that say how long something has waited. It imports none
// of our packages. Its tests need no data.
//
// Packets have times of many clocks. Two interfaces of a file can differ, a clock can be
// set, files can follow each other in any order, and a merged file can alternate between
// clocks. A step forward looks like a pause at first. So each interface has an offset, and
// a step is accepted once the packets of its interface have stayed on its far side for a
// while. Packets that have arrived since the first of these do not become older by the
// step.
//
// A live lane uses the system's monotonic clock, which nobody sets.
package clock

import (
	"slices"
	"time"
)

const (
	// maxAdvance is how far a single packet can move the clock. It is less than the
	// timeouts.
	maxAdvance = int64(time.Second)
	// maxLag is how far behind the clock the packets of an interface may be without a
	// step back.
	maxLag = int64(time.Minute)
	// A step is accepted after stepPackets packets on its far side, or stepSpan of their
	// time.
	stepPackets = 32
	stepSpan    = int64(10 * time.Second)
	// maxInterfaces bounds the interfaces that are remembered. If there are more, all
	// offsets are learnt again.
	maxInterfaces = 1024
	// maxStep is longer than any timeout, and short enough that sums do not overflow.
	maxStep = int64(1) << 51
	// maxSteps bounds the steps forward that are remembered. A packet that came before so many
	// of them is old in any case.
	maxSteps = 64
)

// Clock is for one goroutine. The zero value is ready. It only goes forward.
type Clock struct {
	now     int64
	stepped int64 // the part of now that is steps forward
	isSet   bool  // by Set
	last    int   // index in known of the interface that was looked up last
	index   map[uint32]int
	known   []interfaceClock
	steps   []forwardStep // the latest ones, in order
}

// forwardStep is a step forward: everything with a stamp up to mark becomes older by size.
type forwardStep struct{ mark, size int64 }

// interfaceClock is the knowledge of one interface's time.
type interfaceClock struct {
	iface    uint32
	offset   int64 // from its time to now
	other    int64 // the offset before the last step back, if hasOther
	hasOther bool
	ahead    bool  // whether the packets in run are ahead, or behind
	mark     int64 // the latest stamp before them, if they are ahead
	run      int   // consecutive packets on the far side of a possible step
	earliest int64 // time among them
}

// Set sets the clock. After the first call packets do not move it.
func (c *Clock) Set(now int64) { c.now, c.isSet = now, true }

// Now is how much time has passed, including steps forward.
func (c *Clock) Now() int64 { return c.now }

// Stamp is the stamp of what begins to wait now, for Before. It never goes back.
func (c *Clock) Stamp() int64 { return c.now - c.stepped }

// Before returns the stamp below which something has waited for longer than d
// nanoseconds.
func (c *Clock) Before(d int64) int64 {
	now, older := c.Stamp(), int64(0)
	for i := len(c.steps) - 1; i >= 0; i-- {
		s := &c.steps[i]
		switch age := now - s.mark + older; { // of what arrived right after the step
		case age > d:
			return now + older - d
		case age+s.size > d:
			return s.mark + 1
		}
		older += s.size
	}
	return now + older - d
}

// InterfaceTime is the time by which a packet of time t is compared with others of its
// interface; 0: not known.
func (c *Clock) InterfaceTime(t int64) int64 {
	if c.isSet {
		return c.now
	}
	return t
}

// Observe moves the clock by a packet of an interface, of time t, 0 if it has none. It
// reports whether the clock has moved.
func (c *Clock) Observe(iface uint32, t int64) (moved bool) {
	if c.isSet || t == 0 {
		return false
	}
	i := c.find(iface, t)
	d := t + i.offset - c.now
	if far(d) && i.hasOther {
		if e := t + i.other - c.now; !far(e) {
			i.offset, i.other, d = i.other, i.offset, e
		}
	}
	if far(d) {
		return c.step(i, t, d > 0)
	}
	i.run = 0
	c.now += max(d, 0)
	return d > 0
}

// far reports whether a packet that is d ahead of the clock may be a step.
func far(d int64) bool { return d > maxAdvance || d < -maxLag }

// step handles a packet that is far ahead or far behind.
func (c *Clock) step(i *interfaceClock, t int64, ahead bool) (moved bool) {
	if i.run == 0 || i.ahead != ahead {
		c.begin(i, t, ahead)
		return false
	}
	i.run++
	i.earliest = min(i.earliest, t)
	if i.run < stepPackets && t-i.earliest < stepSpan {
		return false
	}
	if ahead {
		size := i.earliest + i.offset - c.now // other interfaces may have moved the clock meanwhile
		if size > maxStep {
			i.offset -= size - maxStep
			size = maxStep
		}
		if size > 0 {
			c.forward(i.mark, size)
		}
		c.begin(i, t, ahead)
		return size > 0
	}
	i.other, i.hasOther = i.offset, true
	i.offset = c.now - t
	i.run = 0
	return false
}

// begin notes the first packet on the far side of a possible step.
func (c *Clock) begin(i *interfaceClock, t int64, ahead bool) {
	i.run, i.ahead, i.earliest = 1, ahead, t
	i.mark = c.Stamp()
	c.stepped-- // so that later stamps are higher
}

// forward makes a step forward.
func (c *Clock) forward(mark, size int64) {
	c.now += size
	c.stepped += size
	if len(c.steps) == maxSteps {
		c.steps = append(c.steps[:0], c.steps[1:]...)
	}
	at := len(c.steps)
	for at > 0 && c.steps[at-1].mark > mark {
		at--
	}
	c.steps = slices.Insert(c.steps, at, forwardStep{mark, size})
}

// find returns an interface's clock. In a new one, t stands for the present time.
func (c *Clock) find(iface uint32, t int64) *interfaceClock {
	if c.last < len(c.known) && c.known[c.last].iface == iface {
		return &c.known[c.last]
	}
	at, ok := c.index[iface]
	if !ok {
		if c.index == nil {
			c.index = make(map[uint32]int)
		}
		if len(c.known) == maxInterfaces {
			clear(c.index)
			c.known = c.known[:0]
		}
		at = len(c.known)
		c.index[iface] = at
		c.known = append(c.known, interfaceClock{iface: iface, offset: c.now - t})
	}
	c.last = at
	return &c.known[at]
}
