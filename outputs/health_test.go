package outputs

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"

	"dnsmonster-sensor/userspace/event"
)

// Defect 36: a full disk caused a log line per record. A destination that fails now and then
// causes few lines, which say how many more outages there were. An outage that lasts is
// logged, however many there were before.
func TestDefect36OutageLinesAreLimited(t *testing.T) {
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
		t.Errorf("%d lines mention unlogged outages, want 2", n)
	}
}

// TestRefusalLine: the line has the reason, if the runner knows one.
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
	f(nil, "\"records are refused\" events=3\n")
	f(errors.New("no such column"), "\"records are refused\" events=3 error=\"no such column\"\n")
}

// One line when the output begins to fail and one when it has recovered, however many
// attempts and workers there are.
func TestHealthLines(t *testing.T) {
	var text bytes.Buffer
	var mu sync.Mutex
	attempts := 0
	r := testRunner(t, &fake{write: func(context.Context, *event.Block) (int, error) {
		mu.Lock()
		defer mu.Unlock()
		if attempts++; attempts <= 20 {
			return 0, errors.New("connection refused")
		}
		return 0, nil
	}}, quick(4, 5), false, slog.New(slog.NewTextHandler(&text, nil)))
	r.Start(context.Background())
	offer(r.Intake(), 20)
	r.Stop(context.Background())
	checkLedger(t, r, 20, "delivered 20, retries 20")
	lines := strings.Split(strings.TrimSpace(text.String()), "\n")
	if len(lines) != 2 || !strings.Contains(lines[0], "connection refused") || !strings.Contains(lines[0], "output=fake") ||
		!strings.Contains(lines[1], "recovered") || !strings.Contains(lines[1], "failed_attempts=20") {
		t.Errorf("want a line with the error and one of recovery with 20 attempts, got\n%s", text.String())
	}
}

// Refusals are logged once a minute, not each.
func TestRefusalsAreLoggedOnce(t *testing.T) {
	var text bytes.Buffer
	r := testRunner(t, &fake{write: func(context.Context, *event.Block) (int, error) {
		return 0, Permanent(errors.New("bad column"))
	}}, quick(1, 5), false, slog.New(slog.NewTextHandler(&text, nil)))
	r.Start(context.Background())
	offer(r.Intake(), 100)
	r.Stop(context.Background())
	checkLedger(t, r, 100, "refused 100")
	if n := strings.Count(text.String(), "\n"); n != 1 || !strings.Contains(text.String(), "bad column") {
		t.Errorf("want one line that says bad column, got\n%s", text.String())
	}
}

// Each further cause of an outage is logged once. Different numbers in an error are no new
// cause, and the number of lines is limited.
func TestHealthCauses(t *testing.T) {
	var text bytes.Buffer
	attempts := 0
	r := testRunner(t, &fake{write: func(context.Context, *event.Block) (int, error) {
		switch attempts++; {
		case attempts <= 10:
			return 0, fmt.Errorf("read 127.0.0.1:%d: connection reset", 40000+attempts)
		case attempts <= 20:
			return 0, fmt.Errorf("%s failed", []string{"login", "database"}[attempts%2])
		case attempts <= 60:
			return 0, errors.New("text that is never the same: " + strings.Repeat("x", attempts))
		}
		return 0, nil
	}}, quick(1, 5), false, slog.New(slog.NewTextHandler(&text, nil)))
	r.Start(context.Background())
	offer(r.Intake(), 5)
	r.Stop(context.Background())
	lines := strings.Split(strings.TrimSpace(text.String()), "\n")
	if len(lines) != maxCauses+1 {
		t.Fatalf("%d lines, want %d causes and one of recovery:\n%s", len(lines), maxCauses, text.String())
	}
	for i, want := range []string{"40001: connection reset", "with another error\" output=fake doing=write error=\"database failed", "login failed", "never the same"} {
		if !strings.Contains(lines[i], want) {
			t.Errorf("line %d lacks %q: %s", i, want, lines[i])
		}
	}
}
