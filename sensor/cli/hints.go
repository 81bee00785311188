package cli

import (
	"fmt"
	"slices"
	"strings"

	"dnsmonster-sensor/sensor/capture/ring"
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
func liveHints(o ring.Options) pipeline.Hints {
	var try, find []string
	where := "any interface"
	all := slices.Contains(o.Interfaces, watch.Any)
	if o.Kernel.Decap == nil {
		try = append(try, "--decap=all (tunnels)")
	}
	if !all {
		if where = strings.Join(o.Interfaces, ", "); len(o.Interfaces) > shownInterfaces {
			where = fmt.Sprintf("%d interfaces", len(o.Interfaces))
		}
		if !o.Promiscuous {
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
