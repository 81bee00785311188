package sensor

import (
	"context"
	"time"

	"dnsmonster-sensor/outputs"
	"dnsmonster-sensor/sensor/config"
	"dnsmonster-sensor/sensor/lists"
)

// matchers are the lists that the options name; nil where they name none.
func matchers(l *lists.Lists, o lists.Options) (skip, allow outputs.Matcher) {
	if o.Skip.Place != "" {
		skip = l.Skip
	}
	if o.Allow.Place != "" {
		allow = l.Allow
	}
	return skip, allow
}

// listOptions reads the options of the lists.
func listOptions(v *config.Values) lists.Options {
	source := func(name string) lists.Source {
		every, _ := time.ParseDuration(v.String(name + "refreshinterval"))
		return lists.Source{Place: v.String(name + "file"), Interval: every}
	}
	return lists.Options{Skip: source("skipdomains"), Allow: source("allowdomains"), Match: v.String("domainmatch")}
}

// loadLists reads the lists for the first time, and warns of one that no output
// uses.
func (o *common) loadLists(ctx context.Context, s *session, active []active) error {
	uses := func(kinds ...outputs.Type) bool {
		for _, a := range active {
			for _, k := range kinds {
				if a.settings.Type == k {
					return true
				}
			}
		}
		return false
	}
	if o.lists.Skip.Place != "" && !uses(outputs.Skip, outputs.SkipAndAllow) {
		s.log.Warn("skipdomainsfile has no effect: no output has type 2 or 4")
	}
	if o.lists.Allow.Place != "" && !uses(outputs.Allow, outputs.SkipAndAllow) {
		s.log.Warn("allowdomainsfile has no effect: no output has type 3 or 4")
	}
	var p problems
	for _, err := range o.domains.Load(ctx) {
		p.add(err)
	}
	return p.err()
}
