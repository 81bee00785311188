package sensor

import (
	"context"
	"errors"
	"log/slog"
	"os/signal"
	"sync"
	"syscall"

	"dnsmonster-sensor/outputs"
)

// introduce tells the outputs of the program's own options. It comes before
// their Settings.
func (o *common) introduce(log *slog.Logger) error {
	records, err := o.records.check()
	if err != nil {
		return err
	}
	records.Server, records.InterfaceName = o.server, o.interfaceName
	for _, out := range o.outputs {
		if u, ok := out.(outputs.CommonUser); ok {
			u.Use(outputs.Common{Server: o.server, Records: records, SkipVerify: o.skipTLS, Force: o.force, Log: log.With("output", out.Name())})
		}
	}
	return nil
}

// prepare reads the domain lists and tries the outputs out: what is wrong with
// the options ends the program here. A live source does not wait for outputs:
// its lanes run meanwhile, and the queues hold what they find. Nothing is written
// before the outputs have passed, so that the error leaves nothing behind.
func (p *pipeline) prepare(o *common, s *session, active []active) error {
	ctx, cancel := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer cancel()
	err := o.loadLists(ctx) // before the lanes: they filter
	if err == nil && p.source.Live() {
		p.startLanes()
	}
	if err = errors.Join(err, tryOut(ctx, active, s.log)); err == nil {
		return nil
	}
	p.closeSource()
	p.lanes.Wait()
	return errors.Join(err, p.freeSource())
}

// tryOut lets the outputs find, before anything is written, what will not work
// as it is set. What may pass is logged and tried again by their runners.
func tryOut(ctx context.Context, list []active, log *slog.Logger) error {
	errs := make([]error, len(list))
	var all sync.WaitGroup
	for i, a := range list {
		check, ok := a.output.(outputs.Checker)
		if !ok {
			continue
		}
		all.Go(func() {
			ctx, cancel := context.WithTimeout(ctx, a.settings.Attempt())
			defer cancel()
			err := check.Check(ctx)
			if err == nil || errors.Is(err, outputs.ErrPermanent) {
				errs[i] = err
				return
			}
			log.Warn("an output does not work yet", "output", a.output.Name(), "error", err)
		})
	}
	all.Wait()
	if err := errors.Join(errs...); err != nil {
		return &exitError{exitUsage, err}
	}
	return nil
}
