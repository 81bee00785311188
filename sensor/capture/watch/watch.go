// Package watch keeps a live input attached to the interfaces that the user named,
// while these come, go and change their names, and remembers what each interface was
// called at which time. In go an Attacher and the kernel's netlink messages. It knows
// no programs and no packets, and imports no input. Its tests have an Attacher of
// their own, or network namespaces with veth pairs.
package watch

import (
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"
)

// Any stands for all interfaces of the network namespace, also for those that
// come later.
const Any = "any"

// Options says which interfaces a Watcher keeps captured.
type Options struct {
	Interfaces  []string // or Any alone
	Promiscuous bool     // see what is sent to others, too
	Log         *slog.Logger
	Stop        <-chan struct{} // closed: nothing more is attached; nil: never
}

// Watcher keeps a back end on the interfaces that the user named, whatever becomes
// of those: a name means the interface that has it.
type Watcher struct {
	attacher Attacher
	promisc  bool
	any      bool
	log      *slog.Logger
	links    *links
	exists   func(index int) bool // asks the kernel: what links say may lag behind
	stop     chan struct{}
	ends     [2]<-chan struct{} // once one is closed, nothing more is attached
	tasks    sync.WaitGroup
	once     sync.Once

	mu    sync.Mutex
	ports []*port // named: always the same; any: one for each interface
	turn  int     // of which share of the ports is checked
}

// Each attachment is looked at once a second, and what failed is tried again:
// nobody tells when another program takes one away. The ports take turns, so
// that many of them are not looked at all at once.
const (
	checkEvery = time.Second / checkTurns
	checkTurns = 4
)

// Open attaches to all interfaces that are named, or to none, and keeps them
// captured until Close.
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
	w.tasks.Go(func() { w.Clock().follow(w.stop) })
	w.tasks.Go(w.links.follow)
	w.tasks.Go(w.follow)
	return w, nil
}

// newWatcher has no links yet.
func newWatcher(a Attacher, o Options) *Watcher {
	w := &Watcher{attacher: a, promisc: o.Promiscuous, log: o.Log, exists: exists, stop: make(chan struct{})}
	w.ends = [2]<-chan struct{}{w.stop, o.Stop}
	for _, name := range o.Interfaces {
		if w.any = name == Any; !w.any {
			w.ports = append(w.ports, &port{name: name})
		}
	}
	return w
}

// Close detaches from all interfaces.
func (w *Watcher) Close() (err error) {
	w.once.Do(func() {
		close(w.stop)
		w.links.close()
		w.tasks.Wait()
		err = w.detachAll()
	})
	return err
}

// InterfaceName is what an interface was called at that time.
func (w *Watcher) InterfaceName(index uint32, at int64) string { return w.links.names.Name(index, at) }

// Clock turns the kernel's time since boot into time of day.
func (w *Watcher) Clock() *BootClock { return w.links.names.clock }

// begin attaches to all that the user named. On an error some may be attached:
// call detachAll.
func (w *Watcher) begin() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	there := w.links.all()
	if w.any {
		return w.beginAny(there)
	}
	for _, p := range w.ports {
		if w.ending() {
			return nil
		}
		i, ok := w.find(p, there)
		if !ok {
			return fmt.Errorf("interface %s: there is none (there are: %s)", p.name, strings.Join(namesOf(there), ", "))
		}
		if other := w.holder(i); other != nil {
			return fmt.Errorf("interface %s is named twice, as %s and %s", i.name, other.name, p.name)
		}
		if err := w.attach(p, i); err != nil {
			return err
		}
		p.state = captured
		w.warn(p)
	}
	return nil
}

// holder is the named port that is attached to an interface, if there is one:
// with two, each packet would be recorded twice.
func (w *Watcher) holder(i netInterface) *port {
	if w.any {
		return nil
	}
	for _, p := range w.ports {
		if p.attachment != nil && p.index == i.index {
			return p
		}
	}
	return nil
}

