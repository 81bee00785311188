package watch

import (
	"errors"
	"fmt"
	"slices"
	"time"
)

// update brings the attachments in line with the interfaces. With check it also
// checks, for a share of the targets, whether their programs are still attached, and
// tries again what failed.
func (w *Watcher) update(check bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	existing := w.links.all()
	if check {
		w.turn++
	}
	checked := func(n int) bool { return check && n%checkTurns == w.turn%checkTurns }
	w.swapRenamed(existing)
	for n, t := range w.targets {
		w.detachStale(t, existing, checked(n))
	}
	w.syncTargets(existing)
	changed := false
	for n, t := range w.targets {
		if i, ok := w.find(t, existing); ok && !w.stopping() {
			changed = w.attachMissing(t, i, checked(n)) || changed
		}
	}
	if changed {
		w.note(existing)
	}
}

// syncTargets gives each interface that a pattern means a target, unless a name means it,
// too, and removes the targets of those that are gone.
func (w *Watcher) syncTargets(existing []netInterface) {
	if len(w.patterns) == 0 {
		return
	}
	taken := make(map[int]bool) // interfaces that names mean
	have := make(map[int]bool)  // interfaces with a target
	targets := w.targets[:0]
	for _, t := range w.targets {
		if t.pattern == "" {
			if i, ok := w.find(t, existing); ok {
				taken[i.index] = true
			} else if t.attachment != nil {
				taken[t.index] = true // renamed
			}
			targets = append(targets, t)
			continue
		}
		i, ok := byIndex(existing, t.index)
		if !ok || taken[t.index] {
			w.detach(t)
			if t.state == captured && !ok {
				w.log.Info("interface is gone", "interface", t.name)
			}
			continue
		}
		w.followName(t, i)
		have[t.index] = true
		targets = append(targets, t)
	}
	clear(w.targets[len(targets):])
	w.targets = targets
	for _, i := range existing {
		if pattern := w.patternOf(i); pattern != "" && !have[i.index] && !taken[i.index] {
			w.targets = append(w.targets, &target{name: i.name, index: i.index, pattern: pattern})
		}
	}
}

// followName gives the target of a pattern the name that its interface has now.
func (w *Watcher) followName(t *target, i netInterface) {
	if t.name == i.name {
		return
	}
	if t.state == captured {
		if w.patternOf(i) == "" {
			w.log.Info("interface was renamed, and is captured until it is gone", "interface", i.name, "was", t.name, "pattern", t.pattern)
		} else {
			w.log.Info("interface was renamed", "interface", i.name, "was", t.name)
		}
	}
	t.name = i.name
}

// patternOf returns the first pattern that an interface matches.
func (w *Watcher) patternOf(i netInterface) string {
	for _, pattern := range w.patterns {
		if i.means(pattern) {
			return pattern
		}
	}
	return ""
}

// find returns the interface that a target means now, if there is one.
func (w *Watcher) find(t *target, existing []netInterface) (i netInterface, ok bool) {
	if t.pattern != "" {
		return byIndex(existing, t.index)
	}
	for _, i := range existing {
		if i.hasName(t.name) {
			return i, true
		}
	}
	return i, false
}

// byIndex finds an interface in a list that is sorted by index.
func byIndex(existing []netInterface, index int) (i netInterface, ok bool) {
	n, ok := slices.BinarySearchFunc(existing, index, func(i netInterface, index int) int { return i.index - index })
	if ok {
		i = existing[n]
	}
	return i, ok
}

// attachedTo returns the target that is attached to an interface, nil for none. With two
// of them, each packet would be recorded twice.
func (w *Watcher) attachedTo(i netInterface) *target {
	for _, t := range w.targets {
		if t.attachment != nil && t.index == i.index {
			return t
		}
	}
	return nil
}

// swapRenamed handles an interface that has received the name of one target while
// another target is attached to it: the two swap their attachments. Packets would be
// missed between detaching and attaching. A name may take over from a pattern, and leaves
// to it what the pattern matches.
func (w *Watcher) swapRenamed(existing []netInterface) {
	for _, t := range w.targets {
		if t.pattern != "" {
			return // the rest are patterns', too
		}
		i, ok := w.find(t, existing)
		if !ok || t.attachment != nil && t.index == i.index {
			continue
		}
		other := w.attachedTo(i)
		if other == nil || other == t {
			continue
		}
		if now, ok := w.find(other, existing); ok && other.pattern == "" && now.index == i.index { // by another of its names
			continue
		}
		w.swap(t, other)
		if other.pattern != "" {
			w.leftToPattern(other, existing)
		} else if other.attachment == nil {
			other.enterGone(w.log)
		}
	}
}

func (w *Watcher) swap(t, other *target) {
	t.index, other.index = other.index, t.index
	t.born, other.born = other.born, t.born
	t.attachment, other.attachment = other.attachment, t.attachment
	t.promisc, other.promisc = other.promisc, t.promisc
	if t.state == captured {
		w.log.Info("interface was renamed", "interface", t.name, "was", other.name)
	}
}

// leftToPattern handles the target of a pattern after its interface was taken by a name:
// it keeps the interface that had the name, if the pattern matches that. syncTargets
// removes a target without an interface.
func (w *Watcher) leftToPattern(t *target, existing []netInterface) {
	i, ok := byIndex(existing, t.index)
	if ok && t.attachment != nil && w.patternOf(i) != "" {
		t.name = i.name
		return
	}
	w.detach(t)
	t.index, t.state = 0, gone
}

