package cli

import (
	"time"

	"dnsmonster-sensor/outputs"
	"dnsmonster-sensor/sensor/config"
	"dnsmonster-sensor/sensor/lists"
)

// matchers returns the lists that the options name, nil for one that they do not name.
func matchers(l *lists.Pair, o lists.Options) (skip, allow outputs.Matcher) {
	if o.Skip.Location != "" {
		skip = l.Skip
	}
	if o.Allow.Location != "" {
		allow = l.Allow
	}
	return skip, allow
}

// listOptions reads the options of the lists.
func listOptions(v *config.Values) lists.Options {
	source := func(name string) lists.Source {
		every, _ := time.ParseDuration(v.String(name + "refreshinterval"))
		return lists.Source{Location: v.String(name + "file"), Interval: every}
	}
	return lists.Options{Skip: source("skipdomains"), Allow: source("allowdomains"), Match: v.String("domainmatch")}
}
