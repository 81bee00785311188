//go:build linux

package ring

import (
	"log/slog"

	"dnsmonster-sensor/bpf"
	"dnsmonster-sensor/sensor/capture/watch"
)

// programs attaches the programs of package bpf.
type programs struct {
	kernel *bpf.Kernel
	mode   bpf.Mode
	force  bool // of a tap
	log    *slog.Logger
}

func newPrograms(k *bpf.Kernel, o *Options) programs {
	p := programs{kernel: k, mode: o.Mode, force: o.Force, log: o.Watch.Log}
	if o.Tap {
		p.mode = bpf.ModeTap
	}
	return p
}

// Attach implements watch.Attacher.
func (p programs) Attach(index int) (watch.Attachment, error) {
	if p.mode == bpf.ModeTap {
		return p.attachTap(index)
	}
	return p.kernel.Attach(index, p.mode)
}

// Hidden implements watch.HiddenReporter.
func (p programs) Hidden(index int) ([]string, error) {
	if p.mode == bpf.ModeTap { // its program is alone, and the first
		return nil, nil
	}
	n, err := bpf.FindNeighbours(index)
	if err != nil {
		return nil, err
	}
	return HiddenBy(n), nil
}
