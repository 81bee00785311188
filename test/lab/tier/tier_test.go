package tier

import (
	"strings"
	"testing"
)

func TestLength(t *testing.T) {
	for name, want := range map[string]int{"": 1, All: 2, Soak: 1, Large: 1} {
		t.Setenv(Variable, name)
		if got := Length(1, 2); got != want {
			t.Errorf("tier %q: length %d, want %d", name, got, want)
		}
	}
}

// skipped is a test that records why it is skipped or fails.
type skipped struct {
	testing.TB
	name, skip, fatal string
}

func (s *skipped) Helper()           {}
func (s *skipped) Name() string      { return s.name }
func (s *skipped) Skip(args ...any)  { s.skip += args[0].(string) }
func (s *skipped) Fatal(args ...any) { s.fatal += args[0].(string) }
func (s *skipped) Fatalf(format string, _ ...any) {
	s.fatal += format
}

func TestByHand(t *testing.T) {
	f := func(name, tier, running string, wantSkip string, wantFatal bool) {
		t.Helper()
		t.Setenv(Variable, running)
		s := skipped{name: name}
		ByHand(&s, tier)
		if s.skip != wantSkip || s.fatal != "" != wantFatal {
			t.Errorf("%s asks for %s in %q: skipped %q, fails %q", name, tier, running, s.skip, s.fatal)
		}
	}
	f("TestSoakOutage", Soak, Soak, "", false)
	f("TestSoakOutage", Soak, All, "left to make test-soak", false)
	f("TestLargeFile", Large, "", "left to make test-large", false)
	f("TestLargeFile", Large, Soak, "left to make test-large", false)
	f("TestOutage", Soak, Soak, "", true) // make would not find it
}

func TestAlone(t *testing.T) {
	f := func(name, later, wantSkip string, wantFatal bool) {
		t.Helper()
		t.Setenv(AloneVariable, later)
		s := skipped{name: name}
		Alone(&s)
		if s.skip != wantSkip || s.fatal != "" != wantFatal {
			t.Errorf("%s, %q: skipped %q, fails %q", name, later, s.skip, s.fatal)
		}
	}
	f("TestLoad", "", "", false)
	f("TestLoad", SkipAlone, Later, false)
	f("TestLoad/half", "", "", true)
}

func TestKernel(t *testing.T) {
	var s skipped
	Kernel(&s)
	if strings.HasPrefix(s.skip, LeftTo+"test-all: ") != Race {
		t.Errorf("with the race detector %v: skipped %q", Race, s.skip)
	}
}
