// Package clock tells how much time has passed for what waits on a lane.
//
// Packets bring their own time, and it is not one time. Two interfaces of a file
// can differ by their clocks, a clock can be set, files stand one behind the other
// in any order, and a merged file can alternate between clocks. A step forward looks like a
// pause at first. So each interface has an offset, and a step is believed when
// the packets of its interface have stayed on its far side for a while. What came
// since its first packet is not older for it.
//
// A live lane has a better clock, that of the system, which nobody sets.
package clock

import (
	"slices"
	"time"
)

const (
	// pause is how far ahead a single packet moves the clock. It is less than the
	// timeouts.
	pause = int64(time.Second)
	// lag is how far behind the clock an interface stays that brings its packets
	// late, but in the same time.
	lag = int64(time.Minute)
	// packets on the far side of a step, or span of their time, make it believed.
	packets = 32
	span    = int64(10 * time.Second)
	// maxInterfaces bounds what is remembered. When there are more, their offsets
	// are learnt anew.
	maxInterfaces = 1024
	// longest is the longest step: longer than any timeout, and short enough that
	// sums do not overflow.
	longest = int64(1) << 51
	// maxSteps bounds how many steps forward are remembered. Before so many of them
	// nothing is young.
	maxSteps = 64
)

// Clock is for one goroutine. The zero value is ready. It only goes forward.
type Clock struct {
	now     int64
	stepped int64 // how much of now is steps forward
	steady  bool
	last    int // index of the interface that was asked for last
	index   map[uint32]int
	known   []interfaceClock
	steps   []forward // the latest ones, in order
}

// forward is a step: what has a stamp up to mark is older by size.
type forward struct{ mark, size int64 }

// interfaceClock is what is known of one interface's time.
type interfaceClock struct {
	number uint32
	offset int64 // of its time to now
	other  int64 // the offset before the last step back, if two
	two    bool
	ahead  bool  // where those in run are
	mark   int64 // the latest stamp before them, if they are ahead
	run    int   // packets since the last that was near
	least  int64 // time of the earliest of them
}

// Set sets the clock. From the first call on packets do not move it.
func (c *Clock) Set(now int64) { c.now, c.steady = now, true }

// Now is how much time has passed, steps forward included.
func (c *Clock) Now() int64 { return c.now }

// Stamp is for what begins to wait now, for Before. It never goes back.
func (c *Clock) Stamp() int64 { return c.now - c.stepped }

// Before returns a stamp: what has a lower one has waited for longer than d, in
// nanoseconds.
func (c *Clock) Before(d int64) int64 {
	now, older := c.Stamp(), int64(0)
	for i := len(c.steps) - 1; i >= 0; i-- {
		s := &c.steps[i]
		switch age := now - s.mark + older; { // of what came right behind the step
		case age > d:
			return now + older - d
		case age+s.size > d:
			return s.mark + 1
		}
		older += s.size
	}
	return now + older - d
}

// InterfaceTime is by what two packets of one interface are compared, of which this one has
// time t; 0 where nothing is known.
func (c *Clock) InterfaceTime(t int64) int64 {
	if c.steady {
		return c.now
	}
	return t
}

// Observe moves the clock by a packet of time t, 0 if it has none. It reports
// whether the clock has moved.
func (c *Clock) Observe(number uint32, t int64) (moved bool) {
	if c.steady || t == 0 {
		return false
	}
	i := c.find(number, t)
	d := t + i.offset - c.now
	if far(d) && i.two {
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

func far(d int64) bool { return d > pause || d < -lag }

// step decides about a packet that is far ahead or far behind.
func (c *Clock) step(i *interfaceClock, t int64, ahead bool) (moved bool) {
	if i.run == 0 || i.ahead != ahead {
		c.begin(i, t, ahead)
		return false
	}
	i.run++
	i.least = min(i.least, t)
	if i.run < packets && t-i.least < span {
		return false
	}
	if ahead {
		size := i.least + i.offset - c.now // others can have gone there meanwhile
		if size > longest {
			i.offset -= size - longest
			size = longest
		}
		if size > 0 {
			c.forward(i.mark, size)
		}
		c.begin(i, t, ahead)
		return size > 0
	}
	i.other, i.two = i.offset, true
	i.offset = c.now - t
	i.run = 0
	return false
}

// begin notes the first packet on the far side of what can be a step.
func (c *Clock) begin(i *interfaceClock, t int64, ahead bool) {
	i.run, i.ahead, i.least = 1, ahead, t
	i.mark = c.Stamp()
	c.stepped-- // later stamps are higher
}

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
	c.steps = slices.Insert(c.steps, at, forward{mark, size})
}

// find returns an interface's clock. That of a new one shows the present time.
func (c *Clock) find(number uint32, t int64) *interfaceClock {
	if c.last < len(c.known) && c.known[c.last].number == number {
		return &c.known[c.last]
	}
	at, ok := c.index[number]
	if !ok {
		if c.index == nil {
			c.index = make(map[uint32]int)
		}
		if len(c.known) == maxInterfaces {
			clear(c.index)
			c.known = c.known[:0]
		}
		at = len(c.known)
		c.index[number] = at
		c.known = append(c.known, interfaceClock{number: number, offset: c.now - t})
	}
	c.last = at
	return &c.known[at]
}
