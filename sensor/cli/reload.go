package cli

import (
	"log/slog"
	"strconv"
	"strings"

	"golang.org/x/term"

	"dnsmonster-sensor/outputs"
	"dnsmonster-sensor/sensor/config"
	"dnsmonster-sensor/sensor/lists"
	"dnsmonster-sensor/sensor/pipeline"
	"dnsmonster-sensor/userspace/mask"
)

// terminalClosed reports whether a person has closed the terminal that records go to: the
// system sends SIGHUP then, too.
func (s *session) terminalClosed() bool { return s.onScreen && !term.IsTerminal(1) }

// reload applies the options that can change, and logs the names of those that
// cannot. A file with an error changes nothing. It ends the command instead if nobody is left
// to see its records.
func (s *session) reload(apply func(pipeline.Changes), domains *lists.Pair, list []pipeline.Output) {
	if s.terminalClosed() {
		s.inv.signals.Stop()
		return
	}
	values, err := s.inv.resolve()
	if err == nil {
		err = s.inv.try(values)
	}
	if err != nil {
		s.log.Error("reload: nothing is changed", "error", err)
		return
	}
	changed, fixed := config.Diff(s.inv.values, values)
	next, level := reloadable(values, domains, list)
	if len(fixed) > 0 {
		s.log.Warn("reload: these options take effect only at the next start", "options", strings.Join(fixed, ", "))
	}
	apply(next)
	if s.renew != nil {
		if err := s.renew(); err != nil {
			s.log.Error("reload of certificates", "error", err)
		}
	}
	var names []string
	for _, v := range changed {
		names = append(names, v.Name+"="+v.Shown(strings.Join(v.Text, ",")))
		s.inv.values.Get(v.Name).Text = v.Text
	}
	s.level.Set(level)
	if names == nil {
		names = []string{"nothing"}
	}
	s.log.Info("reloaded", "changed", strings.Join(names, " "))
}

// reloadable reads the values that can change. They have been checked.
func reloadable(v *config.Values, domains *lists.Pair, list []pipeline.Output) (pipeline.Changes, slog.Level) {
	number := func(option string) int {
		n, _ := strconv.Atoi(v.String(option))
		return n
	}
	next := pipeline.Changes{
		Mask:    maskOrNil(mask.Bits{V4: number("masksize4"), V6: number("masksize6")}),
		Lists:   listOptions(v),
		Filters: make(map[string]outputs.Filter),
	}
	skip, allow := matchers(domains, next.Lists)
	for _, o := range list {
		// Off needs a new start: without an output, records would go to stdout.
		name := o.Output.Name()
		if kind := outputs.Type(number(name + "outputtype")); kind != outputs.Off {
			next.Filters[name] = outputs.Filter{Type: kind, Skip: skip, Allow: allow}
		}
	}
	return next, logLevels[number("loglevel")]
}
