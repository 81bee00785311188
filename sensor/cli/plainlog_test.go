package cli

import (
	"bytes"
	"errors"
	"fmt"
	"testing"
	"time"

	"dnsmonster-sensor/outputs/printable"
)

// TestPlainLog: the log of a terminal reads like sentences, one line each but hints, and nothing from
// the network controls the terminal.
func TestPlainLog(t *testing.T) {
	var b bytes.Buffer
	log, level := (&processOptions{level: 3, format: "text"}).logger(printable.NewWriter(&b), true, nil)
	f := func(want string, write func(msg string, args ...any), msg string, args ...any) {
		t.Helper()
		b.Reset()
		if write(msg, args...); b.String() != want {
			t.Errorf("%q, want %q", b.String(), want)
		}
	}
	f("interface is captured (interface eth0)\n", log.Info, "interface is captured", "interface", "eth0")
	f("warning: output fails, trying again (output psql, doing open): connection refused\n",
		log.With("output", "psql").Warn, "output fails, trying again", "doing", "open", "error", errors.New("connection refused"))
	f("error: stopping (failed attempts 3, after 1.5s)\n", log.Error, "stopping", "failed_attempts", 3, "after", 1500*time.Millisecond)
	f("warning: odd: a: x; y\\nz\\u001b[2J\n", log.Warn, "odd", "error", fmt.Errorf("a: %w", errors.Join(errors.New("x"), errors.New("y\nz\x1b[2J"))))
	f("hint: no DNS message on eth0 in 10s: 39 packets passed, none from or to port 53;\n  try --port=PORT (another port)\n",
		log.Info, "hint: no DNS message on eth0 in 10s: 39 packets passed, none from or to port 53; try --port=PORT (another port)")
	f("", log.Debug, "not shown")
	level.Set(logLevels[4])
	f("debug: shown\n", log.Debug, "shown", "empty", "")
	level.Set(logLevels[1])
	f("", log.Warn, "not shown")
}
