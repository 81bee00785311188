package live

import (
	"errors"
	"os"

	"dnsmonster-sensor/bpf"
	"dnsmonster-sensor/sensor/capture/afpacket"
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
		}, {
			mode: ModeAFPacket, auto: true, why: "packet sockets see both directions, and need no eBPF", feature: "packet sockets with TPACKET_V3 (Linux 3.2)",
			have: afpacket.Supported, open: openAFPacket,
		}, {
			mode: ModeTap,
			have: func() error { return firstError(bpf.Supported, bpf.HaveXDP) }, open: openRing(bpf.ModeTap),
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
		s, err := ring.Open(ring.Options{Watch: o.Watch, Mode: mode, Select: o.Select, Lanes: o.Lanes, RingBytes: o.RingBytes, Tap: mode == bpf.ModeTap, Force: o.Force})
		if err != nil {
			return nil, err
		}
		return s, nil
	}
}

// CheckTap returns an error for the first of the named interfaces that a tap would cut off.
func CheckTap(names []string) error { return ring.CheckTap(names) }

func openAFPacket(o Options) (opened, error) {
	s, err := afpacket.Open(afpacket.Options{Watch: o.Watch, Select: o.Select, Lanes: o.Lanes, BufferBytes: o.BufferBytes})
	if err != nil {
		return nil, err
	}
	return s, nil
}

// MissingRights returns the capabilities that this process lacks for a mode, nil if the
// mode works or if rights are not what is missing.
func MissingRights(m Mode) []string {
	switch err := Supported(m); {
	case err == nil:
		return nil
	case m != ModeAFPacket && m != ModePcap:
		return bpf.MissingCapabilities()
	case errors.Is(err, os.ErrPermission):
		return []string{"CAP_NET_RAW"}
	}
	return nil
}

// ProgramHash identifies the compiled kernel programs, for bug reports.
func ProgramHash() string { return bpf.ObjectHash() }
