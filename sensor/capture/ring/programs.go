//go:build linux

package ring

import (
	"dnsmonster-sensor/bpf"
	"dnsmonster-sensor/sensor/capture/watch"
)

// programs attaches the programs of package bpf.
type programs struct {
	kernel *bpf.Kernel
	mode   bpf.Mode
}

// Attach implements watch.Attacher.
func (p programs) Attach(index int) (watch.Attachment, error) {
	return p.kernel.Attach(index, p.mode)
}

// Hidden implements watch.HiddenReporter.
func (p programs) Hidden(index int) ([]string, error) {
	n, err := bpf.FindNeighbours(index)
	if err != nil {
		return nil, err
	}
	return HiddenBy(n), nil
}
