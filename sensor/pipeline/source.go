package pipeline

import (
	"fmt"

	"dnsmonster-sensor/sensor/capture"
)

// noSource is the source of a run that ends before it has begun.
type noSource struct{}

func (noSource) Lanes() []capture.Lane { return nil }
func (noSource) Live() bool            { return true }
func (noSource) Given() uint64         { return 0 }
func (noSource) Err() error            { return nil }
func (noSource) Close() error          { return nil }

// drainer returns the source if it is a Drainer, else nil.
func (p *pipeline) drainer() capture.Drainer {
	in, _ := p.source.(capture.Drainer)
	return in
}

// drainSource ends the capture, and lets pipes run to their end if the source can.
func (p *pipeline) drainSource() {
	if in := p.drainer(); in != nil {
		in.Drain()
		return
	}
	p.closeSource()
}

// closeSource ends the capture. The lanes end when they have read what is left.
func (p *pipeline) closeSource() {
	if err := p.source.Close(); err != nil {
		p.fail("capture", fmt.Errorf("detach: %w", err))
	}
}

// freeSource releases what the source still holds after its end.
func (p *pipeline) freeSource() error {
	if f, ok := p.source.(capture.Freer); ok {
		return f.Free()
	}
	return nil
}
