package account

import (
	"math"
	"testing"
)

func TestNumber(t *testing.T) {
	f := func(n uint64, want string) {
		t.Helper()
		if got := Number(n); got != want {
			t.Errorf("%d is written %s, want %s", n, got, want)
		}
	}
	f(0, "0")
	f(999, "999")
	f(1000, "1,000")
	f(12345, "12,345")
	f(100200300, "100,200,300")
	f(math.MaxUint64, "18,446,744,073,709,551,615")
}

func TestCounted(t *testing.T) {
	for n, want := range map[uint64]string{0: "0 packets", 1: "1 packet", 1204: "1,204 packets"} {
		if got := Counted(n, "packet"); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
