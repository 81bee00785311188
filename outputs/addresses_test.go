package outputs

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"
)

// testAddresses are addresses with a clock that the test sets.
type testAddresses struct {
	*Addresses
	t     *testing.T
	clock time.Time
	log   bytes.Buffer
}

func newTestAddresses(t *testing.T, n int) *testAddresses {
	c := &testAddresses{t: t, clock: time.Unix(1_800_000_000, 0)}
	var names []string
	for i := range n {
		names = append(names, fmt.Sprintf("db%d.example.org:5432", i+1))
	}
	c.Addresses = NewAddresses(slog.New(slog.NewTextHandler(&c.log, nil)), names...)
	c.now = func() time.Time { return c.clock }
	return c
}

func (c *testAddresses) advance(d time.Duration) { c.clock = c.clock.Add(d) }

// wantNext fails unless the next address has that index.
func (c *testAddresses) wantNext(want int) Address {
	c.t.Helper()
	at := c.Next()
	if at.Index != want || at.Name != fmt.Sprintf("db%d.example.org:5432", want+1) {
		c.t.Fatalf("next is %+v, want %d", at, want)
	}
	return at
}

func (c *testAddresses) failNext(want int) {
	c.t.Helper()
	c.Bad(c.wantNext(want), errors.New("refused"))
}

// wantPause fails unless address 0 is next after exactly that time.
func (c *testAddresses) wantPause(want time.Duration) {
	c.t.Helper()
	c.advance(want - time.Millisecond)
	c.wantNext(1)
	c.advance(time.Millisecond)
}

func (c *testAddresses) wantLines(want ...string) {
	c.t.Helper()
	got := strings.Split(strings.TrimSuffix(c.log.String(), "\n"), "\n")
	if len(want) == 0 && got[0] == "" {
		return
	}
	if len(got) != len(want) {
		c.t.Fatalf("%d log lines, want %d:\n%s", len(got), len(want), c.log.String())
	}
	for i := range want {
		if !strings.Contains(got[i], want[i]) {
			c.t.Errorf("line %d is %s, want %s", i, got[i], want[i])
		}
	}
}

const (
	toSecond = `msg="an address fails, using another one" address=db1.example.org:5432 now=db2.example.org:5432 error=refused`
	toFirst  = `msg="an address works again, going back to it" address=db1.example.org:5432 from=db2.example.org:5432`
)

// The pauses grow up to a limit, a success brings back the first address, and each switch is
// logged once.
func TestAddressesFailoverAndBack(t *testing.T) {
	c := newTestAddresses(t, 2)
	c.Good(c.wantNext(0))
	c.wantLines()
	c.failNext(0)
	c.Good(c.wantNext(1))
	for _, want := range []time.Duration{1, 2, 4, 8, 16, 32, 60, 60, 60} {
		c.wantPause(want * time.Second)
		c.failNext(0)
	}
	c.wantLines(toSecond)
	c.wantPause(time.Minute)
	c.Good(c.wantNext(0))
	c.Good(c.wantNext(0))
	c.wantLines(toSecond, toFirst)
	if n := c.Switches(); n != 2 {
		t.Errorf("%d switches, want 2", n)
	}
}

// An address that fails now and then keeps its long pauses, until it has been good for a
// while.
func TestAddressesThatComeAndGo(t *testing.T) {
	c := newTestAddresses(t, 2)
	for _, want := range []time.Duration{1, 2, 4, 8} {
		c.failNext(0)
		c.wantPause(want * time.Second)
		c.Good(c.wantNext(0))
	}
	c.advance(addressPauseMax - time.Second)
	c.failNext(0)
	c.wantPause(16 * time.Second)
	c.Good(c.wantNext(0))
	c.advance(addressPauseMax)
	c.failNext(0)
	c.wantPause(time.Second)
}

// While one writer tries an address again, the others stay with the one that works.
func TestAddressesAreTriedByOne(t *testing.T) {
	c := newTestAddresses(t, 2)
	c.failNext(0)
	c.advance(time.Second)
	trial := c.wantNext(0)
	c.wantNext(1)
	if _, ok := c.Better(c.wantNext(1)); ok {
		t.Error("a second writer tries the first address")
	}
	c.advance(time.Second) // the trial never ended: another writer may try
	c.Good(c.wantNext(0))
	c.Bad(trial, errors.New("late")) // stale
	c.wantNext(0)
}

// Several writers that meet the same failure count as one.
func TestAddressesCountTroubleOnce(t *testing.T) {
	c := newTestAddresses(t, 2)
	var all []Address
	for range 8 {
		all = append(all, c.wantNext(0))
	}
	for _, at := range all {
		c.Bad(at, errors.New("refused"))
	}
	c.wantLines(toSecond)
	c.Good(all[0]) // from before the failure
	c.wantPause(time.Second)
	c.wantNext(0)
}

// If all are bad each is tried in turn, and the first that works is used.
func TestAddressesAllBad(t *testing.T) {
	c := newTestAddresses(t, 3)
	for range 3 {
		for i := range 3 {
			c.failNext(i)
			c.advance(time.Millisecond)
		}
	}
	c.failNext(0)
	c.Good(c.wantNext(1))
	c.wantNext(1)
	c.wantLines(toSecond, "now=db3.example.org:5432", `going back to it" address=db2.example.org:5432 from=db3.example.org:5432`)
}

// A writer that keeps its connection finds out that there is a better address.
func TestAddressesBetter(t *testing.T) {
	c := newTestAddresses(t, 3)
	first := c.wantNext(0)
	if _, ok := c.Better(first); ok {
		t.Error("there is something better than the first")
	}
	c.Bad(first, errors.New("refused"))
	at := c.wantNext(1)
	c.Good(at)
	if _, ok := c.Better(at); ok {
		t.Error("an address that pauses is better")
	}
	c.advance(time.Second)
	better, ok := c.Better(at)
	if !ok || better.Index != 0 {
		t.Fatalf("better is %+v, %t", better, ok)
	}
	c.Good(better)
	if again, ok := c.Better(at); !ok || again.Index != 0 {
		t.Error("the others do not return to the first address")
	}
}

// A single address is always the next, and nothing is logged.
func TestOneAddress(t *testing.T) {
	c := newTestAddresses(t, 1)
	for range 3 {
		c.failNext(0)
	}
	c.Good(c.wantNext(0))
	c.wantLines()
}

// TestAttemptTriesEachAddressOnce: while one attempt waits for an address, the pauses of
// others may end.
func TestAttemptTriesEachAddressOnce(t *testing.T) {
	c := newTestAddresses(t, 3)
	var tried []Address
	for i := range 3 {
		at := c.Next(tried...)
		if at.Index != i {
			t.Errorf("attempt %d is at address %d", i, at.Index)
		}
		c.advance(2 * addressPause) // it hangs
		c.Bad(at, errors.New("no answer"))
		tried = append(tried, at)
	}
	if at := c.Next(tried...); at.Index != 0 {
		t.Errorf("after all were tried the next is address %d", at.Index)
	}
}
