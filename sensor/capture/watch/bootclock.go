package watch

import (
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// BootClock converts the kernel's time since boot to time of day. The offset between
// them changes when the time of day is set, so it is measured each second.
type BootClock struct{ offset atomic.Int64 }

// Offset is what to add to a time since boot, in nanoseconds.
func (c *BootClock) Offset() int64 { return c.offset.Load() }

// measure reads the wall clock a few times between two readings of the boot clock,
// and takes the offset from the closest pair.
func (c *BootClock) measure() {
	best, offset := int64(1<<62), int64(0)
	for range 5 {
		before, wall, after := clockNanos(unix.CLOCK_BOOTTIME), clockNanos(unix.CLOCK_REALTIME), clockNanos(unix.CLOCK_BOOTTIME)
		if width := after - before; width < best {
			best, offset = width, wall-before-width/2
		}
	}
	c.offset.Store(offset)
}

// follow measures each second until stop is closed.
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
