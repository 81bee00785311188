package watch

import (
	"sync/atomic"
	"time"
)

// BootClock converts the kernel's time since boot to time of day. The offset between
// them changes when the time of day is set, so it is measured each second.
type BootClock struct{ offset atomic.Int64 }

// Offset is what to add to a time since boot, in nanoseconds.
func (c *BootClock) Offset() int64 { return c.offset.Load() }

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
