package watch

import "golang.org/x/sys/unix"

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

// bootNanos is the time since boot.
func bootNanos() int64 { return clockNanos(unix.CLOCK_BOOTTIME) }

func clockNanos(clock int32) int64 {
	var t unix.Timespec
	if unix.ClockGettime(clock, &t) != nil {
		return 0
	}
	return t.Nano()
}
