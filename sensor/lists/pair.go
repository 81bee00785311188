// Package lists keeps the skip list and the allow list up to date while lanes use
// them. Paths or URLs come in; a List for each goes out, whose Match never waits for
// a reload. Package userspace/domains says what a line of a list means, and package
// outputs which records an output drops because of it. It must not import an input or
// an output. Tests use temporary files, HTTP servers on loopback, and
// packaging/skipdomains.csv.sample.
package lists

import (
	"context"
	"fmt"
	"log/slog"
	"sync"

	"dnsmonster-sensor/sensor/waiting"
)

// Pair is the two lists of a run.
type Pair struct {
	Skip, Allow *List
	skipVerify  bool
}

// New makes the lists, neither of which has been read. With skipVerify, certificates
// are not checked.
func New(o Options, skipVerify bool, log *slog.Logger) *Pair {
	return &Pair{
		Skip:       newList("skip", o.reader(o.Skip, skipVerify), o.Skip.Interval, log),
		Allow:      newList("allow", o.reader(o.Allow, skipVerify), o.Allow.Interval, log),
		skipVerify: skipVerify,
	}
}

// reader returns a reader of a list, nil if there is no such list.
func (o *Options) reader(s Source, skipVerify bool) *reader {
	if s.Location == "" {
		return nil
	}
	return newReader(s.Location, o.matching(), skipVerify)
}

func (l *Pair) both() [2]*List { return [2]*List{l.Skip, l.Allow} }

// Load reads the lists for the first time. Its errors, one for each list that
// cannot be read, begin with the option's name.
func (l *Pair) Load(ctx context.Context) []error {
	errs := make([]error, 2)
	var all sync.WaitGroup
	for i, list := range l.both() {
		if list.reader == nil {
			continue
		}
		all.Go(func() {
			read := waiting.Step{What: list.source, Say: func(line string) { list.log.Info(line) }}.Begin()
			err := list.refresh(ctx, false)
			if read(); err != nil {
				errs[i] = list.loadError(err)
			}
		})
	}
	all.Wait()
	return errs
}

// CheckFiles opens the lists that are local files, without reading them. Its errors
// are like Load's.
func (l *Pair) CheckFiles() (errs []error) {
	for _, list := range l.both() {
		if r := list.reader; r != nil && !isURL(r.location) {
			if err := r.checkFile(); err != nil {
				errs = append(errs, list.loadError(err))
			}
		}
	}
	return errs
}

// source describes where the list is read from.
func (l *List) source() string {
	return "the list " + masked(l.reader.location)
}

func (l *List) loadError(err error) error {
	return fmt.Errorf("--%sdomainsfile: %w: fix the list, or leave it out and use output type 1", l.name, err)
}

// Follow keeps the lists up to date until stop is called, which waits for it to end.
func (l *Pair) Follow() (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var all sync.WaitGroup
	for _, list := range l.both() {
		all.Go(func() { list.follow(ctx) })
	}
	return func() {
		cancel()
		all.Wait()
	}
}

// Reload makes Follow read the lists again, from the sources in o. It does not wait.
func (l *Pair) Reload(o Options) {
	l.Skip.requestReload(reload{o.reader(o.Skip, l.skipVerify), o.Skip.Interval})
	l.Allow.requestReload(reload{o.reader(o.Allow, l.skipVerify), o.Allow.Interval})
}

// Stats returns the counters of each list that has been read, or could not be.
func (l *Pair) Stats() []Stats {
	var all []Stats
	for _, list := range l.both() {
		list.mu.Lock()
		if s := list.stats; s.Loads+s.Failures > 0 {
			all = append(all, s)
		}
		list.mu.Unlock()
	}
	return all
}
