package lists

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
)

// Lists are the two lists of a run.
type Lists struct {
	Skip, Allow *List
	skipVerify  bool
}

// New makes the lists, both empty. skipVerify: certificates are not checked.
func New(o Options, skipVerify bool, log *slog.Logger) *Lists {
	return &Lists{
		Skip:       newList("skip", o.reader(o.Skip, skipVerify), o.Skip.Interval, log),
		Allow:      newList("allow", o.reader(o.Allow, skipVerify), o.Allow.Interval, log),
		skipVerify: skipVerify,
	}
}

// reader is nil where there is no list.
func (o *Options) reader(s Source, skipVerify bool) *reader {
	if s.Place == "" {
		return nil
	}
	return newReader(s.Place, o.matching(), skipVerify)
}

func (l *Lists) both() [2]*List { return [2]*List{l.Skip, l.Allow} }

// Load reads the lists for the first time. Its errors, one for each list that
// cannot be read, begin with the option's name.
func (l *Lists) Load(ctx context.Context) []error {
	errs := make([]error, 2)
	var all sync.WaitGroup
	for i, list := range l.both() {
		if list.reader == nil {
			continue
		}
		all.Go(func() {
			if err := list.look(ctx, false); err != nil {
				errs[i] = list.wrongAtStart(err)
			}
		})
	}
	all.Wait()
	return errs
}

// Look tries to open those of the lists that are files on this machine. Its errors
// are as those of Load.
func (l *Lists) Look() (errs []error) {
	for _, list := range l.both() {
		if r := list.reader; r != nil && !isURL(r.place) {
			if err := r.look(); err != nil {
				errs = append(errs, list.wrongAtStart(err))
			}
		}
	}
	return errs
}

func (l *List) wrongAtStart(err error) error {
	return fmt.Errorf("--%sdomainsfile: %w: mend the list, or leave it out and use output type 1", l.name, err)
}

// Follow keeps the lists up to date until stop is called.
func (l *Lists) Follow() (stop func()) {
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

// Reload looks at the lists again, which may be elsewhere now. It does not wait
// for them.
func (l *Lists) Reload(o Options) {
	l.Skip.ask(wish{o.reader(o.Skip, l.skipVerify), o.Skip.Interval})
	l.Allow.ask(wish{o.reader(o.Allow, l.skipVerify), o.Allow.Interval})
}

// Stats are the numbers of the lists that there are.
func (l *Lists) Stats() []Stats {
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
