// Package await lets a test wait for a condition instead of a time. It imports
// nothing of the project, so that every test can use it.
package await

import (
	"testing"
	"time"
)

// Limit is how long a test waits for something that takes a moment on an idle
// machine.
const Limit = 2 * time.Minute

// True waits until the condition holds. After Limit the test fails with what was
// awaited, and with details: a *testlog.Log, for example, is printed
// as it is by then.
func True(t testing.TB, what string, condition func() bool, details ...any) {
	t.Helper()
	within(t, Limit, what, condition, details...)
}

func within(t testing.TB, limit time.Duration, what string, condition func() bool, details ...any) {
	t.Helper()
	if !Within(limit, condition) {
		t.Fatal(append([]any{"not within ", limit, ": ", what, "\n"}, details...)...)
	}
}

// Within reports whether the condition holds within a time. It asks often at first,
// and then every 20 milliseconds.
func Within(limit time.Duration, condition func() bool) bool {
	end := time.Now().Add(limit)
	for pause := 100 * time.Microsecond; !condition(); pause = min(2*pause, 20*time.Millisecond) {
		if time.Now().After(end) {
			return false
		}
		time.Sleep(pause)
	}
	return true
}
