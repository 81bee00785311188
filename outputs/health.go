package outputs

import (
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"
)

// refusedEvery is how often an output's refusals and evictions get a line, at
// most.
const refusedEvery = time.Minute

// maxCauses bounds the lines about one outage.
const maxCauses = 8

// maxOutages is how many outages in outagesWithin get lines, so that a
// destination that fails now and then, such as a disk that is nearly full, does
// not fill the log.
const (
	maxOutages    = 5
	outagesWithin = time.Minute
)

// health turns the workers' troubles into few log lines: one when the first
// worker begins to fail, one for each further cause, one when the last of them
// has recovered.
type health struct {
	log *slog.Logger

	mu       sync.Mutex
	failing  int // workers
	attempts int // that failed, since the first worker began to fail
	since    time.Time
	causes   []string // that have had their line, since then
	last     error    // why the last attempt failed; valid if failing > 0
	quiet    bool     // this outage has no lines
	hidden   int      // outages without lines that no line has told of
	told     int      // outages with lines, since
	counted  time.Time
	refused  uint64 // events not yet in a line
	line     time.Time

	evictedSaid uint64 // of those evicted
	evictedLine time.Time
}

// failed notes a failed attempt; first: the worker's last one was good.
func (h *health) failed(first bool, doing string, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	now := time.Now()
	if h.failing == 0 {
		h.since, h.attempts, h.quiet = now, 0, true
	}
	if h.quiet {
		h.begin(now, doing, err)
	}
	if c := cause(err); !h.quiet && len(h.causes) < maxCauses && !slices.Contains(h.causes, c) {
		if h.causes = append(h.causes, c); len(h.causes) > 1 {
			h.log.Warn("output still fails, now in another way", "doing", doing, "error", err)
		}
	}
	if first {
		h.failing++
	}
	h.attempts++
	h.last = err
}

// trouble is why the last attempt failed, nil where all workers are well.
func (h *health) trouble() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.failing == 0 {
		return nil
	}
	return h.last
}

// begin says that an outage has begun, unless too many have lately.
func (h *health) begin(now time.Time, doing string, err error) {
	if now.Sub(h.counted) >= outagesWithin {
		h.counted, h.told = now, 0
	}
	if h.told == maxOutages {
		if h.failing == 0 {
			h.hidden++
		}
		return
	}
	h.told++
	if h.failing > 0 { // it had begun in quiet
		h.hidden--
	}
	h.quiet, h.causes = false, nil
	args := []any{"doing", doing, "error", err}
	if h.hidden > 0 {
		args = append(args, "outages_without_a_line", h.hidden)
		h.hidden = 0
	}
	h.log.Warn("output fails, trying again", args...)
}

// end tells of outages that had no lines.
func (h *health) end() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.hidden > 0 {
		h.log.Warn("the output has failed and recovered more often than the log says", "outages_without_a_line", h.hidden)
		h.hidden = 0
	}
}

// cause is an error's text without its numbers: ports, times and counts differ
// from attempt to attempt.
func cause(err error) string {
	return strings.Map(func(r rune) rune {
		if '0' <= r && r <= '9' {
			return -1
		}
		return r
	}, err.Error())
}

// recovered notes that a worker which had failed is well again.
func (h *health) recovered() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.failing--; h.failing == 0 && !h.quiet {
		h.log.Info("output has recovered", "failed_attempts", h.attempts,
			"after", time.Since(h.since).Round(time.Millisecond))
	}
}

// refusal notes that the destination will never take n events, or that they cannot
// be written as records; err is why, nil where the writer has logged it.
func (h *health) refusal(n uint64, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.refused += n
	if now := time.Now(); now.Sub(h.line) >= refusedEvery {
		args := []any{"events", h.refused}
		if err != nil {
			args = append(args, "error", err)
		}
		h.log.Warn("events are refused", args...)
		h.line, h.refused = now, 0
	}
}

// evicted notes how many events the spool has thrown away since the start.
func (h *health) evicted(total uint64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if total == h.evictedSaid {
		return
	}
	if now := time.Now(); now.Sub(h.evictedLine) >= refusedEvery {
		h.log.Error("the spool is full, its oldest events are thrown away: --spoolmb bounds it", "events", total-h.evictedSaid)
		h.evictedLine, h.evictedSaid = now, total
	}
}
