package cpus

import (
	"math"
	"slices"
	"strings"
	"testing"
)

func TestParse(t *testing.T) {
	f := func(list string, want ...int) {
		t.Helper()
		got, err := Parse(list)
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("%q: %v, %v, want %v", list, got, err, want)
		}
		if slices.IsSorted(want) {
			if again, _ := Parse(Format(got)); !slices.Equal(again, want) {
				t.Errorf("%q is written as %q", list, Format(got))
			}
		}
	}
	f("0", 0)
	f("2-3,6", 2, 3, 6)
	f("6,2-3, 0", 6, 2, 3, 0)
	f("4-4", 4)
	f("8191", 8191)
	refused := func(list, want string) {
		t.Helper()
		if got, err := Parse(list); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, %v, want an error about %s", list, got, err, want)
		}
	}
	refused("", `""`)
	refused("1,", `""`)
	refused("a", `"a"`)
	refused("3-2", `"3-2"`)
	refused("-1", `"-1"`)
	refused("1-", `"1-"`)
	refused("1-2-3", `"1-2-3"`)
	refused("0-9999999999", `"0-9999999999"`)
	refused("8192", `"8192"`)
	refused("0-3,2", "processor 2 is named twice")
}

func TestRoundUp(t *testing.T) {
	for limit, want := range map[float64]int{0.01: 1, 0.5: 1, 1: 1, 1.01: 2, 2: 2, 2.5: 3, math.Inf(1): math.MaxInt32} {
		if got := roundUp(limit); got != want {
			t.Errorf("%v processors: %d, want %d", limit, got, want)
		}
	}
}
