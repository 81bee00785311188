package watch

import (
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// BootClock turns the kernel's time since boot into time of day. The offset
// changes when the time of day is set, so it is measured again each second.
type BootClock struct{ offset atomic.Int64 }

// Offset is what to add to a time since boot, in nanoseconds.
func (c *BootClock) Offset() int64 { return c.offset.Load() }

// measure takes the offset as the tightest of a few readings of one clock
// between two of the other.
func (c *BootClock) measure() {
	best, offset := int64(1<<62), int64(0)
	for range 5 {
		before, real, after := clockNanos(unix.CLOCK_BOOTTIME), clockNanos(unix.CLOCK_REALTIME), clockNanos(unix.CLOCK_BOOTTIME)
		if width := after - before; width < best {
			best, offset = width, real-before-width/2
		}
	}
	c.offset.Store(offset)
}

// follow measures until stop is closed.
func (c *BootClock) follow(stop <-chan struct{}) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-stop:
			return
		case <-tick.C:
			c.measure()
		}
	}
}

func clockNanos(clock int32) int64 {
	var t unix.Timespec
	if unix.ClockGettime(clock, &t) != nil {
		return 0
	}
	return t.Nano()
}
