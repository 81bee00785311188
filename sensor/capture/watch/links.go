package watch

import (
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"
)

// netInterface is what the system reports about an interface.
type netInterface struct {
	index int
	name  string
	alts  string // other names, each between two NULs
	up    bool
	born  uint64 // differs once the interface has left and come back with the same index

	kind   string // Linux: such as "veth", "" if it has no kind
	master int    // Linux: the bridge or bond of which it is a port
	parent int    // Linux: the interface below, or the other end of a veth pair, if it is in this namespace
}

// hasName reports whether a name is one of its names. No two interfaces share one.
func (i netInterface) hasName(name string) bool {
	return i.name == name || name != "" && strings.Contains(i.alts, "\x00"+name+"\x00")
}

// otherNames are its names besides the first.
func (i netInterface) otherNames() []string {
	return strings.FieldsFunc(i.alts, func(r rune) bool { return r == 0 })
}

// links is the current list of the interfaces of this network namespace. It
// subscribes to changes before it reads the list, and does both again when it may
// have missed a change.
type links struct {
	log     *slog.Logger
	names   *Names
	changed chan struct{} // holds a token after a change

	done   chan struct{} // closed at the end
	warned time.Time     // when the last warning was logged
	pause  time.Duration // between two attempts, and between two lists without a subscription

	mu     sync.Mutex
	now    map[int]netInterface
	gone   uint64  // interfaces that were reported as deleted
	socket *socket // nil: no subscription
}

// openLinks lists the interfaces. If it cannot subscribe to changes it logs a warning,
// and lists them each second.
func openLinks(names *Names, log *slog.Logger) (*links, error) {
	l := &links{log: log, names: names, changed: make(chan struct{}, 1), done: make(chan struct{}), pause: time.Second}
	l.warn("interfaces are listed once a second: the kernel does not report their changes", l.subscribe())
	if err := l.list(); err != nil {
		l.close()
		return nil, err
	}
	return l, nil
}

// list reads all interfaces from the kernel.
func (l *links) list() error {
	all, err := listInterfaces()
	if err != nil {
		return fmt.Errorf("list interfaces: %w", err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for index := range l.now {
		if _, ok := all[index]; !ok {
			l.names.forget(index)
		}
	}
	for index, i := range all {
		i.born = l.gone
		if old, ok := l.now[index]; ok {
			i.born = old.born
		}
		all[index] = i
	}
	same := maps.Equal(l.now, all)
	l.now = all
	for _, i := range all {
		l.names.learn(i.index, i.name, bootNanos())
	}
	if !same {
		l.notify()
	}
	return nil
}

// follow keeps the list current until close.
func (l *links) follow() {
	for {
		err := l.receive()
		// After an overflow the messages left in the old socket are older than those
		// that were lost: only a new socket helps.
		if !errors.Is(err, errOverflow) {
			select {
			case <-l.done:
				return
			case <-time.After(l.pause):
			}
			l.warn("changes of interfaces were missed: listing all of them again", err)
		}
		l.warn("interfaces are listed once a second: the kernel does not report their changes", l.subscribe())
		l.warn("interfaces cannot be listed; trying again each second", l.list())
	}
}

// notify leaves a token in changed.
func (l *links) notify() {
	select {
	case l.changed <- struct{}{}:
	default:
	}
}

// warn logs an error, at most once a minute.
func (l *links) warn(message string, err error) {
	if err != nil && time.Since(l.warned) > time.Minute {
		l.warned = time.Now()
		l.log.Warn(message, "error", err)
	}
}

// all returns a copy of the list, sorted by index.
func (l *links) all() []netInterface {
	l.mu.Lock()
	defer l.mu.Unlock()
	return sorted(l.now)
}

func sorted(all map[int]netInterface) []netInterface {
	list := slices.Collect(maps.Values(all))
	slices.SortFunc(list, func(a, b netInterface) int { return a.index - b.index })
	return list
}

// close ends follow.
func (l *links) close() {
	close(l.done)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closeSocket()
}

func (l *links) closeSocket() {
	if l.socket != nil {
		l.socket.Close()
		l.socket = nil
	}
}
