package outputs

import (
	"log/slog"
	"slices"
	"sync"
	"time"
)

const (
	// addressPause is how long an address that fails is left alone at first.
	addressPause = time.Second
	// addressPauseMax is where the pauses stop growing. An address that has been
	// well for as long begins anew.
	addressPauseMax = time.Minute
)

// Addresses are the places where an output can deliver, the preferred one first,
// with what its writers have met there. All writers share them, so that an
// address that fails costs one of them an attempt and not each.
//
// Every attempt takes one address and reports on it:
//
//	at := addresses.Next()
//	if err := try(at.Name); err != nil {
//		addresses.Bad(at, err)
//	} else {
//		addresses.Good(at)
//	}
//
// An address that fails pauses, for longer each time. Then one attempt tries it,
// and only when that succeeds do others come back to it. What an attempt reports
// that began before the address's last change is not news and changes nothing.
type Addresses struct {
	log *slog.Logger
	now func() time.Time

	mu       sync.Mutex
	list     []address
	current  int // the one that was said last
	switches uint64
}

type address struct {
	name      string
	bad       bool
	err       error         // that made it bad
	pause     time.Duration // its last one; 0: never bad
	retryAt   time.Time     // of a bad one: when it may be tried
	triedAt   time.Time
	goodSince time.Time // of a good one: when it became so
	changes   int       // how often bad has changed
}

// Address is one that was taken for an attempt.
type Address struct {
	Name    string
	Index   int // 0: the preferred one
	changes int
}

// NewAddresses takes at least one name. Names are logged: they hold no secrets.
func NewAddresses(log *slog.Logger, names ...string) *Addresses {
	a := &Addresses{log: log, now: time.Now}
	for _, n := range names {
		a.list = append(a.list, address{name: n})
	}
	return a
}

// Len is the number of addresses.
func (a *Addresses) Len() int { return len(a.list) }

// Next is the address to try now: the first that is well or whose pause is over.
// Where all of them pause it is the one that was not tried for longest: how often
// attempts are made is the caller's. Those that one attempt has tried already, of
// which some may be past their pause by then, come after all others.
func (a *Addresses) Next(tried ...Address) Address {
	a.mu.Lock()
	defer a.mu.Unlock()
	now := a.now()
	if i := a.firstReady(now, len(a.list), tried); i >= 0 {
		return a.claim(i, now)
	}
	oldest := -1
	for i := range a.list {
		if !among(i, tried) && (oldest < 0 || a.list[i].triedAt.Before(a.list[oldest].triedAt)) {
			oldest = i
		}
	}
	if oldest < 0 {
		return a.claim(tried[0].Index, now)
	}
	return a.claim(oldest, now)
}

func among(i int, list []Address) bool {
	return slices.ContainsFunc(list, func(at Address) bool { return at.Index == i })
}

// Better is for those who stay with an address for many attempts: one that is
// preferred to at and should be tried now, if there is one.
func (a *Addresses) Better(at Address) (better Address, ok bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	now := a.now()
	i := a.firstReady(now, at.Index, nil)
	if i < 0 {
		return Address{}, false
	}
	return a.claim(i, now), true
}

// ready finds the first address before end that may be tried and was not.
func (a *Addresses) firstReady(now time.Time, end int, tried []Address) int {
	for i := range a.list[:end] {
		if (!a.list[i].bad || !now.Before(a.list[i].retryAt)) && !among(i, tried) {
			return i
		}
	}
	return -1
}

// take keeps others from a bad address while one attempt tries it.
func (a *Addresses) claim(i int, now time.Time) Address {
	l := &a.list[i]
	l.triedAt = now
	if l.bad {
		l.retryAt = now.Add(l.pause)
	}
	return Address{Name: l.name, Index: i, changes: l.changes}
}

// Good says that the destination has answered at that address.
func (a *Addresses) Good(at Address) {
	a.mu.Lock()
	defer a.mu.Unlock()
	l := &a.list[at.Index]
	if !l.bad || l.changes != at.changes {
		return
	}
	l.bad, l.err, l.goodSince = false, nil, a.now()
	l.changes++
	a.logSwitch()
}

// Bad says that an attempt at that address failed for a reason that another one
// may not have.
func (a *Addresses) Bad(at Address, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	l := &a.list[at.Index]
	if l.changes != at.changes {
		return
	}
	now := a.now()
	if l.pause = min(2*l.pause, addressPauseMax); l.pause == 0 || !l.bad && now.Sub(l.goodSince) >= addressPauseMax {
		l.pause = addressPause
	}
	l.bad, l.err, l.retryAt = true, err, now.Add(l.pause)
	l.changes++
	a.logSwitch()
}

// say logs where records go from now on, when that changes. That they go nowhere
// is the runner's to say.
func (a *Addresses) logSwitch() {
	for i := range a.list {
		if a.list[i].bad {
			continue
		}
		was := a.current
		if i == was {
			return
		}
		a.current = i
		a.switches++
		if i < was {
			a.log.Info("an address is well again, going back to it", "address", a.list[i].name, "from", a.list[was].name)
		} else {
			a.log.Warn("an address fails, using another one", "address", a.list[was].name, "now", a.list[i].name, "error", a.list[was].err)
		}
		return
	}
}

// Moves is how often records changed their way.
func (a *Addresses) Switches() uint64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.switches
}
