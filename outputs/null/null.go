// Package null discards records, to measure capture, decoding and dispatch alone.
package null

import (
	"context"

	"github.com/urfave/cli/v2"

	"dnsmonster-sensor/outputs"
	"dnsmonster-sensor/userspace/event"
)

// Output acknowledges every block without reading it.
type Output struct{ outputs.Basics }

// New returns an output that is switched off.
func New() *Output { return &Output{outputs.NewBasics("null")} }

// Flags declares the options.
func (o *Output) Flags() []cli.Flag {
	return append([]cli.Flag{
		o.TypeFlag("DNSMONSTER_NULLOUTPUTTYPE", "for the output that discards records, to measure the rest of the sensor"),
	}, o.BatchFlags(
		"DNSMONSTER_NULLOUTPUTBATCHSIZE", 0, "`NUMBER` of records in a batch; 0: as many as fit into 256 KiB",
		"DNSMONSTER_NULLOUTPUTBATCHDELAY", 0,
	)...)
}

// Settings checks the options.
func (o *Output) Settings() (outputs.Settings, error) {
	s, err := o.Basics.Settings()
	if o.BatchSize > 0 || o.BatchDelay > 0 {
		s.BatchBytes = outputs.NoByteLimit
	}
	return s, err
}

// Open always succeeds.
func (o *Output) Open(context.Context) (outputs.Writer, error) { return writer{}, nil }

type writer struct{}

func (writer) Write(context.Context, *event.Block) (refused int, err error) { return 0, nil }
func (writer) Close() error                                                 { return nil }
