// Package null takes records and throws them away: to measure what capture,
// decoding and dispatch cost without a destination.
package null

import (
	"context"
	"fmt"

	"github.com/urfave/cli/v2"

	"dnsmonster-sensor/outputs"
	"dnsmonster-sensor/userspace/event"
)

// Output acknowledges every block unread.
type Output struct{ kind int }

// New returns an output that is switched off.
func New() *Output { return &Output{} }

// Name is "null".
func (o *Output) Name() string { return "null" }

// Flags declares the one option.
func (o *Output) Flags() []cli.Flag {
	return []cli.Flag{&cli.IntFlag{
		Category:    "null_output",
		Name:        "nulloutputtype",
		EnvVars:     []string{"DNSMONSTER_NULLOUTPUTTYPE"},
		Usage:       "throw records away, to measure the rest: `TYPE` 0 off, 1 all records, 2 to 4 by the domain lists",
		Destination: &o.kind,
	}}
}

// Settings checks the option.
func (o *Output) Settings() (outputs.Settings, error) {
	if o.kind < int(outputs.Off) || o.kind > int(outputs.SkipAndAllow) {
		return outputs.Settings{}, fmt.Errorf("nulloutputtype: %d is not one of 0 to 4", o.kind)
	}
	return outputs.Settings{Type: outputs.Type(o.kind), Workers: 1}, nil
}

// Open needs nothing.
func (o *Output) Open(context.Context) (outputs.Writer, error) { return writer{}, nil }

type writer struct{}

func (writer) Write(context.Context, *event.Block) (refused int, err error) { return 0, nil }
func (writer) Close() error                                                 { return nil }
