package cli

import (
	"fmt"
	"log/slog"

	"github.com/urfave/cli/v2"

	"dnsmonster-sensor/outputs"
	"dnsmonster-sensor/sensor/lists"
	"dnsmonster-sensor/sensor/pipeline"
)

// enabledOutputs makes the domain lists, checks the options of all outputs, and returns
// the outputs that are switched on. If there are none, records go to stdout, or it is
// an error: see fallback.
func (o *captureOptions) enabledOutputs(c *cli.Context, log *slog.Logger) ([]pipeline.Output, error) {
	if err := o.setCommon(log); err != nil {
		return nil, err
	}
	o.domains = lists.New(o.lists, o.skipTLS, log)
	list, err := o.enabled()
	switch {
	case err != nil || len(list) > 0:
		return list, err
	case !o.fallback:
		return nil, &exitError{exitUsage, errNoOutput}
	}
	if err := c.Set("stdoutoutputtype", "1"); err != nil {
		return nil, fmt.Errorf("switch on stdout: %w", err)
	}
	return o.enabled()
}

func (o *captureOptions) enabled() ([]pipeline.Output, error) {
	var list []pipeline.Output
	var p problems
	for _, out := range o.outputs {
		s, err := out.Settings()
		if err == nil && s.Type != outputs.Off {
			o.delivery.Fill(&s)
			s.Spool.Force = o.force
			s.Skip, s.Allow = matchers(o.domains, o.lists)
			if err = s.Validate(); err != nil {
				err = fmt.Errorf("%soutputtype: %w", out.Name(), err)
			}
		}
		p.add(err)
		if s.Type != outputs.Off {
			list = append(list, pipeline.Output{Output: out, Settings: s})
		}
	}
	return list, p.err()
}

// setCommon gives the outputs the options that all of them share. It is called
// before their Settings.
func (o *captureOptions) setCommon(log *slog.Logger) error {
	records, err := o.records.check()
	if err != nil {
		return err
	}
	records.Server, records.InterfaceName = o.server, o.names.Name
	records.Verbose, records.Interfaces = o.verbose, o.severalInterfaces
	for _, out := range o.outputs {
		if u, ok := out.(outputs.CommonSetter); ok {
			u.SetCommon(outputs.Common{Server: o.server, Records: records, SkipVerify: o.skipTLS, Live: o.live, Force: o.force, Log: log.With("output", out.Name())})
		}
	}
	return nil
}
