package cli

import (
	"errors"
	"fmt"
	"log/slog"

	"github.com/urfave/cli/v2"
)

// source is how a command makes its input, and what an error of that may follow from.
type source struct {
	make    func(*session) (input, error)
	options []string // that name the input: if one of them is wrong, there seems to be none
}

// begin checks everything that a command needs, and captures.
func (o *captureOptions) begin(c *cli.Context, from source) error {
	inv := invocationOf(c)
	if err := o.verifyAll(c, inv, from); err != nil {
		return &exitError{exitUsage, err}
	}
	if inv.trial {
		return nil
	}
	s, err := o.session(c)
	if err != nil {
		return err
	}
	in, err := from.make(s)
	if err != nil {
		return err
	}
	return record(c, o, s, in)
}

// verifyAll finds everything that would keep a command from starting. It leaves out errors
// that only follow from others.
func (o *captureOptions) verifyAll(c *cli.Context, inv *invocation, from source) error {
	v := inv.values
	var p problems
	p.add(o.verify(v))
	list, err := o.enabledOutputs(c, slog.New(slog.DiscardHandler))
	if !errors.Is(err, errNoOutput) || !v.SetOrAttempted("outputtype") {
		p.add(err)
	}
	in, err := from.make(&session{inv: inv, log: slog.New(slog.DiscardHandler)})
	if !errors.Is(err, errNoInput) || !v.SetOrAttempted(from.options...) {
		p.add(err)
	}
	if inv.checksMachine || !inv.trial && len(p) == 0 {
		p.add(o.checkMachine(in, list))
	}
	if err := p.err(); err != nil {
		return v.Explain(err)
	}
	return nil
}

// noInput is an error that errors.Is takes for errNoInput.
type noInput struct{ error }

func (noInput) Is(target error) bool { return target == errNoInput }

// argumentError is about the arguments. If the name of an option is wrong, its value is
// one of them, and the error may follow from that.
type argumentError struct{ error }

func argumentErrorf(format string, a ...any) error { return argumentError{fmt.Errorf(format, a...)} }

// Errors that may follow from others.
var (
	errNoInput  = errors.New("no input: set --devname, --pcapfile or --dnstapsocket (see dnsmonster-sensor --help)")
	errNoOutput = errors.New("no output is switched on: set an output's type, such as --stdoutoutputtype=1 (see dnsmonster-sensor run --help)")
)
