// Package watch keeps a live input attached to the interfaces that the user named,
// while these come, go and change their names, and remembers the names that each
// interface has had. An Attacher and the kernel's netlink messages come in (elsewhere
// than on Linux, a list of the interfaces each second); attachments and names go out. It
// knows no programs and no packets, and imports no input. Its tests have an Attacher of
// their own, or network namespaces with veth pairs.
package watch

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"
)

// Options says which interfaces a Watcher keeps captured.
type Options struct {
	Interfaces  []string      // names, patterns such as 'eth*', or Any alone
	Promiscuous bool          // also receive frames for other hosts
	Wait        time.Duration // for interfaces that do not exist yet, see Open; 0: not at all, below 0: for ever
	Dedup       bool          // copies of a packet are dropped later: no note about packets that pass twice
	Log         *slog.Logger
	Stop        <-chan struct{} // closed: nothing more is attached; nil: never
}

// Watcher keeps an Attacher attached to the interfaces that the user named. A name
// means the interface that has it at the moment. A pattern means all interfaces that
// match it, now and later; one that no longer matches stays captured until it is gone.
type Watcher struct {
	attacher Attacher
	options  Options
	patterns []string
	log      *slog.Logger
	links    *links
	exists   func(index int) bool // asks the kernel: links may lag behind
	ended    chan struct{}        // holds a token after an attachment has ended by itself
	closed   chan struct{}        // closed by Close
	tasks    sync.WaitGroup
	once     sync.Once

	mu      sync.Mutex
	targets []*target // the named ones, always the same, and then one for each interface of a pattern
	turn    int       // which share of the targets is checked
	notes   notes
}

// Each attachment is checked once a second, and what failed is tried again: nothing
// reports that another program has detached ours. The targets take turns, so that
// many of them are not checked at the same time.
const (
	checkEvery = time.Second / checkTurns
	checkTurns = 4
)

// Open attaches to all interfaces that are named, or to none, and keeps them captured
// until Close. If Wait is above 0 and none of them exists, it returns when the first one
// is captured, with an error if that takes longer than Wait; at a Stop it returns no
// error. Others may still be missing: they are captured when they come, however late.
func Open(a Attacher, o Options) (*Watcher, error) {
	if err := checkWords(o.Interfaces); err != nil {
		return nil, err
	}
	w := newWatcher(a, o)
	var err error
	if w.links, err = openLinks(NewNames(), o.Log); err != nil {
		return nil, err
	}
	w.tasks.Go(w.links.follow)
	began := time.Now()
	if err = w.begin(); err == nil {
		err = w.awaitFirst()
	}
	if err != nil {
		close(w.closed)
		w.links.close()
		w.tasks.Wait()
		_ = w.detachAll()
		return nil, err
	}
	w.tasks.Go(func() { w.Clock().follow(w.closed) })
	w.tasks.Go(func() { w.follow(began) })
	return w, nil
}

