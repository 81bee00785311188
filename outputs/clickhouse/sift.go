package clickhouse

import (
	"context"
	"errors"
	"fmt"

	"dnsmonster-sensor/outputs/clickhouse/server"
	"dnsmonster-sensor/outputs/clickhouse/table"
)

// A table refuses rows before it looks at the token: it does not say whether the part is
// there, from an attempt before the table began to refuse. So the events that it does not
// refuse are written with the part's own token. If the part is there, the server finds the
// token, and stores nothing; otherwise it stores them.
//
// Which events the table refuses is found by INSERTs that cannot be stored: their settings
// demand a disk that is larger than any. The server looks at the rows first, then at the
// disk, then at the token. Neither table nor view gets anything.
//
// Not each server can do that: it must know the setting, permit it to the user, and know how
// large its disks are. Otherwise the part is halved, with other tokens.

// errNoTrial means that the server cannot try a part without storing it.
var errNoTrial = errors.New("the server stores what was to be tried")

// defaultMaxTrials bounds the search in one part: each INSERT that fails costs the server an entry in
// its log. It suffices for a part of 2,500 events, and for some hundred that are refused in a
// large one. A search that is at its end leaves events out together with their neighbours.
const defaultMaxTrials = 5000

// sifted is what is known of a part that the table refuses as a whole. An INSERT of the rest
// may be stored although it has failed, so it is repeated as it was: another one with the same
// token would not be stored.
type sifted struct {
	taken   []int32
	refused int
	why     error
}

// sift writes the events of a part that the table does not refuse, and counts the others.
func (r *round) sift(ctx context.Context, p *table.Part, why error) error {
	found, err := r.tryEvents(ctx, p, why)
	switch {
	case errors.Is(err, errNoTrial):
		return r.halve(ctx, p, why)
	case err != nil:
		return err
	}
	return r.writeRest(ctx, p, found)
}

// writeRest writes the events of a part that the table has not refused in a trial.
func (r *round) writeRest(ctx context.Context, p *table.Part, found *sifted) error {
	progress := r.w.progress
	if len(found.taken) > 0 {
		rest := r.enc.Only(r.b, r.now, p, found.taken)
		rest.Suffix = p.Suffix
		err := r.insert(ctx, &rest)
		switch server.Classify(err) {
		case server.Rows: // it is the size that is refused, or the table has changed again
			clear(progress.refuses)
			if progress.sifted[p.Suffix] == found {
				delete(progress.sifted, p.Suffix)
				return r.sift(ctx, p, err)
			}
			return r.halve(ctx, p, err)
		case server.Parts:
			err = r.divide(ctx, &rest, err)
		}
		if progress.unsure[p.Suffix] {
			progress.sifted[p.Suffix] = found
		}
		if err != nil || progress.halved[p.Suffix] {
			return err
		}
	}
	progress.done[p.Suffix] = true
	progress.refused += found.refused
	progress.why = found.why
	clear(progress.refuses)
	return nil
}

// tryEvents finds the events of a part, which the table refuses as a whole, that it takes. It
// tries large groups first, so that a search that is at its end leaves out small ones.
func (r *round) tryEvents(ctx context.Context, p *table.Part, why error) (*sifted, error) {
	found := &sifted{why: why}
	trials, together := 0, 0
	for left := [][]int32{r.enc.Order(r.b, p)}; len(left) > 0; left = left[1:] {
		events := left[0]
		refuses := true
		if trials > 0 { // not the whole part
			var err error
			if refuses, err = r.refuses(ctx, p, events); err != nil {
				return nil, err
			}
		}
		trials++
		switch half := len(events) / 2; {
		case !refuses:
			found.taken = append(found.taken, events...)
		case half > 0 && trials+len(left) < r.w.o.maxTrials:
			left = append(left, events[:half], events[half:])
		default:
			found.refused += len(events)
			if half > 0 {
				together += len(events)
			}
		}
	}
	if together > 0 {
		found.why = fmt.Errorf("the table refuses so many records that %d of them are left out in groups, of which it may refuse some only: %w", together, why)
	}
	return found, r.redial(ctx)
}

// refuses tries events of a part. What is found is kept for the next attempt.
func (r *round) refuses(ctx context.Context, p *table.Part, events []int32) (bool, error) {
	known, name := r.w.progress.refuses, table.SuffixOf(events)
	if refuses, ok := known[name]; ok {
		return refuses, nil
	}
	if r.w.progress.noTrial {
		return false, errNoTrial
	}
	if err := r.redial(ctx); err != nil {
		return false, err
	}
	some := r.enc.Only(r.b, r.now, p, events)
	err := r.send(ctx, &some, server.Trial)
	switch server.Tried(err) {
	case server.Taken:
		known[name] = false
	case server.Refused:
		known[name] = true
	case server.CannotTry:
		r.w.progress.noTrial = true
		return false, errNoTrial
	default:
		return false, err
	}
	return known[name], nil
}
