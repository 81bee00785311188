package cli

import (
	"errors"

	"github.com/urfave/cli/v2"

	"dnsmonster-sensor/outputs/printable"
	"dnsmonster-sensor/sensor/capture"
	"dnsmonster-sensor/sensor/capture/live"
	"dnsmonster-sensor/sensor/metrics"
	"dnsmonster-sensor/sensor/pipeline"
	"dnsmonster-sensor/sensor/waiting"
)

// record runs a capture from start to end, for all capturing commands. The options have
// been checked.
func record(c *cli.Context, o *captureOptions, s *session, in input) error {
	o.live = in.Live
	if err := o.showText(c, s); err != nil {
		return err
	}
	list, err := o.enabledOutputs(c, s.log)
	if err != nil || s.inv.trial {
		return err
	}
	if err := o.checkMachine(in, list); err != nil {
		return err
	}
	s.onScreen = o.forPeople() && recordsOnTerminal(list)
	s.keepOrder(o, in, list)
	s.inv.signals.SetStuckError(pipeline.Unopened(in.files))
	profiles, err := o.process.profile(o.force)
	if err != nil {
		return err
	}
	if o.forPeople() && s.terminal != nil {
		defer s.terminal.endLineAtInterrupt(s.inv.signals)()
	}
	err = withStatus(pipeline.Run(s.pipelineConfig(c, o, in, list)))
	if perr := profiles.write(); perr != nil {
		return &exitError{exitFailure, errors.Join(err, perr)}
	}
	return err
}

// pipelineConfig is what the options mean to the pipeline.
func (s *session) pipelineConfig(c *cli.Context, o *captureOptions, in input, list []pipeline.Output) pipeline.Config {
	config := pipeline.Config{
		Input:    pipeline.Input{Live: in.Live, Open: s.opener(c, o, in, list)},
		Worker:   s.workerConfig(o, in, list),
		Stages:   o.stages,
		Count:    uint64(o.count),
		Outputs:  list,
		Delivery: &o.delivery,
		Lists:    o.domains,
		Metrics: metrics.Config{
			Options: &o.metrics, Chosen: s.isSet("metricendpointtype"), Quiet: o.forPeople() && !o.metrics.AsksForLines(s.isSet),
			Identity: metrics.Identity{Server: o.server, Version: version, Commit: buildCommit(), Program: live.ProgramHash()},
		},
		Names:   &o.names,
		Grace:   o.grace,
		Signals: s.inv.signals,
		Log:     s.log,
		Stderr:  c.App.ErrWriter,
		Hints:   o.hints(in.hints),
		Report:  pipeline.Report{Brief: o.forPeople(), Verbose: o.verbose},
		PinLane: o.pinLane(),
		Reload:  func(apply func(pipeline.Changes)) { s.reload(apply, o.domains, list) },
	}
	if in.progress && s.terminal != nil && !recordsOnTerminal(list) {
		config.Progress = s.terminal.startProgress
	}
	return config
}

// opener opens the input, and says that it has begun.
func (s *session) opener(c *cli.Context, o *captureOptions, in input, list []pipeline.Output) func(<-chan struct{}) (capture.Source, error) {
	return func(stop <-chan struct{}) (capture.Source, error) {
		opened := s.waitToOpen(o, in)
		source, err := in.Open(stop)
		opened()
		s.renew = in.renew
		switch {
		case err != nil:
			return nil, err
		case o.forPeople() && s.inv.signals.Stopped(): // it ends before it has begun
		case o.forPeople():
			doing := "capturing"
			if in.doing != nil {
				doing = in.doing(source, o.verbose)
			}
			o.startLine(doing, in, list).print(c.App.ErrWriter, s.log, o.process.json())
		case in.logStart != nil:
			in.logStart(source)
		}
		if in.note != nil {
			if text := in.note(); text != "" {
				s.log.Info(text)
			}
		}
		return source, nil
	}
}

// waitToOpen says what the opening of an input waits for, until opened is called. On the
// terminal of a person that line is gone afterwards.
func (s *session) waitToOpen(o *captureOptions, in input) (opened func()) {
	switch {
	case in.opens == nil:
		return func() {}
	case !o.forPeople() || s.terminal == nil || o.process.json():
		return waiting.Step{What: in.opens, Say: func(line string) { s.log.Info(line) }}.Begin()
	}
	end := waiting.Step{What: in.opens, Say: func(line string) { s.terminal.show(printable.OneLine(line)) }}.Begin()
	return func() {
		end()
		s.terminal.show("")
	}
}
