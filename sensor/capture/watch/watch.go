// Package watch keeps a live input attached to the interfaces that the user named,
// while these come, go and change their names, and remembers the names that each
// interface has had. An Attacher and the kernel's netlink messages come in; attachments
// and names go out. It knows no programs and no packets, and imports no input. Its tests
// have an Attacher of their own, or network namespaces with veth pairs.
package watch

import (
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"
)

// Any stands for all interfaces of the network namespace, including those that are
// created later.
const Any = "any"

// Options says which interfaces a Watcher keeps captured.
type Options struct {
	Interfaces  []string // or Any alone
	Promiscuous bool     // also receive frames for other hosts
	Log         *slog.Logger
	Stop        <-chan struct{} // closed: nothing more is attached; nil: never
}

// Watcher keeps an Attacher attached to the interfaces that the user named. A name
// means the interface that has it at the moment.
type Watcher struct {
	attacher Attacher
	promisc  bool
	any      bool
	log      *slog.Logger
	links    *links
	exists   func(index int) bool // asks the kernel: links may lag behind
	closed   chan struct{}        // closed by Close
	stop     <-chan struct{}      // Options.Stop; nothing more is attached after either
	tasks    sync.WaitGroup
	once     sync.Once

	mu      sync.Mutex
	targets []*target // named: always the same; any: one for each interface
	turn    int       // which share of the targets is checked
}

// Each attachment is checked once a second, and what failed is tried again: nothing
// reports that another program has detached ours. The targets take turns, so that
// many of them are not checked at the same time.
const (
	checkEvery = time.Second / checkTurns
	checkTurns = 4
)

// Open attaches to all named interfaces, or to none, and keeps them captured until
// Close.
func Open(a Attacher, o Options) (*Watcher, error) {
	w := newWatcher(a, o)
	var err error
	if w.links, err = openLinks(NewNames(), o.Log); err != nil {
		return nil, err
	}
	if err := w.begin(); err != nil {
		_ = w.detachAll()
		w.links.close()
		return nil, err
	}
	w.tasks.Go(func() { w.Clock().follow(w.closed) })
	w.tasks.Go(w.links.follow)
	w.tasks.Go(w.follow)
	return w, nil
}

// newWatcher has no links yet.
func newWatcher(a Attacher, o Options) *Watcher {
	w := &Watcher{attacher: a, promisc: o.Promiscuous, log: o.Log, exists: exists, closed: make(chan struct{}), stop: o.Stop}
	for _, name := range o.Interfaces {
		if w.any = name == Any; !w.any {
			w.targets = append(w.targets, &target{name: name})
		}
	}
	return w
}

// Close detaches from all interfaces.
func (w *Watcher) Close() (err error) {
	w.once.Do(func() {
		close(w.closed)
		w.links.close()
		w.tasks.Wait()
		err = w.detachAll()
	})
	return err
}

// InterfaceName returns the name that an interface had at a time.
func (w *Watcher) InterfaceName(index uint32, at int64) string { return w.links.names.Name(index, at) }

// Clock converts the kernel's time since boot to time of day.
func (w *Watcher) Clock() *BootClock { return w.links.names.clock }

// begin attaches to all interfaces that the user named. After an error some may be
// attached: call detachAll.
func (w *Watcher) begin() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	existing := w.links.all()
	if w.any {
		return w.beginAny(existing)
	}
	for _, t := range w.targets {
		if w.stopping() {
			return nil
		}
		i, ok := w.find(t, existing)
		if !ok {
			return NoInterface(t.name, interfaceNames(existing))
		}
		if other := w.attachedTo(i); other != nil {
			return fmt.Errorf("interface %s is named twice, as %s and %s", i.name, other.name, t.name)
		}
		if err := w.attach(t, i); err != nil {
			return err
		}
		t.state = captured
		w.warnHidden(t)
	}
	return nil
}

// attachedTo returns the named target that is attached to an interface, nil for none.
// With two of them, each packet would be recorded twice.
func (w *Watcher) attachedTo(i netInterface) *target {
	if w.any {
		return nil
	}
	for _, t := range w.targets {
		if t.attachment != nil && t.index == i.index {
			return t
		}
	}
	return nil
}

// beginAny succeeds if no interface is up, but not if none can be captured.
func (w *Watcher) beginAny(existing []netInterface) error {
	w.syncTargets(existing)
	var failed []error
	for _, t := range w.targets {
		if w.stopping() {
			return nil
		}
		i, _ := w.find(t, existing)
		err := w.attach(t, i)
		switch {
		case !i.up, err != nil && !w.exists(i.index):
		case err != nil:
			t.state = failing
			failed = append(failed, err)
		default:
			t.state = captured
			w.warnHidden(t)
		}
	}
	if len(failed) > 0 && w.attached() == nil {
		return errors.Join(failed...)
	}
	for _, err := range failed {
		w.log.Warn("an interface cannot be captured", "error", err)
	}
	if w.attached() == nil {
		w.log.Warn("no interface is up: waiting for one")
	}
	return nil
}

// stopping reports that everything is about to be detached. Attaching to hundreds of
// interfaces takes seconds.
func (w *Watcher) stopping() bool {
	select {
	case <-w.closed:
	case <-w.stop:
	default:
		return false
	}
	return true
}

// follow updates the attachments until the end.
func (w *Watcher) follow() {
	tick := time.NewTicker(checkEvery)
	defer tick.Stop()
	for {
		select {
		case <-w.closed:
			return
		case <-w.stop:
			return
		case <-w.links.changed:
			w.update(false)
		case <-tick.C:
			w.update(true)
		}
	}
}

