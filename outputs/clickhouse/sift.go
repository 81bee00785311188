package clickhouse

import (
	"context"
	"errors"

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

// sift writes the events of a part that the table does not refuse, and counts the others.
func (r *round) sift(ctx context.Context, p *table.Part, why error) error {
	taken, refused, err := r.tryEvents(ctx, p)
	switch {
	case errors.Is(err, errNoTrial):
		return r.halve(ctx, p, why)
	case err != nil:
		return err
	}
	if len(taken) > 0 {
		rest := r.enc.Only(r.b, r.now, p, taken)
		rest.Suffix = p.Suffix
		err := r.insert(ctx, &rest)
		switch server.Classify(err) {
		case server.Rows: // it is the size that is refused, or the table has changed again
			clear(r.w.progress.refuses)
			return r.halve(ctx, p, err)
		case server.Parts:
			err = r.divide(ctx, &rest, err)
		}
		if err != nil || r.w.progress.halved[p.Suffix] {
			return err
		}
	}
	r.refuse(p, len(refused), why)
	return nil
}

// refuse counts events of a part, all others of which are stored.
func (r *round) refuse(p *table.Part, n int, why error) {
	r.w.progress.done[p.Suffix] = true
	r.w.progress.refused += n
	r.w.progress.why = why
}

// tryEvents finds the events of a part, which the table refuses as a whole, that it takes.
func (r *round) tryEvents(ctx context.Context, p *table.Part) (taken, refused []int32, err error) {
	whole := r.enc.Order(r.b, p)
	for left := [][]int32{whole}; len(left) > 0; {
		events := left[len(left)-1]
		left = left[:len(left)-1]
		refuses := len(events) == len(whole)
		if !refuses {
			if refuses, err = r.refuses(ctx, p, events); err != nil {
				return nil, nil, err
			}
		}
		switch half := len(events) / 2; {
		case !refuses:
			taken = append(taken, events...)
		case half == 0:
			refused = append(refused, events...)
		default:
			left = append(left, events[half:], events[:half])
		}
	}
	return taken, refused, r.redial(ctx)
}

// refuses tries events of a part. What is found is kept for the next attempt.
func (r *round) refuses(ctx context.Context, p *table.Part, events []int32) (bool, error) {
	known, name := r.w.progress.refuses, table.SuffixOf(events)
	if refuses, ok := known[name]; ok {
		return refuses, nil
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
		return false, errNoTrial
	default:
		return false, err
	}
	return known[name], nil
}
