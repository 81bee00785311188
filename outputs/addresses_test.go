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

// clocked are addresses with a clock that the test moves.
type clocked struct {
	*Addresses
	t     *testing.T
	clock time.Time
	log   bytes.Buffer
}

func newClocked(t *testing.T, n int) *clocked {
	c := &clocked{t: t, clock: time.Unix(1_800_000_000, 0)}
	var names []string
	for i := range n {
		names = append(names, fmt.Sprintf("db%d.example.org:5432", i+1))
	}
	c.Addresses = NewAddresses(slog.New(slog.NewTextHandler(&c.log, nil)), names...)
	c.now = func() time.Time { return c.clock }
	return c
}

func (c *clocked) after(d time.Duration) { c.clock = c.clock.Add(d) }

// next wants the address of that index.
func (c *clocked) next(want int) Address {
	c.t.Helper()
	at := c.Next()
	if at.Index != want || at.Name != fmt.Sprintf("db%d.example.org:5432", want+1) {
		c.t.Fatalf("next is %+v, want %d", at, want)
	}
	return at
}

func (c *clocked) fail(want int) {
	c.t.Helper()
	c.Bad(c.next(want), errors.New("refused"))
}

// pause wants that long a time between now and the first trial of address 0.
func (c *clocked) pause(want time.Duration) {
	c.t.Helper()
	c.after(want - time.Millisecond)
	c.next(1)
	c.after(time.Millisecond)
}

func (c *clocked) lines(want ...string) {
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
	toFirst  = `msg="an address is well again, going back to it" address=db1.example.org:5432 from=db2.example.org:5432`
)

// The pauses grow to a bound, a success brings back the first address, and each
// change is said once.
func TestAddressesFailoverAndBack(t *testing.T) {
	c := newClocked(t, 2)
	c.Good(c.next(0))
	c.lines()
	c.fail(0)
	c.Good(c.next(1))
	for _, want := range []time.Duration{1, 2, 4, 8, 16, 32, 60, 60, 60} {
		c.pause(want * time.Second)
		c.fail(0)
	}
	c.lines(toSecond)
	c.pause(time.Minute)
	c.Good(c.next(0))
	c.Good(c.next(0))
	c.lines(toSecond, toFirst)
	if n := c.Switches(); n != 2 {
		t.Errorf("%d moves, want 2", n)
	}
}

// An address that comes and goes keeps its long pauses, until it has been well
// for a while.
func TestAddressesThatComeAndGo(t *testing.T) {
	c := newClocked(t, 2)
	for _, want := range []time.Duration{1, 2, 4, 8} {
		c.fail(0)
		c.pause(want * time.Second)
		c.Good(c.next(0))
	}
	c.after(addressPauseMax - time.Second)
	c.fail(0)
	c.pause(16 * time.Second)
	c.Good(c.next(0))
	c.after(addressPauseMax)
	c.fail(0)
	c.pause(time.Second)
}

// While one writer tries an address again the others stay where it is well.
func TestAddressesAreTriedByOne(t *testing.T) {
	c := newClocked(t, 2)
	c.fail(0)
	c.after(time.Second)
	trial := c.next(0)
	c.next(1)
	if _, ok := c.Better(c.next(1)); ok {
		t.Error("a second writer tries the first address")
	}
	c.after(time.Second) // the trial never ended: another one may try
	c.Good(c.next(0))
	c.Bad(trial, errors.New("late")) // of before: no news
	c.next(0)
}

// Several writers that meet the same trouble count as one.
func TestAddressesCountTroubleOnce(t *testing.T) {
	c := newClocked(t, 2)
	var all []Address
	for range 8 {
		all = append(all, c.next(0))
	}
	for _, at := range all {
		c.Bad(at, errors.New("refused"))
	}
	c.lines(toSecond)
	c.Good(all[0]) // from before the trouble
	c.pause(time.Second)
	c.next(0)
}

// Where all are bad each is tried in turn, and what works first is taken.
func TestAddressesAllBad(t *testing.T) {
	c := newClocked(t, 3)
	for range 3 {
		for i := range 3 {
			c.fail(i)
			c.after(time.Millisecond)
		}
	}
	c.fail(0)
	c.Good(c.next(1))
	c.next(1)
	c.lines(toSecond, "now=db3.example.org:5432", `going back to it" address=db2.example.org:5432 from=db3.example.org:5432`)
}

// A writer that stays with its connection finds out that there is a better one.
func TestAddressesBetter(t *testing.T) {
	c := newClocked(t, 3)
	first := c.next(0)
	if _, ok := c.Better(first); ok {
		t.Error("there is something better than the first")
	}
	c.Bad(first, errors.New("refused"))
	at := c.next(1)
	c.Good(at)
	if _, ok := c.Better(at); ok {
		t.Error("an address that pauses is better")
	}
	c.after(time.Second)
	better, ok := c.Better(at)
	if !ok || better.Index != 0 {
		t.Fatalf("better is %+v, %t", better, ok)
	}
	c.Good(better)
	if again, ok := c.Better(at); !ok || again.Index != 0 {
		t.Error("others do not come back to what is well")
	}
}

// One address is always the next, and there is nothing to say.
func TestOneAddress(t *testing.T) {
	c := newClocked(t, 1)
	for range 3 {
		c.fail(0)
	}
	c.Good(c.next(0))
	c.lines()
}

// TestAttemptTriesEachAddressOnce: while one attempt waits for an address, others
// come to the end of their pauses.
func TestAttemptTriesEachAddressOnce(t *testing.T) {
	c := newClocked(t, 3)
	var tried []Address
	for i := range 3 {
		at := c.Next(tried...)
		if at.Index != i {
			t.Errorf("attempt %d is at address %d", i, at.Index)
		}
		c.after(2 * addressPause) // it hangs
		c.Bad(at, errors.New("no answer"))
		tried = append(tried, at)
	}
	if at := c.Next(tried...); at.Index != 0 {
		t.Errorf("where all were tried it is address %d", at.Index)
	}
}
