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

// List is one list as it was last read. Until its first read it filters nothing:
// the skip list is empty, and the allow list holds every name.
type List struct {
	name     string // skip or allow
	log      *slog.Logger
	initial  *domains.List // current until the first read
	current  atomic.Pointer[domains.List]
	reader   *reader // nil: there is no source. Only follow uses it, once that runs
	interval time.Duration

	wake chan struct{} // holds a token while a reload is requested

	mu            sync.Mutex
	requested     *reload
	cancelRefresh context.CancelFunc // cancels the refresh in progress
	stats         Stats
	failure       string    // of the last refresh; "": it succeeded
	failingSince  time.Time // when refreshes began to fail
}

// reload is the source of the list in a reloaded configuration.
type reload struct {
	reader   *reader // nil: there is no source any more
	interval time.Duration
}

// Stats are the counters of one list.
type Stats struct {
	List            string // skip or allow
	Entries         int
	Loads, Failures uint64
	CurrentAt       time.Time // when the list was last seen to be the same as its source
}

func newList(name string, r *reader, interval time.Duration, log *slog.Logger) *List {
	l := &List{
		name: name, reader: r, interval: interval, log: log.With("list", name), initial: listOf(""),
		wake: make(chan struct{}, 1), cancelRefresh: func() {}, stats: Stats{List: name},
	}
	if name == "allow" {
		l.initial = listOf(".,suffix")
	}
	l.current.Store(l.initial)
	return l
}

func listOf(text string) *domains.List {
	l, err := domains.Parse(strings.NewReader(text), domains.Labels)
	if err != nil {
		panic(err) // a text in memory can be read
	}
	return l
}

// Match reports whether name is on the list. It never blocks.
func (l *List) Match(name []byte) bool { return l.current.Load().Match(name) }

// follow refreshes the list at each interval and at each requested reload, until
// ctx ends.
func (l *List) follow(ctx context.Context) {
	for {
		var tick <-chan time.Time
		if l.interval > 0 && l.reader != nil {
			tick = time.After(l.interval)
		}
		reloaded := false
		select {
		case <-ctx.Done():
			return
		case <-tick:
		case <-l.wake:
			reloaded = true
			l.applyReload()
		}
		if l.reader == nil {
			continue
		}
		attempt, cancel := context.WithCancel(ctx)
		l.mu.Lock()
		l.cancelRefresh = cancel
		l.mu.Unlock()
		if err := l.refresh(attempt, reloaded); err != nil && attempt.Err() == nil {
			l.countFailure(err)
		}
		cancel()
	}
}

// requestReload makes follow refresh the list soon. It cancels a refresh that is
// waiting for a server.
func (l *List) requestReload(r reload) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.requested = &r
	l.cancelRefresh()
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// applyReload applies the last requested reload.
func (l *List) applyReload() {
	l.mu.Lock()
	defer l.mu.Unlock()
	r := *l.requested
	l.interval = r.interval
	switch {
	case r.reader == nil:
		l.reader, l.stats, l.failure = nil, Stats{List: l.name}, ""
		l.current.Store(l.initial)
	case l.reader == nil || !l.reader.sameSource(r.reader):
		l.reader = r.reader
	}
}

// refresh reads the list if it has changed. With force, a file is read in any case.
func (l *List) refresh(ctx context.Context, force bool) error {
	list, err := l.reader.read(ctx, force)
	if err != nil {
		return err
	}
	if list != nil {
		l.install(list)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.stats.CurrentAt = time.Now()
	if l.failure != "" {
		l.failure = ""
		l.log.Info("the list can be read again", "after", time.Since(l.failingSince).Round(time.Millisecond))
	}
	return nil
}

// install makes list the current one and logs what is in it.
func (l *List) install(list *domains.List) {
	before := l.current.Swap(list)
	l.mu.Lock()
	l.stats.Entries = list.Len()
	l.stats.Loads++
	l.mu.Unlock()
	l.log.Info("list loaded", "from", masked(l.reader.location), "entries", list.Len(), "differ", list.Differ())
	if list.Len() == 0 {
		l.log.Warn("the list has no entries")
	}
	if slices.Equal(before.OddLines(), list.OddLines()) {
		return
	}
	for _, o := range list.OddLines() {
		l.log.Warn("the list has suspicious lines", "why", o.Why, "lines", o.Lines, "first_line", o.First, "text", o.Text)
	}
}

// countFailure counts a refresh that failed, and logs it unless the one before
// failed in the same way.
func (l *List) countFailure(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.stats.Failures++
	if l.failure == "" {
		l.failingSince = time.Now()
	}
	if text := err.Error(); l.failure != text {
		l.failure = text
		if l.stats.Loads == 0 {
			l.log.Warn("the list cannot be read: it filters nothing until it can be read", "error", err)
			return
		}
		l.log.Warn("the list cannot be read, the old one stays", "error", err)
	}
}
