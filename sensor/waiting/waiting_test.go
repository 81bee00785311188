package waiting

import (
	"strings"
	"testing"
	"time"
)

// TestStep: a short step is not mentioned; a long one is named, and so is its end.
func TestStep(t *testing.T) {
	var lines []string
	s := Step{
		What: func() string { return "db.example.org" }, After: time.Hour,
		Say: func(line string) { lines = append(lines, line) },
	}
	s.Begin()()
	if lines != nil {
		t.Errorf("a short step: %q", lines)
	}
	s.After = time.Nanosecond
	named := make(chan struct{})
	s.What = func() string { defer close(named); return "db.example.org" }
	end := s.Begin()
	<-named
	end()
	if len(lines) != 2 || lines[0] != "waiting for db.example.org" || !strings.HasPrefix(lines[1], "waited 0.") || !strings.HasSuffix(lines[1], " s for db.example.org") {
		t.Errorf("a long step: %q", lines)
	}
	if (Step{}).after() != time.Second {
		t.Error("a step is named after a second")
	}
}
