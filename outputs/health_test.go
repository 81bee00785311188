package outputs

import (
	"bytes"
	"errors"
	"log/slog"
	"strings"
	"testing"
)

// Defect 36: a full disk gave a line per record. A destination that fails now and then has few lines, which say how many more
// there could have been; an outage that lasts has its line, however many there
// were before.
func TestDefect36OutagesAreThrottled(t *testing.T) {
	var b bytes.Buffer
	h := health{log: slog.New(slog.NewTextHandler(&b, nil))}
	full := errors.New("disk is full")
	count := func(text string) int { return strings.Count(b.String(), text) }
	f := func(what string, fails, recovered int, last string) {
		t.Helper()
		if count("output fails") != fails || count("has recovered") != recovered || !strings.Contains(b.String(), last) {
			t.Errorf("%s: %d lines of outages and %d of their ends, want %d, %d and %q:\n%s",
				what, count("output fails"), count("has recovered"), fails, recovered, last, b.String())
		}
	}
	for range 1000 {
		h.failed(true, "write", full)
		h.failed(false, "write", full)
		h.recovered()
	}
	f("1000 outages", maxOutages, maxOutages, "failed_attempts=2")

	h.failed(true, "write", full)
	f("one more", maxOutages, maxOutages, "")
	h.windowStart = h.windowStart.Add(-outageWindow)
	h.failed(false, "write", full)
	f("it lasts", maxOutages+1, maxOutages, "unlogged_outages=995")
	h.failed(true, "write", errors.New("disk is gone"))
	f("in another way", maxOutages+1, maxOutages, "disk is gone")
	h.recovered()
	h.recovered()
	f("its end", maxOutages+1, maxOutages+1, "failed_attempts=3")

	for range 10 {
		h.failed(true, "write", full)
		h.recovered()
	}
	h.logUnlogged()
	h.logUnlogged()
	f("at the end", 2*maxOutages, 2*maxOutages, "unlogged_outages=6")
	if n := count("unlogged_outages"); n != 2 {
		t.Errorf("%d lines tell of outages without a line, want 2", n)
	}
}

// TestRefusalLine: a reason stands in the line where the runner knows one.
func TestRefusalLine(t *testing.T) {
	f := func(why error, want string) {
		t.Helper()
		var b bytes.Buffer
		h := health{log: slog.New(slog.NewTextHandler(&b, nil))}
		h.refusal(3, why)
		if _, line, _ := strings.Cut(b.String(), "msg="); line != want {
			t.Errorf("%v: %q, want %q", why, line, want)
		}
	}
	f(nil, "\"events are refused\" events=3\n")
	f(errors.New("no such column"), "\"events are refused\" events=3 error=\"no such column\"\n")
}
