//go:build !linux

package live

import (
	"fmt"
	"net"
	"path"
	"runtime"

	"dnsmonster-sensor/sensor/capture/watch"
)

// features probes what the back ends need.
func features() (list []Feature) {
	for _, b := range backEnds() {
		f := Feature{Name: b.feature + ": mode " + string(b.mode)}
		if err := b.have(); err != nil {
			f.Reason = shortReason(err)
		} else {
			f.Have = true
		}
		list = append(list, f)
	}
	return list
}

// advice says what would make a mode possible.
func advice(mode Mode) []string {
	if mode != "" {
		return nil
	}
	return []string{"write a file with tcpdump and `replay` it, or let the DNS server report by dnstap"}
}

func systemName() string { return runtime.GOOS + "/" + runtime.GOARCH }