// beginAny waits where no interface is up, but not where none can be captured.
func (w *Watcher) beginAny(there []netInterface) error {
	w.settle(there)
	var failed []error
	for _, p := range w.ports {
		if w.ending() {
			return nil
		}
		i, _ := w.find(p, there)
		err := w.attach(p, i)
		switch {
		case !i.up, err != nil && !w.exists(i.index):
		case err != nil:
			p.state = failing
			failed = append(failed, err)
		default:
			p.state = captured
			w.warn(p)
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

// ending tells that all is about to be detached. Hundreds of interfaces take the
// kernel seconds.
func (w *Watcher) ending() bool {
	select {
	case <-w.ends[0]:
	case <-w.ends[1]:
	default:
		return false
	}
	return true
}

// follow keeps what is attached as it should be until the end.
func (w *Watcher) follow() {
	tick := time.NewTicker(checkEvery)
	defer tick.Stop()
	for {
		select {
		case <-w.ends[0]:
			return
		case <-w.ends[1]:
			return
		case <-w.links.changed:
			w.update(false)
		case <-tick.C:
			w.update(true)
		}
	}
}

// update does what changes of the interfaces ask for. Where check is set it
// looks, too, whether the programs of some ports are where they were, and tries
// again what failed.
func (w *Watcher) update(check bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	there := w.links.all()
	if w.any {
		w.settle(there)
	}
	if check {
		w.turn++
	}
	mine := func(n int) bool { return check && n%checkTurns == w.turn%checkTurns }
	w.exchange(there)
	for n, p := range w.ports {
		w.release(p, there, mine(n))
	}
	for n, p := range w.ports {
		if i, ok := w.find(p, there); ok && !w.ending() {
			w.complete(p, i, mine(n))
		}
	}
}

// settle gives each interface a port, and takes it from those that are gone.
func (w *Watcher) settle(there []netInterface) {
	old := make(map[int]*port)
	for _, p := range w.ports {
		old[p.index] = p
	}
	w.ports = w.ports[:0]
	for _, i := range there {
		p := old[i.index]
		if p == nil {
			p = &port{name: i.name, index: i.index}
		}
		if p.name != i.name && p.state == captured {
			w.log.Info("interface has another name", "interface", i.name, "was", p.name)
		}
		p.name = i.name
		w.ports = append(w.ports, p)
		delete(old, i.index)
	}
	for _, p := range old {
		w.detach(p)
		if p.state == captured {
			w.log.Info("interface is gone", "interface", p.name)
		}
	}
}

// find returns the interface that a port is for, if there is one.
func (w *Watcher) find(p *port, there []netInterface) (i netInterface, ok bool) {
	if w.any {
		return byNumber(there, p.index)
	}
	for _, i := range there {
		if i.is(p.name) {
			return i, true
		}
	}
	return i, false
}

// byNumber finds an interface in a list that is in order.
func byNumber(there []netInterface, index int) (i netInterface, ok bool) {
	n, ok := slices.BinarySearchFunc(there, index, func(i netInterface, index int) int { return i.index - index })
	if ok {
		i = there[n]
	}
	return i, ok
}

// exchange gives each named port what another one has attached to the interface
// that has the port's name now: between detaching and attaching packets would be
// missed. In return the other one keeps what the port had.
func (w *Watcher) exchange(there []netInterface) {
	for _, p := range w.ports {
		i, ok := w.find(p, there)
		if !ok {
			continue
		}
		q := w.holder(i)
		if q == nil || q == p {
			continue
		}
		if now, ok := w.find(q, there); ok && now.index == i.index { // by another of its names
			continue
		}
		p.index, q.index = q.index, p.index
		p.attachment, q.attachment = q.attachment, p.attachment
		p.promisc, q.promisc = q.promisc, p.promisc
		if p.state == captured {
			w.log.Info("interface has another name", "interface", p.name, "was", q.name)
		}
		if q.attachment == nil {
			q.gone(w.log)
		}
	}
}

// release takes a port off what it should not be on, or is not on any more.
func (w *Watcher) release(p *port, there []netInterface, check bool) {
	if p.attachment == nil {
		return
	}
	i, ok := w.find(p, there)
	now, listed := byNumber(there, p.index)
	switch {
	case ok && i.index != p.index:
		w.detach(p)
		p.state = gone
		w.log.Warn("another interface has the name now", "interface", p.name)
	case !listed, // deleted, or in another namespace, where its number and name mean something else
		check && !p.attachment.Alive() && !w.exists(p.index): // and the list lags behind
		w.detach(p)
		if !w.any { // of any, settle says it
			p.gone(w.log)
		}
	case check && !p.attachment.Alive():
		w.detach(p)
		p.taken(w.log)
	case !ok:
		p.say(w.log, renamed, "interface has another name, and is captured until another one has the old name", "interface", p.name, "is", now.name)
	}
}

// complete attaches what is not attached. What failed is tried again when the
// interface has changed, and with check.
func (w *Watcher) complete(p *port, i netInterface, check bool) {
	if p.attachment == nil || w.promisc && p.promisc == nil {
		// An interface that is down is attached, so that nothing is missed when it
		// comes up. But one that is new may be on its way to another namespace.
		wait := p.failed == i || w.any && !i.up
		if other := w.holder(i); wait && !check || other != nil && other != p {
			return
		}
		if err := w.attach(p, i); err != nil {
			p.failed = i
			if (i.up || !w.any) && w.exists(i.index) {
				p.say(w.log, failing, "an interface cannot be captured; it is tried again until it can", "error", err)
			}
			return
		}
	}
	p.failed = netInterface{}
	if p.state != captured && (i.up || !w.any) {
		w.log.Info(p.state.over(), "interface", p.name, "attached", p.attachment.Describe())
		p.state = captured
		w.warn(p)
	}
}

// attach puts on an interface what of its port is missing.
func (w *Watcher) attach(p *port, i netInterface) (err error) {
	if p.attachment == nil {
		p.index = i.index
		a, err := w.attacher.Attach(i.index)
		if err != nil { // where a may be a nil pointer in an interface that is not nil
			return fmt.Errorf("interface %s: %w", i.name, err)
		}
		p.attachment = a
	}
	if w.promisc && p.promisc == nil {
		if p.promisc, err = beginPromiscuous(i.index); err != nil {
			return fmt.Errorf("interface %s: %w", i.name, err)
		}
	}
	return nil
}

func (w *Watcher) detach(p *port) {
	if err := p.detach(); err != nil {
		w.log.Warn("detach", "interface", p.name, "error", err)
	}
}

// warn says what others on the interface keep from us.
func (w *Watcher) warn(p *port) {
	teller, ok := w.attacher.(HiddenReporter)
	if !ok {
		return
	}
	hidden, err := teller.Hidden(p.index)
	if err != nil && !w.exists(p.index) {
		return
	}
	if err != nil {
		w.log.Warn("cannot tell what else is attached", "interface", p.name, "error", err)
		return
	}
	for _, what := range hidden {
		w.log.Warn("traffic may be hidden", "interface", p.name, "by", what)
	}
}

// Attached says how each interface is captured, in a few words.
func (w *Watcher) Attached() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.attached()
}

func (w *Watcher) attached() (list []string) {
	for _, p := range w.ports {
		if p.attachment != nil && p.state == captured {
			list = append(list, p.name+": "+p.attachment.Describe())
		}
	}
	return list
}

func (w *Watcher) detachAll() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	var errs []error
	for _, p := range w.ports {
		errs = append(errs, p.detach())
	}
	return errors.Join(errs...)
}

func namesOf(there []netInterface) (names []string) {
	for _, i := range there {
		names = append(names, i.name)
	}
	return names
}
