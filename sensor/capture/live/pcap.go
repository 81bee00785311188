package live

import (
	"cmp"
	"runtime"

	"dnsmonster-sensor/sensor/capture/libpcap"
)

// pcapBackEnd is on all systems. A build without libpcap says so; on Linux, which has
// others, only if it is asked for.
func pcapBackEnd() backEnd {
	return backEnd{
		mode: ModePcap, auto: libpcap.Version() != "" || runtime.GOOS != "linux", why: "libpcap sees both directions", feature: cmp.Or(libpcap.Version(), "libpcap"),
		have: libpcap.Supported, open: openPcap,
	}
}

func openPcap(o Options) (opened, error) {
	s, err := libpcap.Open(libpcap.Options{Watch: o.Watch, Select: o.Select, Lanes: o.Lanes, Choose: o.Choose, BufferBytes: o.BufferBytes})
	if err != nil {
		return nil, err
	}
	return s, nil
}
