package pipeline

import (
	"context"
	"errors"
	"time"

	"dnsmonster-sensor/outputs"
	"dnsmonster-sensor/sensor/waiting"
)

// errUnready ends the outputs of a run that was stopped before its lists were
// read: what was captured cannot be filtered.
var errUnready = errors.New("stopped before the domain lists were read")

// checkAndLoad reads the domain lists and checks the outputs. An error of either ends
// the run. A live source does not wait for outputs: its lanes run meanwhile, and the
// queues hold what they find. Nothing is written before the checks have passed, so that
// an error leaves nothing behind.
//
// A signal to stop detaches at once. If something has been captured by then, the start
// goes on for the grace time, to deliver it; if not, errors no longer matter. If a pipe
// has to be read in that time, the start does not wait for the checks of outputs: their
// runners will meet the same errors.
func (p *pipeline) checkAndLoad(c *Config) error {
	sig := c.Signals
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	checks, skip := context.WithCancel(ctx)
	defer skip()
	onStop := context.AfterFunc(sig.Stopping(), func() {
		p.drainSource()
		if p.nothingToDeliver() {
			cancel()
			return
		}
		if !p.source.Live() {
			skip()
		}
		late := time.NewTimer(c.Grace)
		defer late.Stop()
		select {
		case <-late.C:
		case <-sig.AtOnce():
		case <-ctx.Done():
		}
		cancel()
	})
	defer onStop()
	listErr := errors.Join(c.Lists.Load(ctx)...) // before the lanes: they filter
	if listErr == nil && p.source.Live() {
		p.startLanes()
	}
	err := errors.Join(listErr, p.checkOutputs(checks, c.Outputs))
	switch {
	case err == nil:
		return nil
	case sig.Stopped():
		p.drainSource()
		if p.nothingToDeliver() {
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

// nothingToDeliver reports whether a source that takes nothing new in has given
// nothing, and will not.
func (p *pipeline) nothingToDeliver() bool {
	in := p.drainer()
	return p.source.Given() == 0 && (in == nil || !in.Delivering())
}

// checkOutputs joins the permanent errors of the outputs' checks. Others are the beginning
// of an outage: the runner will try again. It returns when ctx ends, even if a check does
// not.
func (p *pipeline) checkOutputs(ctx context.Context, list []Output) error {
	found := make(chan error, len(list))
	checks := 0
	for i, o := range list {
		check, ok := o.Output.(outputs.Checker)
		if !ok {
			continue
		}
		checks++
		go func() {
			attempt, cancel := context.WithTimeout(ctx, o.Settings.AttemptTimeout())
			defer cancel()
			answered := waiting.Step{What: func() string { return answerOf(o.Output) }, Say: sayTo(p.log)}.Begin()
			err := check.Check(attempt)
			answered()
			switch {
			case err == nil || errors.Is(err, outputs.ErrPermanent):
				found <- err
				return
			case ctx.Err() == nil:
				p.runners[i].CheckFailed(err)
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
	return errors.Join(errs...)
}
