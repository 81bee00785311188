package sensor

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"dnsmonster-sensor/outputs"
)

// introduce tells the outputs of the program's own options. It comes before
// their Settings.
func (o *common) introduce(log *slog.Logger) error {
	records, err := o.records.check()
	if err != nil {
		return err
	}
	records.Server, records.InterfaceName = o.server, o.names.name
	for _, out := range o.outputs {
		if u, ok := out.(outputs.CommonSetter); ok {
			u.SetCommon(outputs.Common{Server: o.server, Records: records, SkipVerify: o.skipTLS, Live: o.live, Force: o.force, Log: log.With("output", out.Name())})
		}
	}
	return nil
}

// errUnready ends outputs of a run that was stopped before its lists were there:
// what was captured cannot be filtered.
var errUnready = errors.New("stopped before the domain lists were read")

// prepare reads the domain lists and tries the outputs out: what is wrong with
// the options ends the program here. A live source does not wait for outputs:
// its lanes run meanwhile, and the queues hold what they find. Nothing is written
// before the outputs have passed, so that the error leaves nothing behind.
//
// A signal to stop detaches at once. Where something has been captured by then,
// the start goes on for the grace time, so that it can be delivered; where not,
// what is wrong does not matter any more. Where a pipe has to be read in that time
// the outputs are not waited for: their runners will try them.
func (p *pipeline) prepare(o *common, s *session, active []active) error {
	calls := s.inv.signals
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	checks, skip := context.WithCancel(ctx)
	defer skip()
	onStop := context.AfterFunc(calls.stopping, func() {
		p.drainSource()
		if p.nothingToDo() {
			cancel()
			return
		}
		if !p.source.Live() {
			skip()
		}
		late := time.NewTimer(o.grace)
		defer late.Stop()
		select {
		case <-late.C:
		case <-calls.atOnce:
		case <-ctx.Done():
		}
		cancel()
	})
	defer onStop()
	listErr := o.loadLists(ctx) // before the lanes: they filter
	if listErr == nil && p.source.Live() {
		p.startLanes()
	}
	err := errors.Join(listErr, tryOut(checks, active, s.log))
	switch {
	case err == nil:
		return nil
	case calls.stopped():
		p.drainSource()
		if p.nothingToDo() {
			return nil
		}
		if ctx.Err() != nil && listErr != nil {
			for _, r := range p.runners {
				r.End(errUnready)
			}
		}
		if ctx.Err() != nil {
			return nil
		}
	}
	p.closeSource()
	p.lanes.Wait()
	return errors.Join(err, p.freeSource())
}

// nothingToDo tells whether a source that takes nothing new in has not given
// anything, nor will.
func (p *pipeline) nothingToDo() bool {
	in := p.interrupted()
	return p.source.Given() == 0 && (in == nil || !in.Delivering())
}

// tryOut lets the outputs find, before anything is written, what will not work
// as it is set. What may pass is logged and tried again by their runners. It
// returns when ctx ends, even where a check does not.
func tryOut(ctx context.Context, list []active, log *slog.Logger) error {
	found := make(chan error, len(list))
	checks := 0
	for _, a := range list {
		check, ok := a.output.(outputs.Checker)
		if !ok {
			continue
		}
		checks++
		go func() {
			attempt, cancel := context.WithTimeout(ctx, a.settings.AttemptTimeout())
			defer cancel()
			err := check.Check(attempt)
			switch {
			case err == nil || errors.Is(err, outputs.ErrPermanent):
				found <- err
				return
			case ctx.Err() == nil:
				log.Warn("an output does not work yet", "output", a.output.Name(), "error", err)
			}
			found <- nil
		}()
	}
	var errs []error
	for ; checks > 0; checks-- {
		select {
		case err := <-found:
			errs = append(errs, err)
		case <-ctx.Done():
			return nil
		}
	}
	if err := errors.Join(errs...); err != nil {
		return &exitError{exitUsage, err}
	}
	return nil
}
