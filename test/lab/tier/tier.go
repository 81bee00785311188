// Package tier tells a test which tier of tests it runs in. CONTRIBUTING.md lists
// the tiers, and says what belongs in which. A test that its tier leaves to
// another one is skipped with a reason that names the make target; package suite
// reports how many there are. Only tests use it.
package tier

import (
	"os"
	"strings"
	"testing"
)

// Variables by which package suite chooses. Without them, as in a plain `go test`,
// tests have their short form and those by hand are left out.
const (
	Variable      = "SENSOR_TEST_TIER"  // the tier: "" is `make test`, otherwise one of those below
	AloneVariable = "SENSOR_TEST_ALONE" // "later": the tests that need the machine for themselves wait for their own run
)

// The tiers beside `make test` that tests ask for.
const (
	All   = "all"   // make test-all: scenes at full length
	Soak  = "soak"  // by hand, make test-soak: minutes of the same
	Large = "large" // by hand, make test-large: more data than memory should hold
)

// LeftTo begins the reason of a test that is skipped because another make target
// runs it.
const LeftTo = "left to make "

// Later is the reason of a test that the same make target runs behind the others.
const Later = "runs alone, behind the others"

// Race tells that the race detector is built in: everything takes about ten times as
// long.
const Race = race

// Full reports whether scenes have their full length, and claims about speed are
// checked.
func Full() bool { return os.Getenv(Variable) == All }

// Length picks how long, or how much, a scene is: in `make test`, and in `make
// test-all`.
func Length[T any](short, full T) T {
	if Full() {
		return full
	}
	return short
}

// Work picks how often a pure test repeats what it does: the race detector finds
// no more in many rounds that differ in their data only.
func Work(usual, underRace int) int {
	if Race {
		return underRace
	}
	return usual
}

// Kernel says that the test is a scene of the kernel: programs are loaded into it,
// or hosts are made. The race detector sees nothing of the kernel, and makes the
// sensor too slow for what these scenes send.
func Kernel(t testing.TB) {
	t.Helper()
	if Race {
		t.Skip(LeftTo + "test-all: a kernel scene, which has nothing for the race detector")
	}
}

// ByHand says that the test belongs to a tier that is run by hand, Soak or Large.
// make runs those by their names: they begin with TestSoak and TestLarge.
func ByHand(t testing.TB, tier string) {
	t.Helper()
	if want := "Test" + strings.ToUpper(tier[:1]) + tier[1:]; !strings.HasPrefix(t.Name(), want) {
		t.Fatalf("the name of a test in the tier %s begins with %s", tier, want)
	}
	if os.Getenv(Variable) != tier {
		t.Skip(LeftTo + "test-" + tier)
	}
}

// Alone says that the test needs the machine for itself: it counts what is lost at
// speed, or measures. It is a top-level test without t.Parallel. Where packages run
// side by side, it is skipped, and package suite runs it behind all others.
func Alone(t testing.TB) {
	t.Helper()
	if strings.Contains(t.Name(), "/") {
		t.Fatal("only a top-level test can be alone")
	}
	if os.Getenv(AloneVariable) == "later" {
		t.Skip(Later)
	}
}
