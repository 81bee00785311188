package outputs

import (
	"log/slog"
	"slices"
	"sync"
	"time"
)

const (
	// addressPause is how long a failed address is left alone at first.
	addressPause = time.Second
	// addressPauseMax bounds these pauses. They start over for an address that has been
	// good for that long.
	addressPauseMax = time.Minute
)

// Addresses are where an output can deliver, preferred one first, with what its writers
// have found out about each. All writers share them, so that a failed address costs one
// of them an attempt and not each.
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
// After a failure an address pauses, longer each time. Then one attempt tries it, and the
// others return only when that succeeds. A report by an attempt that began before the
// address's last change is stale and is ignored.
type Addresses struct {
	log *slog.Logger
	now func() time.Time

	mu       sync.Mutex
	list     []address
	current  int // the one that was logged last
	switches uint64
}

type address struct {
	name      string
	bad       bool
	err       error         // that made it bad
	pause     time.Duration // the last one; 0: never bad
	retryAt   time.Time     // of a bad one: no attempt before
	triedAt   time.Time
	goodSince time.Time // of a good one
	changes   int       // how often bad has changed
}

// Address is an address that was taken for one attempt.
type Address struct {
	Name    string
	Index   int // 0: the preferred one
	changes int
}

// NewAddresses takes at least one name. Names are logged: they must hold no secrets.
func NewAddresses(log *slog.Logger, names ...string) *Addresses {
	a := &Addresses{log: log, now: time.Now}
	for _, n := range names {
		a.list = append(a.list, address{name: n})
	}
	return a
}

// Len is the number of addresses.
func (a *Addresses) Len() int { return len(a.list) }

// Next returns the address to try now: the first that is good or whose pause is over. If
// all of them pause, it is the one whose last attempt is longest ago; how often attempts
// are made is up to the caller. tried are the addresses that the same attempt has tried
// already: they come last, even if their pauses are over by then.
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

// Better is for a writer that stays with an address for many attempts: it returns one
// that is preferred to at and may be tried now, if there is one.
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

// firstReady finds the first address before end that may be tried and was not.
func (a *Addresses) firstReady(now time.Time, end int, tried []Address) int {
	for i := range a.list[:end] {
		if (!a.list[i].bad || !now.Before(a.list[i].retryAt)) && !among(i, tried) {
			return i
		}
	}
	return -1
}

// claim keeps other attempts from a bad address while one tries it.
func (a *Addresses) claim(i int, now time.Time) Address {
	l := &a.list[i]
	l.triedAt = now
	if l.bad {
		l.retryAt = now.Add(l.pause)
	}
	return Address{Name: l.name, Index: i, changes: l.changes}
}

// Good reports that the destination has answered at that address.
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

// Bad reports that an attempt at that address failed for a reason that may not apply to
// the others.
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

// logSwitch logs where records go from now on, if that has changed. If no address is
// good, the runner logs it.
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
			a.log.Info("an address works again, going back to it", "address", a.list[i].name, "from", a.list[was].name)
		} else {
			a.log.Warn("an address fails, using another one", "address", a.list[was].name, "now", a.list[i].name, "error", a.list[was].err)
		}
		return
	}
}

// Switches is how often records moved to another address.
func (a *Addresses) Switches() uint64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.switches
}