// detachStale detaches a target whose interface is gone or has lost its name to
// another one, or whose programs somebody else has detached.
func (w *Watcher) detachStale(t *target, existing []netInterface, check bool) {
	if t.attachment == nil {
		return
	}
	i, ok := w.find(t, existing)
	now, listed := byIndex(existing, t.index)
	back := listed && now.born != t.born // it was gone meanwhile
	hasEnded, reason := t.ended()
	dead := (check || back || hasEnded || t.suspect) && !t.attachment.Alive() // asked once: it may die at any moment
	suspect := t.suspect
	t.suspect = false
	switch {
	case ok && i.index != t.index:
		w.giveUp(t, now, listed)
	case !listed, // deleted, or in another namespace, where its index and name mean something else
		dead && (back || !w.exists(t.index)): // and the list lags behind
		w.detach(t)
		if t.pattern == "" || back { // otherwise syncTargets logs it
			t.enterGone(w.log)
		}
	case back: // the attachment has followed it, promiscuous mode has not
		t.born = now.born
		t.endPromiscuous()
	case dead && !suspect && !hasEnded: // a deletion that nobody has reported yet looks like this, too
		t.suspect = true
		time.AfterFunc(suspectFor, w.links.notify)
	case dead:
		w.detach(t)
		t.enterDisplaced(w.log, reason)
	case !ok:
		t.enter(w.log, renamed, "interface was renamed, and is captured until another one has the old name", "interface", t.name, "is", now.name)
	}
}

// suspectFor is how long the kernel has to report that an interface is gone, before its
// dead attachment is said to be another program's doing.
const suspectFor = 50 * time.Millisecond

// giveUp ends the capture of an interface that has lost its name to another one. If a
// pattern matches it, it stays attached.
func (w *Watcher) giveUp(t *target, now netInterface, listed bool) {
	if pattern := w.patternOf(now); listed && pattern != "" {
		w.targets = append(w.targets, &target{
			name: now.name, pattern: pattern, index: t.index, born: t.born, attachment: t.attachment, promisc: t.promisc, state: captured,
		})
		t.attachment, t.promisc = nil, nil
	}
	w.detach(t)
	t.state = gone
	w.log.Warn("another interface has the name now", "interface", t.name)
}

// attachMissing attaches a target that is not attached. After a failure it tries
// again when the interface has changed, and with check. It reports whether an interface
// was attached.
func (w *Watcher) attachMissing(t *target, i netInterface, check bool) (attached bool) {
	if t.attachment == nil || w.options.Promiscuous && t.promisc == nil {
		// An interface that is down is attached, too, so that no packet is missed when
		// it comes up. But a new one may be on its way to another namespace.
		wait := t.failed == i || t.pattern != "" && !i.up
		if other := w.attachedTo(i); wait && !check || other != nil && other != t {
			return false
		}
		if err := w.attach(t, i); err != nil {
			t.failed, t.err = i, err
			switch {
			case errors.Is(err, ErrDown) && t.pattern == "":
				t.waitUntilUp(w.log, i, err)
			case (i.up || t.pattern == "") && w.exists(i.index):
				t.enter(w.log, failing, "an interface cannot be captured; it is tried again until it can", "error", err)
			}
			return false
		}
		attached = true
	}
	t.failed, t.err = netInterface{}, nil
	if t.state != captured && (i.up || t.pattern == "") {
		w.log.Info(t.state.recovered(), "interface", t.name, "attached", t.attachment.Describe())
		t.state = captured
		w.warnHidden(t)
	}
	return attached
}

// attach adds what the target lacks: the attachment, promiscuous mode, or both.
func (w *Watcher) attach(t *target, i netInterface) (err error) {
	if t.attachment == nil {
		t.index, t.born = i.index, i.born
		a, err := w.attacher.Attach(i.index)
		if err != nil { // a may be an interface that holds a nil pointer
			return fmt.Errorf("interface %s: %w", i.name, err)
		}
		t.attachment = a
		if a, ok := a.(Ender); ok {
			w.tasks.Go(func() { w.followEnd(a) })
		}
	}
	if w.options.Promiscuous && t.promisc == nil {
		if t.promisc, err = beginPromiscuous(i.index); err != nil {
			return fmt.Errorf("interface %s: %w", i.name, err)
		}
	}
	return nil
}

func (w *Watcher) detach(t *target) {
	if err := t.detach(); err != nil {
		w.log.Warn("cannot detach from an interface", "interface", t.name, "error", err)
	}
}

// warnHidden logs what other programs on the interface hide from the capture.
func (w *Watcher) warnHidden(t *target) {
	reporter, ok := w.attacher.(HiddenReporter)
	if !ok {
		return
	}
	hidden, err := reporter.Hidden(t.index)
	if err != nil && !w.exists(t.index) {
		return
	}
	if err != nil {
		w.log.Warn("cannot tell what else is attached", "interface", t.name, "error", err)
		return
	}
	for _, what := range hidden {
		w.log.Warn("traffic may be hidden", "interface", t.name, "by", what)
	}
}
