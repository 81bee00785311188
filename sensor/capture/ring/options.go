//go:build linux

package ring

import (
	"dnsmonster-sensor/bpf"
	"dnsmonster-sensor/sensor/capture"
	"dnsmonster-sensor/sensor/capture/watch"
)

// Options says what to capture, and how.
type Options struct {
	Watch     watch.Options
	Mode      bpf.Mode
	Select    capture.Selection
	Lanes     int
	RingBytes int // of each lane's ring: a power of two, at least bpf.MinRingBytes

	// Tap drops every frame after it was looked at, and perhaps copied: for mirror
	// ports. It replaces Mode, and is refused where it would cut something off, unless
	// Force.
	Tap, Force bool
}

// kernel is what the options mean to the programs.
func (o *Options) kernel() bpf.Options {
	k := bpf.Options{
		Ports: o.Select.Ports, Keep: o.Select.Sample.Keep, Of: o.Select.Sample.Of, FlowSampling: o.Select.FlowSampling,
		SnapLen: o.Select.SnapLen, FragmentQuota: o.Select.FragmentQuota, Decap: o.Select.Decap,
		Rings: o.Lanes, RingBytes: o.RingBytes, XDP: o.Mode == bpf.ModeXDP, Tap: o.Tap,
	}
	for _, p := range o.Select.TunnelPorts {
		k.TunnelPorts = append(k.TunnelPorts, bpf.TunnelPort{Number: p.Number, Tunnel: uint8(p.Tunnel)})
	}
	return k
}

// LoadError is an error of Open that belongs to no interface: the kernel does not take
// the programs.
type LoadError struct{ Err error }

func (e *LoadError) Error() string { return e.Err.Error() }
func (e *LoadError) Unwrap() error { return e.Err }

// The compiler refuses a negative number: package capture knows the same limits.
const (
	_ = capture.PPPoE - bpf.PPPoE
	_ = bpf.PPPoE - capture.PPPoE
	_ = uint(capture.MaxTunnelPorts - bpf.MaxTunnelPorts)
	_ = uint(bpf.MaxTunnelPorts - capture.MaxTunnelPorts)
)