// newWatcher has no links yet.
func newWatcher(a Attacher, o Options) *Watcher {
	w := &Watcher{attacher: a, options: o, log: o.Log, exists: exists, ended: make(chan struct{}, 1), closed: make(chan struct{})}
	for _, word := range o.Interfaces {
		if IsPattern(word) {
			w.patterns = append(w.patterns, word)
		} else {
			w.targets = append(w.targets, &target{name: word})
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

// begin attaches to all interfaces that the user means. After an error some may be
// attached: call detachAll.
func (w *Watcher) begin() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	existing := w.links.all()
	if absent := missing(w.options.Interfaces, existing); len(absent) > 0 {
		if w.options.Wait == 0 {
			return NoInterface(absent[0], interfaceNames(existing))
		}
		w.log.Info("waiting for " + wordList(absent))
	}
	w.syncTargets(existing)
	var failed []error
	for _, t := range w.targets {
		i, ok := w.find(t, existing)
		switch {
		case w.stopping():
			return nil
		case !ok: // it is waited for
			continue
		case t.pattern == "":
			if other := w.attachedTo(i); other != nil {
				return fmt.Errorf("interface %s is named twice, as %s and %s", i.name, other.name, t.name)
			}
		}
		err := w.attach(t, i)
		switch {
		case errors.Is(err, ErrDown) && t.pattern == "":
			t.waitUntilUp(w.log, i, err)
		case err != nil && t.pattern == "" && (w.options.Wait == 0 || w.exists(i.index)):
			return err
		case t.pattern != "" && !i.up, err != nil && !w.exists(i.index):
		case err != nil:
			t.state = failing
			failed = append(failed, err)
		default:
			t.state = captured
			w.warnHidden(t)
		}
	}
	return w.begun(existing, failed)
}

// begun ends begin: it succeeds if no interface is up, but not if none can be captured.
func (w *Watcher) begun(existing []netInterface, failed []error) error {
	none := w.attached() == nil
	if none && len(failed) > 0 {
		return errors.Join(failed...)
	}
	for _, err := range failed {
		w.log.Warn("an interface cannot be captured", "error", err)
	}
	if none && len(w.patterns) > 0 && len(missing(w.options.Interfaces, existing)) == 0 {
		w.log.Warn("no interface is up: waiting for one")
	}
	w.note(existing)
	return nil
}

// wordList is for messages.
func wordList(words []string) string {
	if len(words) == 1 {
		return "interface " + words[0]
	}
	return "interfaces " + strings.Join(words, ", ")
}

// awaitFirst waits up to Wait until the first interface is captured.
func (w *Watcher) awaitFirst() error {
	if w.options.Wait <= 0 {
		return nil
	}
	over := time.NewTimer(w.options.Wait)
	defer over.Stop()
	tick := time.NewTicker(checkEvery)
	defer tick.Stop()
	for {
		if w.update(false); !w.idle() {
			return nil
		}
		select {
		case <-w.options.Stop:
			return nil
		case <-over.C:
			return w.nothingCame()
		case <-w.links.changed:
		case <-tick.C:
			w.update(true)
		}
	}
}

// idle reports that an interface is awaited, or cannot be captured yet, and that none is
// captured.
func (w *Watcher) idle() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	idle := len(missing(w.options.Interfaces, w.links.all())) > 0
	for _, t := range w.targets {
		if t.attachment != nil {
			return false
		}
		idle = idle || t.err != nil
	}
	return idle
}

// nothingCame says why no interface is captured after Wait.
func (w *Watcher) nothingCame() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	existing := w.links.all()
	var errs []error
	for _, word := range missing(w.options.Interfaces, existing) {
		errs = append(errs, fmt.Errorf("after %s still %w", w.options.Wait, NoInterface(word, interfaceNames(existing))))
	}
	for _, t := range w.targets {
		errs = append(errs, t.err)
	}
	return errors.Join(errs...)
}

// stopping reports that everything is about to be detached. Attaching to hundreds of
// interfaces takes seconds.
func (w *Watcher) stopping() bool {
	select {
	case <-w.closed:
	case <-w.options.Stop:
	default:
		return false
	}
	return true
}

// follow updates the attachments until the end. When Wait is over it says once which
// interfaces have not come.
func (w *Watcher) follow(began time.Time) {
	tick := time.NewTicker(checkEvery)
	defer tick.Stop()
	var over <-chan time.Time
	if w.options.Wait > 0 {
		over = time.After(time.Until(began.Add(w.options.Wait)))
	}
	for {
		select {
		case <-w.closed:
			return
		case <-w.options.Stop:
			return
		case <-w.links.changed:
			w.update(false)
		case <-w.ended:
			w.update(false)
		case <-tick.C:
			w.update(true)
		case <-over:
			if absent := missing(w.options.Interfaces, w.links.all()); len(absent) > 0 {
				w.log.Warn("still waiting for "+wordList(absent), "after", w.options.Wait)
			}
		}
	}
}

// followEnd wakes follow when an attachment has ended by itself, but not more often than
// it would check the attachment.
func (w *Watcher) followEnd(a Ender) {
	began := time.Now()
	select {
	case <-w.closed:
		return
	case <-a.Ended():
	}
	select {
	case <-w.closed:
		return
	case <-time.After(time.Until(began.Add(time.Second))):
	}
	select {
	case w.ended <- struct{}{}:
	default:
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
