package clock

import (
	"math"
	"testing"
)

const second = int64(1e9)

// player plays packets to a clock, and knows how far it has moved.
type player struct {
	c     Clock
	begin int64
}

func (p *player) play(number uint32, seconds ...float64) {
	for _, s := range seconds {
		p.c.Observe(number, 1_500_000_000e9+int64(s*1e9))
	}
}

// moved is in seconds.
func (p *player) moved() float64 { return float64(p.c.now-p.begin) / 1e9 }

// run is n times, width apart, starting at first.
func run(first, width float64, n int) (times []float64) {
	for i := range n {
		times = append(times, first+float64(i)*width)
	}
	return times
}

func TestClock(t *testing.T) {
	f := func(name string, least, most float64, play func(p *player)) {
		t.Helper()
		p := &player{}
		p.play(0, 0)
		p.begin = p.c.now
		play(p)
		if got := p.moved(); got < least || got > most {
			t.Errorf("%s: the clock has moved by %v s, want %v to %v", name, got, least, most)
		}
	}
	f("one interface", 50, 50, func(p *player) { p.play(0, run(0, 0.5, 101)...) })
	f("packets out of order", 2, 2, func(p *player) { p.play(0, 1, 0.3, 2, 0.1, 1.5) })
	f("a pause, then traffic", 100, 101, func(p *player) { p.play(0, run(100, 0.01, 100)...) })
	f("a pause, then a packet now and then", 140, 165, func(p *player) { p.play(0, run(100, 5, 14)...) })
	f("a packet each half minute", 540, 600, func(p *player) { p.play(0, run(30, 30, 20)...) })
	f("one stray time ahead", 1, 1, func(p *player) { p.play(0, 0.5, 1e6, 1) })
	f("one stray time behind", 1, 1, func(p *player) { p.play(0, 0.5, -1e6, 1) })
	f("no time", 1, 1, func(p *player) {
		p.play(0, 0.5)
		p.c.Observe(0, 0)
		p.play(0, 1)
	})
	f("a clock set back", 19, 21, func(p *player) {
		p.play(0, run(0, 0.1, 101)...)
		p.play(0, run(-3600, 0.1, 132)...)
	})
	f("a clock set forward", 3600, 3622, func(p *player) {
		p.play(0, run(0, 0.1, 101)...)
		p.play(0, run(3600, 0.1, 132)...)
	})
	f("an older file after it", 19, 21, func(p *player) {
		p.play(0, run(0, 0.1, 101)...)
		p.play(0, run(-1e7, 0.1, 132)...)
	})
	for _, apart := range []float64{0.5, 2, 37, 3600, -2, -37, -3600} {
		f("two interfaces", 10, 10.5, func(p *player) {
			for _, s := range run(0, 0.1, 101) {
				p.play(0, s)
				p.play(1, s+apart)
			}
		})
		f("two clocks in one interface", 10, 11, func(p *player) {
			for _, s := range run(0, 0.1, 101) {
				p.play(0, s, s+apart)
			}
		})
		f("two clocks in one interface, a few packets at a time", 10, 12, func(p *player) {
			for _, s := range run(0, 1, 11) {
				p.play(0, run(s, 0.05, 20)...)
				p.play(0, run(s+apart, 0.05, 20)...)
			}
		})
		f("two clocks in one interface, many packets at a time", 20, 25+max(0, apart), func(p *player) {
			for _, s := range run(0, 2, 11) {
				p.play(0, run(s, 0.02, 100)...)
				p.play(0, run(s+apart, 0.02, 100)...)
			}
		})
	}
	f("an interface that comes later", 10, 10.5, func(p *player) {
		p.play(0, run(0, 0.1, 51)...)
		for _, s := range run(5, 0.1, 51) {
			p.play(7, s+37)
			p.play(0, s)
		}
	})
	f("three interfaces, one of them idle for a while", 120, 121, func(p *player) {
		for _, s := range run(0, 0.1, 1201) {
			p.play(0, s)
			p.play(1, s-37)
			if s < 10 || s > 100 {
				p.play(2, s+1000)
			}
		}
	})
	f("interfaces that write in turn", 60, 66, func(p *player) {
		for _, s := range run(0, 5, 12) {
			p.play(0, run(s, 0.1, 51)...)
			p.play(1, run(s, 0.1, 51)...)
		}
	})
}

