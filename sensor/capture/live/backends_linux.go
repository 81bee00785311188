package live

import (
	"dnsmonster-sensor/bpf"
	"dnsmonster-sensor/sensor/capture/ring"
)

// backEnds are those of Linux, the best first.
func backEnds() []backEnd {
	return []backEnd{
		{
			mode: ModeTCX, auto: true, why: "TCX sees both directions, runs before other programs, and is removed with the process",
			have: func() error { return firstError(bpf.Supported, bpf.HaveTCX) }, open: openRing(bpf.ModeTCX),
		}, {
			mode: ModeClsact, auto: true, why: "a clsact qdisc sees both directions",
			have: bpf.Supported, open: openRing(bpf.ModeClsact),
		}, {
			mode: ModeXDP,
			have: func() error { return firstError(bpf.Supported, bpf.HaveXDP) }, open: openRing(bpf.ModeXDP),
		},
		pcapBackEnd(),
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
