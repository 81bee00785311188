package live

import (
	"dnsmonster-sensor/bpf"
	"dnsmonster-sensor/sensor/capture/ring"
)

// backEnds are those of Linux, the best first.
func backEnds() []backEnd {
	return []backEnd{
		{ModeTCX, "eBPF by TCX", func() error { return firstError(bpf.Supported, bpf.HaveTCX) }, openRing(bpf.ModeTCX), true},
		{ModeClsact, "eBPF by clsact", bpf.Supported, openRing(bpf.ModeClsact), true},
		{ModeXDP, "eBPF by XDP and TC", func() error { return firstError(bpf.Supported, bpf.HaveXDP) }, openRing(bpf.ModeXDP), false},
	}
}

func firstError(probes ...func() error) error {
	for _, p := range probes {
		if err := p(); err != nil {
			return err
		}
	}
	return nil
}

func openRing(mode bpf.Mode) func(Options) (opened, error) {
	return func(o Options) (opened, error) {
		s, err := ring.Open(ring.Options{Watch: o.Watch, Mode: mode, Select: o.Select, Lanes: o.Lanes, RingBytes: o.RingBytes})
		if err != nil {
			return nil, err
		}
		return s, nil
	}
}

// MissingRights returns the capabilities that this process lacks for a mode.
func MissingRights(m Mode) []string {
	if Supported(m) == nil {
		return nil
	}
	return bpf.MissingCapabilities()
}

// ProgramHash identifies the compiled kernel programs, for bug reports.
func ProgramHash() string { return bpf.ObjectHash() }
