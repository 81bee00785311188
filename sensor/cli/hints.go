package cli

import (
	"fmt"
	"slices"
	"strings"

	"dnsmonster-sensor/sensor/capture/live"
	"dnsmonster-sensor/sensor/capture/watch"
	"dnsmonster-sensor/sensor/pipeline"
)

// hints completes the hints of an input.
func (o *captureOptions) hints(h pipeline.Hints) pipeline.Hints {
	h.After = o.hintAfter
	if h.Unit == "" {
		h.Ports = o.portNames()
		h.Try = append([]string{"--port=PORT (another port)"}, h.Try...)
	}
	return h
}

// liveHints are the hints for interfaces: options that may show DNS which these options miss.
func liveHints(o live.Options) pipeline.Hints {
	var try, find []string
	where := "any interface"
	all := slices.Contains(o.Watch.Interfaces, watch.Any)
	if o.Select.Decap == nil {
		try = append(try, "--decap=all (tunnels)")
	}
	if !all {
		if where = strings.Join(o.Watch.Interfaces, ", "); len(o.Watch.Interfaces) > shownInterfaces {
			where = fmt.Sprintf("%d interfaces", len(o.Watch.Interfaces))
		}
		if !o.Watch.Promiscuous {
			try = append(try, "--promiscuous (mirror port)")
		}
		find = []string{"attach any (all interfaces)"}
	}
	find = append(find, "dnsmonster-sensor check")
	return pipeline.Hints{Where: where, Try: append(try, find...), Find: find}
}

// fileHints are the hints for files.
func fileHints(raw bool) pipeline.Hints {
	if raw {
		return pipeline.Hints{Try: []string{"--noetherframe=false (packets with an Ethernet header)"}}
	}
	return pipeline.Hints{}
}