// update brings the attachments in line with the interfaces. With check it also
// checks, for a share of the targets, whether their programs are still attached, and
// tries again what failed.
func (w *Watcher) update(check bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	existing := w.links.all()
	if w.any {
		w.syncTargets(existing)
	}
	if check {
		w.turn++
	}
	checked := func(n int) bool { return check && n%checkTurns == w.turn%checkTurns }
	w.swapRenamed(existing)
	for n, t := range w.targets {
		w.detachStale(t, existing, checked(n))
	}
	for n, t := range w.targets {
		if i, ok := w.find(t, existing); ok && !w.stopping() {
			w.attachMissing(t, i, checked(n))
		}
	}
}

// syncTargets gives each interface a target, and removes the targets of those that
// are gone. It is for any.
func (w *Watcher) syncTargets(existing []netInterface) {
	old := make(map[int]*target)
	for _, t := range w.targets {
		old[t.index] = t
	}
	w.targets = w.targets[:0]
	for _, i := range existing {
		t := old[i.index]
		if t == nil {
			t = &target{name: i.name, index: i.index}
		}
		if t.name != i.name && t.state == captured {
			w.log.Info("interface was renamed", "interface", i.name, "was", t.name)
		}
		t.name = i.name
		w.targets = append(w.targets, t)
		delete(old, i.index)
	}
	for _, t := range old {
		w.detach(t)
		if t.state == captured {
			w.log.Info("interface is gone", "interface", t.name)
		}
	}
}

// find returns the interface that a target means now, if there is one.
func (w *Watcher) find(t *target, existing []netInterface) (i netInterface, ok bool) {
	if w.any {
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

// swapRenamed handles an interface that has received the name of one target while
// another target is attached to it: the two swap their attachments. Packets would be
// missed between detaching and attaching.
func (w *Watcher) swapRenamed(existing []netInterface) {
	for _, t := range w.targets {
		i, ok := w.find(t, existing)
		if !ok {
			continue
		}
		other := w.attachedTo(i)
		if other == nil || other == t {
			continue
		}
		if now, ok := w.find(other, existing); ok && now.index == i.index { // by another of its names
			continue
		}
		t.index, other.index = other.index, t.index
		t.attachment, other.attachment = other.attachment, t.attachment
		t.promisc, other.promisc = other.promisc, t.promisc
		if t.state == captured {
			w.log.Info("interface was renamed", "interface", t.name, "was", other.name)
		}
		if other.attachment == nil {
			other.enterGone(w.log)
		}
	}
}

// detachStale detaches a target whose interface is gone or has lost its name to
// another one, or whose programs somebody else has detached.
func (w *Watcher) detachStale(t *target, existing []netInterface, check bool) {
	if t.attachment == nil {
		return
	}
	i, ok := w.find(t, existing)
	now, listed := byIndex(existing, t.index)
	switch {
	case ok && i.index != t.index:
		w.detach(t)
		t.state = gone
		w.log.Warn("another interface has the name now", "interface", t.name)
	case !listed, // deleted, or in another namespace, where its index and name mean something else
		check && !t.attachment.Alive() && !w.exists(t.index): // and the list lags behind
		w.detach(t)
		if !w.any { // of any, syncTargets logs it
			t.enterGone(w.log)
		}
	case check && !t.attachment.Alive():
		w.detach(t)
		t.enterDisplaced(w.log)
	case !ok:
		t.enter(w.log, renamed, "interface was renamed, and is captured until another one has the old name", "interface", t.name, "is", now.name)
	}
}

// attachMissing attaches a target that is not attached. After a failure it tries
// again when the interface has changed, and with check.
func (w *Watcher) attachMissing(t *target, i netInterface, check bool) {
	if t.attachment == nil || w.promisc && t.promisc == nil {
		// An interface that is down is attached, too, so that no packet is missed when
		// it comes up. But a new one may be on its way to another namespace.
		wait := t.failed == i || w.any && !i.up
		if other := w.attachedTo(i); wait && !check || other != nil && other != t {
			return
		}
		if err := w.attach(t, i); err != nil {
			t.failed = i
			if (i.up || !w.any) && w.exists(i.index) {
				t.enter(w.log, failing, "an interface cannot be captured; it is tried again until it can", "error", err)
			}
			return
		}
	}
	t.failed = netInterface{}
	if t.state != captured && (i.up || !w.any) {
		w.log.Info(t.state.recovered(), "interface", t.name, "attached", t.attachment.Describe())
		t.state = captured
		w.warnHidden(t)
	}
}

// attach adds what the target lacks: the attachment, promiscuous mode, or both.
func (w *Watcher) attach(t *target, i netInterface) (err error) {
	if t.attachment == nil {
		t.index = i.index
		a, err := w.attacher.Attach(i.index)
		if err != nil { // a may be an interface that holds a nil pointer
			return fmt.Errorf("interface %s: %w", i.name, err)
		}
		t.attachment = a
	}
	if w.promisc && t.promisc == nil {
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

// Attached says in a few words how each interface is captured.
func (w *Watcher) Attached() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.attached()
}

func (w *Watcher) attached() (list []string) {
	for _, t := range w.targets {
		if t.attachment != nil && t.state == captured {
			list = append(list, t.name+": "+t.attachment.Describe())
		}
	}
	return list
}

func (w *Watcher) detachAll() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	var errs []error
	for _, t := range w.targets {
		errs = append(errs, t.detach())
	}
	return errors.Join(errs...)
}

func interfaceNames(list []netInterface) (names []string) {
	for _, i := range list {
		names = append(names, i.name)
	}
	return names
}
