package cli

import (
	"slices"
	"strings"

	"dnsmonster-sensor/sensor/capture/ring"
	"dnsmonster-sensor/sensor/capture/watch"
	"dnsmonster-sensor/sensor/pipeline"
)

// hints completes those of an input.
func (o *captureOptions) hints(h pipeline.Hints) pipeline.Hints {
	h.After, h.Ports = o.hintAfter, o.portNames()
	h.Try = append([]string{"does DNS use another port here? --port"}, h.Try...)
	return h
}

// liveHints are those of interfaces: what could keep DNS from being seen there, with these
// options.
func liveHints(o ring.Options) pipeline.Hints {
	var try []string
	where := strings.Join(o.Interfaces, ", ")
	any := slices.Contains(o.Interfaces, watch.Any)
	if o.Kernel.Decap == nil {
		try = append(try, "is it in tunnels, which are not looked into? --decap=all")
	}
	if !any && !o.Promiscuous {
		try = append(try, "is this a mirror port? --promiscuous")
	}
	check := "see dnsmonster-sensor check"
	if any {
		where = "any interface"
	} else {
		try = append(try, "does it pass another interface? any captures all of them")
		check = "is it the right interface? any captures all of them; " + check
	}
	return pipeline.Hints{Where: where, Try: append(try, "see dnsmonster-sensor check"), Find: check}
}

// fileHints are those of files.
func fileHints(raw bool) pipeline.Hints {
	if raw {
		return pipeline.Hints{Try: []string{"do packets really start with the IP header? --noetherframe"}}
	}
	return pipeline.Hints{}
}