// TestBefore: the age of what arrived before, within and after a pause, which counts once
// the pause is accepted as a step and not earlier.
func TestBefore(t *testing.T) {
	p := &player{}
	p.play(0, run(0, 0.5, 20)...)
	early := p.c.Stamp()
	p.play(0, 300)
	first := p.c.Stamp()
	p.play(0, 300.1)
	second := p.c.Stamp()
	f := func(when string, stamp int64, seconds float64, old bool) {
		t.Helper()
		if got := stamp < p.c.Before(int64(seconds*1e9)); got != old {
			t.Errorf("%s, stamp %d: longer than %v s: %v, want %v", when, stamp, seconds, got, old)
		}
	}
	f("before the step", early, 1, false)
	p.play(0, run(300.2, 0.01, 400)...) // up to 304.2
	f("before the pause", early, 293, true)
	f("before the pause", early, 300, false)
	f("its first packet", first, 3, true)
	f("its first packet", first, 5, false)
	f("its second packet", second, 3, true)
	f("its second packet", second, 5, false)
	p.play(0, run(314, 10, 4)...) // up to 344
	f("before the pause", early, 315, true)
	f("its first packet", first, 15, true)
	f("its first packet", first, 45, false)
	last := p.c.Stamp()
	f("the last packet", last, 0.1, false)
	for range 10 * maxSteps {
		p.play(0, 1000+float64(p.c.now-p.begin)/1e9, 1020+float64(p.c.now-p.begin)/1e9)
	}
	if len(p.c.steps) > maxSteps {
		t.Errorf("%d steps are remembered", len(p.c.steps))
	}
	f("the last packet", last, 60, true)
}

// TestEndsOfTime: the smallest and largest times do not set the clock back.
func TestEndsOfTime(t *testing.T) {
	var c Clock
	for range 3 {
		for _, at := range []int64{math.MaxInt64, math.MinInt64, 1, -1, math.MaxInt64 - 1} {
			for range stepPackets + 1 {
				before := c.Stamp()
				c.Observe(0, at)
				if c.Stamp() < before || c.Before(second) > c.Stamp() {
					t.Fatalf("time %d set the clock back from %d to %d", at, before, c.Stamp())
				}
			}
		}
	}
}

// TestManyInterfaces: the memory for a file with very many interfaces is bounded.
func TestManyInterfaces(t *testing.T) {
	var c Clock
	begin := c.now
	for i := range uint32(10 * maxInterfaces) {
		c.Observe(i, int64(i%7)*37*second+int64(i)*second/1024)
	}
	if len(c.known) > maxInterfaces || len(c.index) > maxInterfaces {
		t.Errorf("%d interfaces are remembered, at most %d", len(c.known), maxInterfaces)
	}
	if moved := c.now - begin; moved > 11*second {
		t.Errorf("the clock moved by %d s in 10 s", moved/second)
	}
}

// TestSet: a clock that is set does not follow packets.
func TestSet(t *testing.T) {
	var c Clock
	c.Set(5)
	for i := range int64(100) {
		c.Observe(0, 1_500_000_000e9+i*second)
	}
	if c.Stamp() != 5 || c.InterfaceTime(1_500_000_000e9) != 5 {
		t.Errorf("now %d, interface time %d, want 5", c.now, c.InterfaceTime(1_500_000_000e9))
	}
	c.Set(9)
	if c.now != 9 {
		t.Errorf("now %d, want 9", c.now)
	}
}

func TestAllocatesNothing(t *testing.T) {
	var c Clock
	now := int64(1)
	run := func() {
		for i := range uint32(4) {
			c.Observe(i, now+int64(i)*37*second)
		}
		now += second / 3
	}
	run()
	if n := testing.AllocsPerRun(1000, run); n != 0 {
		t.Errorf("four packets allocate %v times, want 0", n)
	}
}

// FuzzClock: whatever times packets have, the clock only goes forward.
func FuzzClock(f *testing.F) {
	f.Add([]byte{0, 0, 1, 1, 37, 0, 0, 1, 255})
	f.Add([]byte("10\xc1\xe6\xfd1y00020\xf21z0"))
	f.Fuzz(func(t *testing.T, script []byte) {
		var c Clock
		at := int64(0)
		for ; len(script) >= 2; script = script[2:] {
			at += int64(int8(script[1])) << (script[0] >> 2)
			stamp, limit := c.Stamp(), c.Before(30e9)
			c.Observe(uint32(script[0]&3), at)
			if c.Stamp() < stamp || c.Before(30e9) < limit {
				t.Fatalf("time %d set the clock back", at)
			}
			if c.Before(30e9) > c.Stamp() {
				t.Fatal("what is new is old")
			}
		}
	})
}
