package await

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// recorder is a test that notes why it fails.
type recorder struct {
	testing.TB
	fatal string
}

func (r *recorder) Helper()           {}
func (r *recorder) Fatal(args ...any) { r.fatal = fmt.Sprint(args...) }

func TestWithin(t *testing.T) {
	asked := 0
	if !Within(time.Minute, func() bool { asked++; return asked == 5 }) || asked != 5 {
		t.Errorf("asked %d times, want until the condition holds: 5", asked)
	}
	if Within(0, func() bool { return false }) {
		t.Error("a condition that never holds was met")
	}
}

func TestTrue(t *testing.T) {
	var r recorder
	True(&r, "a moment", func() bool { return true })
	if r.fatal != "" {
		t.Errorf("failed: %s", r.fatal)
	}
	within(&r, 0, "a moment", func() bool { return false }, "the log")
	if !strings.Contains(r.fatal, "a moment") || !strings.Contains(r.fatal, "the log") {
		t.Errorf("%q lacks what was awaited, or the details", r.fatal)
	}
}
