package watch

import (
	"fmt"
	"strings"
)

// notes is what was said about packets that pass several captured interfaces.
type notes struct {
	told map[[2]string]bool
	done bool // with patterns, one note is enough: containers come and go
}

// mostPairs is how many pairs of interfaces a note names.
const mostPairs = 4

// note says once which captured interfaces the same packet passes, so that it is recorded
// on each of them.
func (w *Watcher) note(existing []netInterface) {
	if w.options.Dedup || w.notes.done {
		return
	}
	var pairs []string
	more := 0
	for _, p := range w.passedTwice(existing) {
		if w.notes.told[p] {
			continue
		}
		if w.notes.told == nil {
			w.notes.told = make(map[[2]string]bool)
		}
		w.notes.told[p] = true
		if len(pairs) < mostPairs {
			pairs = append(pairs, p[0]+" and "+p[1])
		} else {
			more++
		}
	}
	if len(pairs) == 0 {
		return
	}
	w.notes.done = len(w.patterns) > 0
	text := "packets pass " + strings.Join(pairs, ", ")
	if more > 0 {
		text += fmt.Sprintf(" and %d more such pairs", more)
	}
	w.log.Info(text + ": each is recorded on both; --dedup records it once, unless NAT changes its addresses in between")
}

// passedTwice returns the pairs of captured interfaces that a packet passes one after the
// other: the upper one, or the first, comes first.
func (w *Watcher) passedTwice(existing []netInterface) (pairs [][2]string) {
	captured := make(map[int]bool)
	for _, t := range w.targets {
		if t.attachment != nil {
			captured[t.index] = true
		}
	}
	for _, i := range existing {
		if !captured[i.index] {
			continue
		}
		if upper, ok := byIndex(existing, i.master); ok && captured[i.master] && carriesPorts[upper.kind] {
			pairs = append(pairs, [2]string{upper.name, i.name})
		}
		lower, ok := byIndex(existing, i.parent)
		switch {
		case !ok || !captured[i.parent] || i.parent == i.index:
		case carriesFrames[i.kind]:
			pairs = append(pairs, [2]string{i.name, lower.name})
		case i.kind == "veth" && lower.kind == "veth" && i.index < lower.index:
			pairs = append(pairs, [2]string{i.name, lower.name})
		}
	}
	return pairs
}

// The kernel's kinds of interfaces whose frames another interface carries as they are, but
// for a VLAN tag. Tunnels are none of them: below, their packets are inside others.
var (
	carriesPorts  = map[string]bool{"bridge": true, "bond": true, "team": true, "vrf": true, "openvswitch": true}
	carriesFrames = map[string]bool{"vlan": true, "macvlan": true, "macvtap": true, "ipvlan": true, "ipvtap": true}
)
