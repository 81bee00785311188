package sensor

import (
	"math"
	"testing"
	"time"
)

// TestInterfaceNamesOfThisBoot: a spool may hold packets of an earlier boot, or of
// files, whose numbers mean other interfaces.
func TestInterfaceNamesOfThisBoot(t *testing.T) {
	n := newInterfaceNames()
	now, boot := time.Now().UnixNano(), bootTime()
	f := func(number uint32, at int64, want string) {
		t.Helper()
		if got := n.name(number, at); got != want {
			t.Errorf("interface %d at %d: %q, want %q", number, at, got, want)
		}
	}
	f(1, now, "lo") // in every namespace
	f(1, boot-int64(time.Minute), "")
	f(1, 0, "")
	f(1, now, "lo")
	f(0, now, "")
	f(math.MaxInt32, now, "")
	f(1<<31+1, now, "")
	f(3<<30+1, now, "")
	n.boot.Store(now + int64(time.Hour)) // taken while the clock was wrong
	f(1, now, "lo")
}
