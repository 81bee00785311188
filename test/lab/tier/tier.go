// Package tier tells a test in which tier of tests it runs: package suite sets that in
// the environment, and nothing else reads the variables. CONTRIBUTING.md lists the
// tiers, and says what belongs in which. A test that belongs to another tier is skipped
// with a reason that names the make target. Only tests use this package.
package tier

import (
	"os"
	"strings"
	"testing"
)

// Variables that package suite sets. Without them, as in a plain `go test`, scenes have
// their short length, and tests that are run by hand are skipped.
const (
	Variable      = "SENSOR_TEST_TIER"  // the tier: "" is `make test`, otherwise one of those below
	AloneVariable = "SENSOR_TEST_ALONE" // SkipAlone, or empty
)

// SkipAlone is the value of AloneVariable with which tests that need the machine for
// themselves are skipped, to run afterwards.
const SkipAlone = "later"

// The tiers other than that of `make test`.
const (
	All   = "all"   // make test-all: scenes at full length
	Soak  = "soak"  // by hand, make test-soak: minutes of the same
	Large = "large" // by hand, make test-large: more data than memory should hold
)

// LeftTo begins the reason of a test that is skipped because another make target
// runs it.
const LeftTo = "left to make "

// Later is the reason of a test that the same make target runs after the others.
const Later = "runs alone, after the others"

// Race reports that the race detector is built in: everything takes about ten times as
// long.
const Race = race

// Full reports whether scenes have their full length and check claims about speed.
func Full() bool { return os.Getenv(Variable) == All }

// Length picks the length or size of a scene: short in `make test`, full in `make
// test-all`.
func Length[T any](short, full T) T {
	if Full() {
		return full
	}
	return short
}

// Work picks how often a pure test repeats its work: rounds that differ only in their
// data do not help the race detector find more.
func Work(usual, underRace int) int {
	if Race {
		return underRace
	}
	return usual
}

// Kernel marks a test that loads programs into the kernel, or makes hosts, and skips it
// under the race detector: that sees nothing of the kernel, and makes the sensor too
// slow for the load of these scenes.
func Kernel(t testing.TB) {
	t.Helper()
	if Race {
		t.Skip(LeftTo + "test-all: a kernel scene, which has nothing for the race detector")
	}
}

// ByHand marks a test of a tier that is run by hand, Soak or Large. make selects those
// by name: they begin with TestSoak or TestLarge.
func ByHand(t testing.TB, tier string) {
	t.Helper()
	if want := "Test" + strings.ToUpper(tier[:1]) + tier[1:]; !strings.HasPrefix(t.Name(), want) {
		t.Fatalf("the name of a test in the tier %s begins with %s", tier, want)
	}
	if os.Getenv(Variable) != tier {
		t.Skip(LeftTo + "test-" + tier)
	}
}

// Alone marks a test that needs the machine for itself: it counts losses at high rates,
// or measures. It must be a top-level test without t.Parallel. While packages run side
// by side it is skipped; package suite runs it after all others.
func Alone(t testing.TB) {
	t.Helper()
	if strings.Contains(t.Name(), "/") {
		t.Fatal("only a top-level test can be alone")
	}
	if os.Getenv(AloneVariable) == SkipAlone {
		t.Skip(Later)
	}
}
