package lists

import (
	"context"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"dnsmonster-sensor/userspace/domains"
)

// List is one list as it was last read. Before that it filters nothing: the skip
// list is empty, and on the allow list is every name.
type List struct {
	name   string // skip or allow
	log    *slog.Logger
	none   *domains.List // what it is before it is read
	now    atomic.Pointer[domains.List]
	reader *reader // nil: there is no source; of follow, once that runs
	every  time.Duration

	again chan struct{} // a token: there is a wish

	mu        sync.Mutex
	wish      *wish
	interrupt context.CancelFunc // ends the look under way
	stats     Stats
	wrong     string    // why the last look failed; "": it did not
	since     time.Time // when looks began to fail
}

// wish is what a reload wants.
type wish struct {
	reader *reader // nil: there is no source any more
	every  time.Duration
}

// Stats are the numbers of one list.
type Stats struct {
	List            string // skip or allow
	Entries         int
	Loads, Failures uint64
	Current         time.Time // when it was last seen to be as its source has it
}

func newList(name string, r *reader, every time.Duration, log *slog.Logger) *List {
	l := &List{
		name: name, reader: r, every: every, log: log.With("list", name), none: listOf(""),
		again: make(chan struct{}, 1), interrupt: func() {}, stats: Stats{List: name},
	}
	if name == "allow" {
		l.none = listOf(".,suffix")
	}
	l.now.Store(l.none)
	return l
}

func listOf(text string) *domains.List {
	l, err := domains.Parse(strings.NewReader(text), domains.Labels)
	if err != nil {
		panic(err) // a text in memory can be read
	}
	return l
}

// Match tells whether name is on the list. It never waits.
func (l *List) Match(name []byte) bool { return l.now.Load().Match(name) }

// follow looks at the list at each interval and whenever asked, until ctx ends.
func (l *List) follow(ctx context.Context) {
	for {
		var tick <-chan time.Time
		if l.every > 0 && l.reader != nil {
			tick = time.After(l.every)
		}
		asked := false
		select {
		case <-ctx.Done():
			return
		case <-tick:
		case <-l.again:
			asked = true
			l.adopt()
		}
		if l.reader == nil {
			continue
		}
		attempt, cancel := context.WithCancel(ctx)
		l.mu.Lock()
		l.interrupt = cancel
		l.mu.Unlock()
		if err := l.look(attempt, asked); err != nil && attempt.Err() == nil {
			l.failed(err)
		}
		cancel()
	}
}

// ask makes follow look again soon, even while it waits for a server.
func (l *List) ask(w wish) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.wish = &w
	l.interrupt()
	select {
	case l.again <- struct{}{}:
	default:
	}
}

// adopt takes over what was last asked for.
func (l *List) adopt() {
	l.mu.Lock()
	defer l.mu.Unlock()
	w := *l.wish
	l.every = w.every
	switch {
	case w.reader == nil:
		l.reader, l.stats, l.wrong = nil, Stats{List: l.name}, ""
		l.now.Store(l.none)
	case l.reader == nil || !l.reader.reads(w.reader):
		l.reader = w.reader
	}
}

// look reads the list where it has changed, or where it is a file and that is
// forced.
func (l *List) look(ctx context.Context, force bool) error {
	list, err := l.reader.read(ctx, force)
	if err != nil {
		return err
	}
	if list != nil {
		l.take(list)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.stats.Current = time.Now()
	if l.wrong != "" {
		l.wrong = ""
		l.log.Info("the list can be read again", "after", time.Since(l.since).Round(time.Millisecond))
	}
	return nil
}

// take swaps the list and says what is in it.
func (l *List) take(list *domains.List) {
	before := l.now.Swap(list)
	l.mu.Lock()
	l.stats.Entries = list.Len()
	l.stats.Loads++
	l.mu.Unlock()
	l.log.Info("list loaded", "from", shown(l.reader.place), "entries", list.Len(), "differ", list.Differ())
	if list.Len() == 0 {
		l.log.Warn("the list has no entries")
	}
	if slices.Equal(before.Odd(), list.Odd()) {
		return
	}
	for _, o := range list.Odd() {
		l.log.Warn("the list has odd lines", "why", o.Why, "lines", o.Lines, "first_line", o.First, "text", o.Text)
	}
}

// failed counts a look that failed. It is logged where it fails in another way
// than the one before.
func (l *List) failed(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.stats.Failures++
	if l.wrong == "" {
		l.since = time.Now()
	}
	if text := err.Error(); l.wrong != text {
		l.wrong = text
		if l.stats.Loads == 0 {
			l.log.Warn("the list cannot be read: until it can it filters nothing", "error", err)
			return
		}
		l.log.Warn("the list cannot be read, the old one stays", "error", err)
	}
}
