package pipeline

import (
	"time"

	"dnsmonster-sensor/outputs"
	"dnsmonster-sensor/sensor/lists"
	"dnsmonster-sensor/sensor/signals"
	"dnsmonster-sensor/userspace/mask"
)

// Changes are what a reload brings. They have been checked.
type Changes struct {
	Mask    *mask.Bits                // nil: nothing is masked
	Filters map[string]outputs.Filter // by the output's name
	Lists   lists.Options
}

// reloadAtHangup calls Reload at each SIGHUP, also for one that came during the start,
// until stop is called.
func (p *pipeline) reloadAtHangup(c *Config) (stop func()) {
	quit, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for {
			select {
			case <-c.Signals.Hangup():
				c.Reload(func(next Changes) { p.apply(next, c.Lists) })
			case <-quit:
				return
			}
		}
	}()
	return func() {
		close(quit)
		select {
		case <-done:
		case <-time.After(signals.StartTimeout): // as a start, it may read a pipe that never ends
		}
	}
}

// apply puts changes into effect: masks with each lane's next batch, lists once they
// have been read.
func (p *pipeline) apply(next Changes, domains *lists.Pair) {
	p.masks.Store(next.Mask)
	for _, r := range p.runners {
		if f, ok := next.Filters[r.Name()]; ok {
			r.SetFilter(f)
		}
	}
	domains.Reload(next.Lists)
}
