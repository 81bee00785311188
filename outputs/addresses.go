package outputs

import (
	"log/slog"
	"slices"
	"sync"
	"time"
)

const (
	// addressPause is how long an address pauses after its first failure.
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
	current  int // index of the address that the log named last
	switches uint64
}

type address struct {
	name      string
	bad       bool
	err       error         // why it is bad
	pause     time.Duration // after its last failure; 0: it has never failed
	retryAt   time.Time     // if bad: no attempt before this
	triedAt   time.Time
	goodSince time.Time // if it was bad before: when it became good
	changes   int       // times that it became good or bad
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
// all of them pause, it is the one that was tried least recently; the caller decides how
// often attempts are made. tried are the addresses that the same attempt has already tried:
// they come last, even if their pauses are over by then.
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

// nextReady is Next without the addresses that pause or that the same attempt has tried;
// false: there is no other.
func (a *Addresses) nextReady(tried []Address) (at Address, ok bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	now := a.now()
	i := a.firstReady(now, len(a.list), tried)
	if i < 0 {
		return Address{}, false
	}
	return a.claim(i, now), true
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

// Ready reports whether there is an address that is good, or whose pause is over.
func (a *Addresses) Ready() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.firstReady(a.now(), len(a.list), nil) >= 0
}

// Why is why the first address that is bad has failed; nil if none is bad.
func (a *Addresses) Why() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	for i := range a.list {
		if a.list[i].bad {
			return a.list[i].err
		}
	}
	return nil
}

// firstReady is the index of the first address before end that may be tried now and is not
// in tried; -1: there is none.
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
	to := &a.list[i]
	to.triedAt = now
	if to.bad {
		to.retryAt = now.Add(to.pause)
	}
	return Address{Name: to.name, Index: i, changes: to.changes}
}

// Good reports that the destination has answered at that address.
func (a *Addresses) Good(at Address) {
	a.mu.Lock()
	defer a.mu.Unlock()
	to := &a.list[at.Index]
	if !to.bad || to.changes != at.changes {
		return
	}
	to.bad, to.err, to.goodSince = false, nil, a.now()
	to.changes++
	a.logSwitch()
}

// Bad reports that an attempt at that address failed for a reason that may not apply to
// the others.
func (a *Addresses) Bad(at Address, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	to := &a.list[at.Index]
	if to.changes != at.changes {
		return
	}
	now := a.now()
	if to.pause = min(2*to.pause, addressPauseMax); to.pause == 0 || !to.bad && now.Sub(to.goodSince) >= addressPauseMax {
		to.pause = addressPause
	}
	to.bad, to.err, to.retryAt = true, err, now.Add(to.pause)
	to.changes++
	a.logSwitch()
}

// logSwitch logs where records go from now on, if that has changed. It logs nothing if no
// address is good: the runner does.
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
