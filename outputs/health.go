package outputs

import (
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"
)

// lossLogInterval is the shortest time between two log lines about refusals, and between
// two about evictions.
const lossLogInterval = time.Minute

// maxCauses is how many causes of one outage are logged.
const maxCauses = 8

// maxOutages is how many outages per outageWindow are logged, so that a destination that
// fails now and then, such as a disk that is nearly full, does not fill the log.
const (
	maxOutages   = 5
	outageWindow = time.Minute
)

// health turns the workers' failures into few log lines: one when the first worker begins
// to fail, one for each further cause, and one when the last worker has recovered.
type health struct {
	log *slog.Logger

	mu               sync.Mutex
	failing          int       // workers that are failing
	since            time.Time // when the first of them began to fail
	attempts         int       // failed attempts since then
	causes           []string  // logged since then
	last             error     // of the last failed attempt; valid if failing > 0
	silenced         bool      // this outage is not logged
	unlogged         int       // outages that no line has mentioned yet
	logged           int       // outages logged since windowStart
	windowStart      time.Time
	unloggedRefusals uint64 // refused events that have not been logged
	refusalLoggedAt  time.Time

	evictedLogged   uint64 // evicted events that have been logged
	evictedLoggedAt time.Time
}

// failed notes a failed attempt. begins: the worker's attempt before it did not fail.
func (h *health) failed(begins bool, doing string, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	now := time.Now()
	if h.failing == 0 {
		h.since, h.attempts, h.silenced = now, 0, true
	}
	if h.silenced {
		h.beginOutage(now, doing, err)
	}
	if c := cause(err); !h.silenced && len(h.causes) < maxCauses && !slices.Contains(h.causes, c) {
		if h.causes = append(h.causes, c); len(h.causes) > 1 {
			h.log.Warn("output still fails, with another error", "doing", doing, "error", err)
		}
	}
	if begins {
		h.failing++
	}
	h.attempts++
	h.last = err
}

// lastError is why the last attempt failed; nil if no worker is failing.
func (h *health) lastError() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.failing == 0 {
		return nil
	}
	return h.last
}

// beginOutage logs that an outage has begun, unless too many have lately.
func (h *health) beginOutage(now time.Time, doing string, err error) {
	if now.Sub(h.windowStart) >= outageWindow {
		h.windowStart, h.logged = now, 0
	}
	if h.logged == maxOutages {
		if h.failing == 0 {
			h.unlogged++
		}
		return
	}
	h.logged++
	if h.failing > 0 { // this outage was counted as unlogged
		h.unlogged--
	}
	h.silenced, h.causes = false, nil
	args := []any{"doing", doing, "error", err}
	if h.unlogged > 0 {
		args = append(args, "unlogged_outages", h.unlogged)
		h.unlogged = 0
	}
	h.log.Warn("output fails, trying again", args...)
}

// logUnlogged mentions the outages that were not logged.
func (h *health) logUnlogged() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.unlogged > 0 {
		h.log.Warn("the output has failed and recovered more often than is logged", "unlogged_outages", h.unlogged)
		h.unlogged = 0
	}
}

// cause is an error's text without its digits: ports, times and counts differ from
// attempt to attempt.
func cause(err error) string {
	return strings.Map(func(r rune) rune {
		if '0' <= r && r <= '9' {
			return -1
		}
		return r
	}, err.Error())
}

// recovered notes that a worker that was failing has succeeded.
func (h *health) recovered() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.failing--; h.failing == 0 && !h.silenced {
		h.log.Info("output has recovered", "failed_attempts", h.attempts,
			"after", time.Since(h.since).Round(time.Millisecond))
	}
}

// refusal notes that the destination will never accept n events, or that they cannot be
// written as records. err is the reason; nil if the writer has logged it.
func (h *health) refusal(n uint64, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.unloggedRefusals += n
	if now := time.Now(); now.Sub(h.refusalLoggedAt) >= lossLogInterval {
		args := []any{"events", h.unloggedRefusals}
		if err != nil {
			args = append(args, "error", err)
		}
		h.log.Warn("records are refused", args...)
		h.refusalLoggedAt, h.unloggedRefusals = now, 0
	}
}

// evicted notes how many events the spool has evicted since the start.
func (h *health) evicted(total uint64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if total == h.evictedLogged {
		return
	}
	if now := time.Now(); now.Sub(h.evictedLoggedAt) >= lossLogInterval {
		h.log.Error("the spool is full, its oldest records are evicted: --spoolmb limits it", "events", total-h.evictedLogged)
		h.evictedLoggedAt, h.evictedLogged = now, total
	}
}
